"""Hints in the words of the command's user, or of Python's."""

import pytest

from eosin.core.errors import EosinError
from eosin.core.hints import in_users_words, typed_command, typed_hints


@pytest.mark.parametrize(
    ("typed", "called"),
    [
        ("Go on, or add --allow-leak", "Go on, or add allow_leak=True"),
        ("Name it with --data MANIFEST.csv", "Name it with data='MANIFEST.csv'"),
        ("Leave --features out", "Leave `features` out"),
        ("Use --method occlusion", "Use method='occlusion'"),
        ("Choose another folder with -o", "Choose another folder with `output`"),
        ("Add --set train.epochs=5", "Add overrides={'train.epochs': 5}"),
        ("Add --set data.positive=", "Add overrides={'data.positive': None}"),
        ("Add --set 'data.root=/a b'", "Add overrides={'data.root': '/a b'}"),
        ("E.g. --map a=b --map 'c d=e'", "E.g. labels={'a': 'b', 'c d': 'e'}"),
        ("eosin train RECIPE or eosin demo", "eosin.train(RECIPE) or eosin.demo()"),
        (
            "Go on with: eosin train --resume '/a b' --set data.root=/c",
            "Go on with: eosin.train(resume='/a b', overrides={'data.root': '/c'})",
        ),
        (
            "Make one: eosin data manifest folder /a -o M.csv",
            "Make one: eosin.manifest('folder', '/a', output='M.csv')",
        ),
        ("Make one: eosin data manifest folder own", "Make one: eosin.manifest('folder', 'own')"),
        (
            "Make one: eosin data manifest folder my-own -o M.csv",
            "Make one: eosin.manifest('folder', 'my-own', output='M.csv')",
        ),
        ("The reasons: eosin data check patches", "The reasons: eosin.check('patches')"),
        ("The reasons: eosin data check Größe+1", "The reasons: eosin.check('Größe+1')"),
        ("pip install 'eosin[train]'", "pip install 'eosin[train]'"),
        ("The folder that `eosin train` made", "The folder that `eosin.train()` made"),
    ],
)
def test_what_is_typed_becomes_a_call_where_no_command_runs(typed, called):
    assert in_users_words(typed) == called
    with typed_hints():
        assert in_users_words(typed) == typed
    assert str(EosinError("No", hint=typed)) == f"No. {called}"
    assert EosinError("No", hint=typed).hint == typed


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["train", "own", "--positive", "tumour"], "eosin train own --positive tumour"),
        (["train", "/home/ann/My patches/"], "eosin train '…/My patches'"),
        (["train", "../a/b", "--log-file=/tmp/x.log"], "eosin train …/b --log-file=…/x.log"),
        (["train", "r.toml", "--set", "data.root=/a/b"], "eosin train r.toml --set data.root=…/b"),
        (["train", "C:\\a\\b"], "eosin train …/b"),
    ],
)
def test_a_typed_command_is_shown_without_folders(arguments, shown):
    assert typed_command() == ""
    with typed_hints(arguments):
        assert typed_command() == shown
