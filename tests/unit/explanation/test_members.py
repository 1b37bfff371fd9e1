"""Networks inside a model: what each of them takes."""

from types import SimpleNamespace

import pytest

from eosin.explanation.members import inputs_of_members
from eosin.images.preprocess import make_preprocessing

FIELD = make_preprocessing("unit", 8).model_copy(update={"input_px": (10, 16), "crop_px": 8})


def member(architecture="light_cnn", arguments=None, **sizes):
    return {"run": "a", "architecture": architecture, "arguments": arguments or {}, **sizes}


@pytest.mark.parametrize(
    ("architecture", "arguments", "expected"),
    [
        ("light_cnn", {}, [((10, 16), 8)]),
        ("ensemble", {"members": 2, "architecture": "light_cnn"}, [((10, 16), 8)] * 2),
        (
            "ensemble",
            {
                "members": [
                    member(input_px=[6, 6]),  # of before there were crops
                    member(input_px=[10, 16], crop_px=8),
                    member("ensemble", {"members": 2}, input_px=[12, 9], crop_px=4),
                ]
            },
            [((6, 6), None), ((10, 16), 8), ((12, 9), 4), ((12, 9), 4)],
        ),
    ],
)
def test_every_network_has_its_own_size_and_crops(architecture, arguments, expected):
    info = SimpleNamespace(architecture=architecture, arguments=arguments, preprocessing=FIELD)
    found = inputs_of_members(info)
    assert [(one.input_px, one.crop_px) for one in found] == expected
