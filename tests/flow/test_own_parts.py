"""A user's own parts on the command line: mistakes in them, and what is printed of them."""

import json
from pathlib import Path

import pytest
from tests.facts import tells

import eosin
from eosin.core.hints import typed_hints

PLUGIN = """
from eosin import plugins
from torch import nn


@plugins.metric("cost", label="Cost per image", bounds=(0, 5), higher_is_better=False)
def cost(predictions):
    return 5 * (predictions.targets != predictions.predicted).mean()


@plugins.network("mine", stages={"head": "2"}, input_px=16)
def build(num_classes, input_px, in_channels):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_classes))
"""

pytestmark = pytest.mark.usefixtures("own_registries")


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_parts.py").write_text(PLUGIN)
    return "my_parts.py"


def test_a_plugin_that_is_missing_is_named(command, plugin):
    result = command("models", "mine")
    assert result.status == 2
    assert tells(result.complaint, "mine", "--plugin", "MODULE")
    assert command("models", "mine", "--plugin", plugin).status == 0
    for name in ("data.dataset=mine", "augment.policy=mine"):
        with pytest.raises(eosin.UnknownNameError) as caught:
            eosin.train("lightcnn-breakhis200", overrides=[name], output="made")
        assert "import MODULE" in str(caught.value)
        with typed_hints():
            assert tells(str(caught.value.hint), "--plugin", "MODULE")


def test_an_own_network_is_measured_in_every_precision(command, plugin):
    result = command("bench", "mine", "--plugin", plugin, "--json")
    assert result.status == 0, result.err
    (network,) = json.loads(result.out)["networks"]
    assert [speed["reason"] for speed in network["speeds"]] == [""] * 4
    # A plugin of an earlier command, whose file is gone, does not matter.
    Path(plugin).unlink()
    result = command("bench", "light_cnn", "--json")
    (network,) = json.loads(result.out)["networks"]
    assert [speed["reason"] for speed in network["speeds"]] == [""] * 4


def test_an_own_metric_is_printed_and_does_not_rank_runs(command, plugin, tiny_run):
    result = command("evaluate", tiny_run, "--plugin", plugin, "-o", "made")
    assert result.status == 0
    assert tells(result.out, "auc", "cost")
    result = command("compare", tiny_run, "made", "--plugin", plugin, "--metric", "cost")
    assert result.status == 2
    assert tells(result.complaint, "cost", "lower is better")


def test_a_plugin_may_import_torchvision_beside_a_pytorch_without_cuda(plugin, monkeypatch):
    import subprocess
    import sys

    Path("my_views.py").write_text(
        "from torchvision.transforms import v2\nfrom eosin import plugins\n"
        "plugins.policy('views')(v2.RandomHorizontalFlip())\n"
    )
    words = [sys.executable, "-m", "eosin", "data", "list", "--plugin", "my_views.py"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_plugin_that_ends_python_is_an_error(command, own_registries, tmp_path):
    (tmp_path / "my_end.py").write_text("import sys\nsys.exit('usage: my_end FILE')\n")
    result = command("recipes", "--plugin", tmp_path / "my_end.py")
    assert result.status == 2
    assert tells(result.complaint, "my_end.py", "usage: my_end FILE", "line 2")


def test_what_a_plugin_prints_is_not_in_the_document(command, own_registries, tmp_path):
    (tmp_path / "my_words.py").write_text("print('loaded')\n")
    result = command("data", "list", "--json", "--plugin", tmp_path / "my_words.py")
    assert json.loads(result.out)
    assert "loaded" in result.err
