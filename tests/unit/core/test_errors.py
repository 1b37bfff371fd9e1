"""Errors say what came and what to do, and leave with the contract's status."""

import pickle

import pytest

import eosin
from eosin.core import errors
from eosin.core.errors import EosinError, UsageError, close_matches

ALL = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and hasattr(kind, "exit_status") and kind.__name__[0] != "_"
]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_only_wrong_usage_exits_with_two(kind):
    wrong_usage = {"UsageError", "RecipeError", "UnknownNameError"}
    status = 2 if kind.__name__ in wrong_usage else 1
    assert kind.exit_status == (130 if kind.__name__ == "InterruptedRunError" else status)
    assert issubclass(kind, UsageError) == (kind.__name__ in wrong_usage)


def test_the_tree_in_the_header_is_complete():
    assert len(ALL) == 16
    for kind in ALL:
        assert kind.__name__ in errors.__doc__


def test_a_loop_that_catches_failures_stops_at_ctrl_c():
    assert not issubclass(errors.InterruptedRunError, Exception)
    assert issubclass(errors.InterruptedRunError, KeyboardInterrupt)
    assert all(issubclass(kind, EosinError) for kind in ALL if kind.__name__[:5] != "Inter")


def test_every_error_is_a_name_of_the_package():
    assert [getattr(eosin, kind.__name__) for kind in ALL] == ALL


def test_the_mend_follows_the_message():
    error = EosinError("no such thing", hint="Make one")
    assert str(error) == "no such thing. Make one"
    assert (error.message, error.hint) == ("no such thing", "Make one")
    assert str(EosinError("no such thing")) == "no such thing"


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_error_of_another_process_arrives_whole(kind):
    error = kind("no such thing", hint="Make one")
    error.result = [1]
    found = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own bytes
    assert type(found) is kind
    assert vars(found) == vars(error)
    assert str(found) == str(error)


@pytest.mark.parametrize(
    ("name", "known", "sentence"),
    [
        ("lrr", ["lr", "epochs"], "Did you mean 'lr'?"),
        ("trian", ["train", "stain", "lr"], "Did you mean 'train' or 'stain'?"),
        ("lr", ["lrs", "lrr", "slr"], "Did you mean 'slr', 'lrs' or 'lrr'?"),
        ("xyz", ["lr", "epochs"], "Known: epochs, lr"),
        ("xyz", [], ""),
    ],
)
def test_close_matches(name, known, sentence):
    assert close_matches(name, known) == sentence
