"""Torch's companions are imported through one door."""

import importlib
import subprocess
import sys

import pytest

from eosin.core.errors import MissingPartError
from eosin.runtime.door import import_companion


def test_torchvision_comes_in_without_its_compiled_part():
    # In a fresh process, where nothing has been imported yet; warnings are errors.
    code = (
        "from eosin.runtime.door import import_companion\n"
        "models = import_companion('torchvision.models')\n"
        "print(sum(p.numel() for p in models.squeezenet1_1(weights=None).parameters()))"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "1235496"
    assert run.stderr == ""


@pytest.mark.parametrize("absent", ["torch", "timm"])
def test_a_missing_extra_says_how_to_get_it(monkeypatch, absent):
    for name in [m for m in sys.modules if m.partition(".")[0] == absent]:
        if absent == "timm" or name == "torch":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, absent, None)  # an import of it fails
    importlib.invalidate_caches()
    with pytest.raises(MissingPartError) as caught:
        import_companion("timm")
    assert caught.value.hint == "pip install 'eosin[train]'"
    assert caught.value.exit_status == 1
