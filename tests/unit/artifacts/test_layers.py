"""The table of layers in its short form."""

import pytest

from eosin.artifacts.layers import Block, LayerRow, LayerTable


def row(name, params, shape=(2,)):
    return LayerRow(
        name=name, kind="Linear", output_shape=shape, params=params, trainable=1, buffers=2
    )


TABLE = LayerTable(
    input_shape=(3,),
    layers=[row("stem", 1), row("a.0.x", 2), row("a.0.y", 3), row("a.1.x", 4), row("a.1.y", 5)],
    blocks={
        "a": Block(kind="Stage", output_shape=(9,)),
        "a.0": Block(kind="Part", output_shape=(7,)),
        "a.1": Block(kind="Part", output_shape=(8,)),
    },
)


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (5, [("stem", 1), ("a.0.x", 2), ("a.0.y", 3), ("a.1.x", 4), ("a.1.y", 5)]),
        (4, [("stem", 1), ("a.0", 5), ("a.1", 9)]),
        (3, [("stem", 1), ("a.0", 5), ("a.1", 9)]),
        (2, [("stem", 1), ("a", 14)]),
        (1, [("stem", 1), ("a", 14)]),
    ],
)
def test_a_long_table_is_shown_by_the_smallest_blocks_that_fit(most, expected):
    assert [(row.name, row.params) for row in TABLE.short(most)] == expected


def test_a_block_has_its_own_output_and_the_sums_of_its_layers():
    block = TABLE.short(3)[2]
    assert (block.kind, block.output_shape) == ("Part", (8,))
    assert (block.params, block.trainable, block.buffers) == (9, 2, 4)
    assert (TABLE.total.params, TABLE.total.buffers) == (15, 10)


def test_no_layers_are_no_rows():
    empty = LayerTable(input_shape=(3,), layers=[])
    assert empty.short() == []
    assert empty.total.params == 0
