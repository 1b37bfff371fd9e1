"""Schema of ``layers.json``, a network's table of layers, and its short form."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import groupby

from pydantic import Field

from eosin.artifacts.versioned import (
    Count,
    DictOf,
    Document,
    ListOf,
    Text,
    TupleOf,
    VersionedDocument,
)

#: Most rows of the short form.
MOST_ROWS = 48


class LayerRow(Document):
    """A layer: a module without parts, or one with weights of its own.

    Attributes:
        name: Path of the module in the network.
        kind: Its class.
        output_shape: For one example, channels first; empty where the layer gives no tensor.
        params: Learnable weights.
        trainable: Those of them that were not frozen in the last epoch.
        buffers: Numbers that are not learnt, such as running means and variances.
    """

    name: Text
    kind: Text
    output_shape: TupleOf[Count]
    params: Count
    trainable: Count
    buffers: Count

    @property
    def shape_text(self) -> str:
        """The output shape for people, empty where there is none."""
        return " × ".join(f"{side:,}" for side in self.output_shape)


class Block(Document):
    """A module with parts: its class, and its output shape as of a layer."""

    kind: Text
    output_shape: TupleOf[Count]


class LayerTable(VersionedDocument):
    """Schema of ``layers.json``.

    Attributes:
        input_shape: Of one example, channels first.
        layers: From the input to the output.
        blocks: By name, the modules that the layers are parts of.
    """

    MAX_BYTES = 16 << 20

    input_shape: TupleOf[Count]
    layers: ListOf[LayerRow]
    blocks: DictOf[Block] = Field(default_factory=dict)

    @property
    def total(self) -> LayerRow:
        """The sum of all layers."""
        return _add_up(self.layers, "", Block(kind="", output_shape=()))

    def short(self, most: int = MOST_ROWS) -> list[LayerRow]:
        """Return at most ``most`` rows, if that is possible: the layers of a block as one.

        The blocks are as small as the number allows.
        """
        rows = list(self.layers)
        depth = max((layer.name.count(".") for layer in rows), default=0)
        while len(rows) > most and depth > 0:
            rows = [
                self._join(name, list(mine))
                for name, mine in groupby(self.layers, partial(_block_of, depth=depth))
            ]
            depth -= 1
        return rows

    def _join(self, name: str, layers: Sequence[LayerRow]) -> LayerRow:
        block = self.blocks.get(name)
        return layers[0] if len(layers) == 1 or block is None else _add_up(layers, name, block)


def _block_of(layer: LayerRow, depth: int) -> str:
    return ".".join(layer.name.split(".")[:depth])


def _add_up(layers: Sequence[LayerRow], name: str, block: Block) -> LayerRow:
    return LayerRow(
        name=name,
        kind=block.kind,
        output_shape=block.output_shape,
        params=sum(layer.params for layer in layers),
        trainable=sum(layer.trainable for layer in layers),
        buffers=sum(layer.buffers for layer in layers),
    )
