"""Foreign weights become safetensors, and a training begins with them."""

import torch
from safetensors import safe_open
from safetensors.torch import load_file


def test_a_state_dict_becomes_safetensors(command, tmp_path):
    shared = torch.arange(4.0)
    tensors = {"a": shared, "b": shared, "c": torch.ones(2, 3).t()}
    torch.save({"state_dict": tensors, "epoch": 7}, tmp_path / "foreign.pth")
    result = command("convert", tmp_path / "foreign.pth", "--licence", "CC0")
    assert result.status == 0, result.err
    assert "3 tensors, 14 values" in result.out
    made = load_file(tmp_path / "foreign.safetensors")
    assert made.keys() == tensors.keys()
    assert all(torch.equal(made[key], tensors[key]) for key in tensors)
    with safe_open(tmp_path / "foreign.safetensors", framework="pt") as file:
        assert file.metadata()["licence"] == "CC0"
        assert file.metadata()["source"] == "foreign.pth"


def test_nothing_is_overwritten_and_nothing_left(command, tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "w.pth")
    (tmp_path / "w.safetensors").write_text("mine")
    result = command("convert", tmp_path / "w.pth")
    assert result.status == 1
    assert "exists. Choose another name with -o" in result.complaint
    assert (tmp_path / "w.safetensors").read_text() == "mine"
    (tmp_path / "bad.pth").write_bytes(b"nothing of the kind")
    result = command("convert", tmp_path / "bad.pth")
    assert result.status == 1
    assert command("convert", "").status == 2
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["bad.pth", "w.pth", "w.safetensors"]
