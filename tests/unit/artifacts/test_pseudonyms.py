"""Keyed names: the same with one key, others with another, and a key that is never replaced."""

import os
import stat

import pytest

from eosin.artifacts.manifest import make_samples, relocated
from eosin.artifacts.pseudonyms import Pseudonyms, key_file, load_pseudonyms
from eosin.core.errors import ArtifactError


@pytest.fixture
def key(tmp_path, monkeypatch):
    path = tmp_path / "settings" / "key"
    monkeypatch.setenv("EOSIN_PSEUDONYM_KEY", str(path))
    return path


def test_one_key_gives_one_pseudonym_and_another_key_another():
    one, again, other = Pseudonyms(b"a" * 32), Pseudonyms(b"a" * 32), Pseudonyms(b"b" * 32)
    assert one.of("patient", "Anna") == again.of("patient", "Anna")
    assert one.of("patient", "Anna") != other.of("patient", "Anna")
    assert one.of("patient", "Anna")[8:] != one.of("group", "Anna")[6:]
    assert one.of_file("image", "/x/Anna.PNG").endswith(".png")
    assert one.of("patient", "Anna") in one
    assert one.of("patient", "Anna") not in other


def test_the_key_is_made_once_for_its_owner_alone(key, messages):
    first = load_pseudonyms().of("patient", "1")
    assert load_pseudonyms().of("patient", "1") == first
    assert len(messages) == 1
    assert str(key) in messages[0]
    if os.name == "posix":
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert list(key.parent.iterdir()) == [key]


def test_without_a_choice_the_key_lies_in_the_user_s_settings(tmp_path, monkeypatch):
    monkeypatch.delenv("EOSIN_PSEUDONYM_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert key_file() == tmp_path / "eosin" / "pseudonym.key"


@pytest.mark.parametrize(
    "spoil",
    [lambda text: text[:40], lambda text: "0" * 4 + text[4:], lambda text: "", lambda text: "ü"],
    ids=["short", "changed", "empty", "no key"],
)
def test_a_damaged_key_is_refused_and_kept(key, spoil):
    load_pseudonyms()
    spoilt = spoil(key.read_text())
    key.write_text(spoilt, encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"the key for pseudonyms .* (is damaged|cannot be)"):
        load_pseudonyms()
    assert key.read_text(encoding="utf-8") == spoilt


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_a_key_that_everybody_reads_is_refused(key):
    load_pseudonyms()
    key.chmod(0o644)
    with pytest.raises(ArtifactError, match="every user can read"):
        load_pseudonyms()


def test_a_pseudonym_is_in_no_folder_unless_a_file_is_called_so(tmp_path):
    import pandas as pd

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "image-segmentation.png").touch()
    pseudonym = Pseudonyms(b"a" * 32).of_file("image", "/x/1.png")
    paths = [pseudonym, "image-segmentation.png"]
    frame = pd.DataFrame({"path": paths, "label": ["a", "b"]})
    samples = make_samples(frame, root=tmp_path / "run")
    moved = list(relocated(samples, tmp_path).frame["path"])
    assert moved == [pseudonym, "run/image-segmentation.png"]
