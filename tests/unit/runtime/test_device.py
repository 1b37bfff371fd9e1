"""Device and precision, chosen or overridden."""

import pytest
import torch

from eosin.core.errors import RecipeError
from eosin.runtime.device import choose_device_settings, seed_torch


@pytest.fixture
def machine(monkeypatch):
    """A function that pretends which accelerators there are."""

    def pretend(*, cuda=False, mps=False, bf16=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("there", "accelerator", "precision"),
    [
        ({}, "cpu", "32-true"),
        ({"mps": True}, "mps", "32-true"),
        ({"cuda": True, "mps": True}, "cuda", "32-true"),
        ({"cuda": True, "bf16": True}, "cuda", "bf16-mixed"),
    ],
)
def test_auto_takes_the_best_there_is(machine, there, accelerator, precision):
    machine(**there)
    device_settings = choose_device_settings("auto", "auto", None)
    assert (device_settings.accelerator, device_settings.precision) == (accelerator, precision)


def test_what_is_asked_for_is_taken(machine):
    machine(cuda=True, bf16=True)
    assert choose_device_settings("cpu", "auto", None).accelerator == "cpu"
    assert choose_device_settings("cuda", "16-mixed", None).precision == "16-mixed"
    assert choose_device_settings("cpu", "16-mixed", None).precision == "bf16-mixed"
    assert choose_device_settings("cuda", "auto", None).description == "cuda (Some GPU)"


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused(machine, device):
    machine()
    with pytest.raises(RecipeError, match=f"'train.device' is '{device}'") as caught:
        choose_device_settings(device, "auto", None)
    assert caught.value.hint == "Available: cpu, or auto"


def test_threads_are_applied_and_told(machine):
    machine()
    before = torch.get_num_threads()
    try:
        device_settings = choose_device_settings("cpu", "auto", before + 1)
        assert torch.get_num_threads() == before + 1
        assert device_settings.description == f"cpu ({before + 1} threads)"
    finally:
        torch.set_num_threads(before)


def test_one_use_of_a_seed_is_not_another():
    def drawn(*keys):
        seed_torch(3, *keys)
        return torch.rand(4).tolist()

    assert drawn("epoch", 1) == drawn("epoch", 1)
    assert drawn("epoch", 1) != drawn("epoch", 2)
