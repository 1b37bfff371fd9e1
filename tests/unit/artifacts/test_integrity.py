"""A model folder opens only with the files that it was saved with."""

import json
import logging
import re
import shutil

import pytest

from eosin.artifacts.integrity import list_again, replacing, verify_files, write_model
from eosin.artifacts.layout import ModelFolder, RunFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.core.errors import ArtifactError
from eosin.core.files import sha256_file

COMPUTING = {"model.safetensors", "model.onnx", "profile.json"}
LISTED = {*COMPUTING, "card.md", "card.html"}


@pytest.fixture
def folder(tiny_run, tmp_path):
    """A copy of the tiny run's model folder, away from its run."""
    return ModelFolder(shutil.copytree(RunFolder(tiny_run).model, tmp_path / "model"))


def verify(folder):
    verify_files(folder, read_document(folder.info, ModelInfo))


def listed(folder):
    return json.loads(folder.info.read_text())["files"]


def edit(folder, **changes):
    values = json.loads(folder.info.read_text())
    folder.info.write_text(json.dumps({**values, **changes}))


def test_a_training_lists_every_file_of_its_model(folder):
    names = {path.name for path in folder.root.iterdir()}
    assert names == {*LISTED, "model.json"}
    assert listed(folder) == {name: sha256_file(folder.root / name) for name in LISTED}
    verify(folder)


@pytest.mark.parametrize("n_same", [3, 12, 40, 63, 64])
def test_two_sums_are_shown_with_digits_that_differ(folder, n_same):
    found = sha256_file(folder.weights)
    other = found[:n_same] + ("0" if found[n_same : n_same + 1] != "0" else "1") + "f" * 63
    expected = (found + "0") if n_same == 64 else other[:64]
    edit(folder, files={**listed(folder), folder.weights.name: expected})
    with pytest.raises(ArtifactError) as caught:
        verify(folder)
    shown = re.findall(r"\b[0-9a-f]{12,}…?", str(caught.value))
    assert len(set(shown)) == 2, shown


@pytest.mark.parametrize("name", sorted(COMPUTING))
@pytest.mark.parametrize("spoil", ["append", "flip", "remove"])
def test_a_file_that_is_another_or_missing_is_refused_by_name(folder, name, spoil):
    path = folder.root / name
    data = bytearray(path.read_bytes())
    if spoil == "remove":
        path.unlink()
    else:
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(path.read_bytes() + b"\n" if spoil == "append" else bytes(data))
    with pytest.raises(ArtifactError, match=name.replace(".", r"\.")) as caught:
        verify(folder)
    assert caught.value.hint


def test_a_changed_or_missing_card_is_named_in_one_warning(folder, caplog):
    folder.card.unlink()
    folder.card_text.write_bytes(folder.card_text.read_bytes().replace(b"\n", b"\r\n"))
    with caplog.at_level(logging.WARNING, logger="eosin"):
        verify(folder)
    (record,) = caplog.records
    assert "card.html is missing, card.md is changed" in record.getMessage()
    assert str(folder.root) in record.getMessage()


def test_a_card_that_was_edited_inside_a_run_names_the_way_back(tiny_run, tmp_path, caplog):
    run = shutil.copytree(tiny_run, tmp_path / "a run")
    folder = ModelFolder(RunFolder(run).model)
    folder.card_text.write_text("Validated at our site.")
    with caplog.at_level(logging.WARNING, logger="eosin"):
        verify(folder)
    (record,) = caplog.records
    assert record.getMessage().endswith(f"eosin report '{run}'")


@pytest.mark.parametrize("name", ["model.onnx", "model.safetensors", "profile.json"])
def test_a_file_that_the_model_does_not_have_is_refused(folder, name):
    rest = {key: value for key, value in listed(folder).items() if key != name}
    edit(folder, files=rest)
    with pytest.raises(ArtifactError, match=f"{name}.* does not belong to this model"):
        verify(folder)


def test_a_list_cannot_name_files_elsewhere(folder):
    edit(folder, files={**listed(folder), "../model/model.onnx": "0" * 64})
    with pytest.raises(ArtifactError, match="is not a file beside it"):
        verify(folder)


def test_an_older_model_opens_with_a_warning_and_its_weights_are_verified(folder, caplog):
    edit(folder, files=None)
    folder.card.write_text("edited")
    with caplog.at_level(logging.WARNING, logger="eosin"):
        verify(folder)
    (record,) = caplog.records
    assert str(folder.info) in record.getMessage()
    folder.weights.write_bytes(folder.weights.read_bytes() + b" ")
    with pytest.raises(ArtifactError, match=r"model\.safetensors is not the file"):
        verify(folder)


def test_replaced_files_are_listed_anew_and_no_other_is(folder):
    before = listed(folder)
    folder.onnx.write_bytes(b"of another model")
    with replacing(folder, folder.card):
        # What a killed process would leave.
        assert set(listed(folder)) == LISTED - {"card.html"}
        folder.card.write_text("made again")
    after = listed(folder)
    assert after == {**before, "card.html": sha256_file(folder.card)}
    with pytest.raises(ArtifactError, match=r"model\.onnx"):
        verify(folder)


def test_an_older_model_is_not_vouched_for_because_its_card_is_made_again(folder):
    edit(folder, files=None, added_by_a_newer_version=1)
    with replacing(folder, folder.card):
        folder.card.write_text("made again")
    values = json.loads(folder.info.read_text())
    assert values["files"] is None
    assert values["added_by_a_newer_version"] == 1


def test_a_rewritten_copy_lists_what_it_has(folder):
    folder.profile.write_text("{}")
    folder.card.unlink()
    list_again(folder)
    assert listed(folder).keys() == LISTED - {"card.html"}
    verify(folder)
    info = read_document(folder.info, ModelInfo)
    write_model(folder, info)
    assert read_document(folder.info, ModelInfo).files == listed(folder)
