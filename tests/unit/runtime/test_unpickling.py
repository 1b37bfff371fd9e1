"""Foreign state dicts: nothing but tensors is read, and nothing is run."""

import json
import os
import zipfile
from pathlib import Path

import pytest
import torch

from eosin.artifacts.weights import read_arrays
from eosin.core.errors import ArtifactError
from eosin.engine.weights import read_weights
from eosin.networks.pretrained import read_file
from eosin.runtime.unpickling import read_pickled_tensors

TENSORS = {"b.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


class Intruder:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize(
    "content", [TENSORS, {"state_dict": TENSORS, "epoch": 3}, {"model": TENSORS, "args": {"lr": 1}}]
)
def test_names_and_tensors_come_in_order(tmp_path, content):
    torch.save(content, tmp_path / "weights.pth")
    read = read_pickled_tensors(tmp_path / "weights.pth")
    assert list(read) == ["b.weight", "a.bias"]
    assert all(torch.equal(read[key], TENSORS[key]) for key in TENSORS)


@pytest.mark.parametrize("is_legacy", [False, True])
def test_a_file_s_code_is_not_run(tmp_path, is_legacy):
    trace = tmp_path / "trace"
    content = {"a": torch.ones(1), "b": Intruder(trace)}
    torch.save(content, tmp_path / "bad.pth", _use_new_zipfile_serialization=not is_legacy)
    with pytest.raises(ArtifactError, match="damaged, or contains more than tensors") as caught:
        read_pickled_tensors(tmp_path / "bad.pth")
    assert not trace.exists()
    assert "\n" not in str(caught.value)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("content", [torch.ones(2), [1, 2], {}, {"a": 1.0}, {1: torch.ones(1)}])
def test_what_is_no_state_dict_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(ArtifactError, match="contains no state dict"):
        read_pickled_tensors(tmp_path / "odd.pth")


@pytest.mark.parametrize(
    "content", [b"", b"\x80", b"PK\x03\x04torn", b"no such thing", b"hello", bytes(3000)]
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "torn.pth").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"torn\.pth") as caught:
        read_pickled_tensors(tmp_path / "torn.pth")
    assert "\n" not in str(caught.value)


def test_an_absent_file_and_a_folder_are_told_apart(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist"):
        read_pickled_tensors(tmp_path / "absent.pth")
    with pytest.raises(ArtifactError, match="cannot be read"):
        read_pickled_tensors(tmp_path)


def test_a_file_that_unpacks_enormously_is_refused(tmp_path):
    torch.save({"a": torch.ones(3)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, bytes(10**8) if name.endswith("data/0") else plain.read(name))
    with pytest.raises(ArtifactError, match="100 times"):
        read_pickled_tensors(tmp_path / "bomb.pth")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize(
    ("read", "name"),
    [
        (read_pickled_tensors, "a.pth"),
        (read_file, "a.safetensors"),
        (read_arrays, "a.safetensors"),
        (read_weights, "a.npz"),
    ],
)
def test_weights_that_are_no_file_are_not_opened(tmp_path, read, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ArtifactError, match="it is a named pipe, not a file"):
        read(tmp_path / name)
    with pytest.raises(ArtifactError, match="it is not a valid file name"):
        read(tmp_path / f"\0{name}")


# Not BF16: NumPy has it once a library that adds it has been imported.
@pytest.mark.parametrize("kind", ["F8_E8M0", "F4"])
def test_numbers_that_numpy_has_not_are_refused(tmp_path, kind):
    bits = {"F8_E8M0": 8, "F4": 4}[kind]
    tensor = {"dtype": kind, "shape": [64 // bits], "data_offsets": [0, 8]}
    head = json.dumps({"a": tensor}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(8))
    with pytest.raises(ArtifactError, match="a type that NumPy does not have"):
        read_arrays(path)
