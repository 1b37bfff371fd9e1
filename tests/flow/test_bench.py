"""``bench``: size, speed and memory of networks, each in a process of its own."""

import json

import pytest
from tests.facts import tells

import eosin
from eosin.artifacts.layout import ModelFolder
from eosin.artifacts.model import ModelInfo
from eosin.artifacts.versioned import read_document
from eosin.commands import bench as command_module
from eosin.commands import export_int8
from eosin.commands.bench import BenchResult, NetworkCosts, format_result
from eosin.commands.bench_processes import Job, Process, Speed, time_batches
from eosin.core.errors import ArtifactError, MissingPartError, UnknownNameError, UsageError


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    """Return a model folder with 8 bits, of a tiny run that nearly guesses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export_int8, "MAX_AUC_LOSS", 1.0)
        folder = tmp_path_factory.mktemp("bench") / "exported"
        return eosin.export(tiny_run, to="onnx", int8=True, output=folder).folder


def test_a_folder_and_a_name(command, exported):
    result = command("bench", exported, "mnist_cnn", "--json")
    assert result.status == 0, result.err
    found = json.loads(result.out)
    folder, named = found["networks"]
    info = read_document(exported / "model.json", ModelInfo)
    assert (folder["name"], named["name"]) == (str(exported), "mnist_cnn")
    assert (folder["params"], folder["macs"]) == (info.params, info.macs)
    (fact,) = eosin.models("mnist_cnn")
    assert (named["params"], named["macs"]) == (fact.params, fact.macs)
    assert named["input_px"] == [fact.input_px] * 2
    sizes = {"float32": ModelFolder(exported).onnx, "int8": ModelFolder(exported).int8}
    for network in (folder, named):
        assert network["flops"] == 2 * network["macs"]
        assert [one["precision"] for one in network["speeds"]] == [
            *("float32", "int8", "bfloat16", "training"),
        ]
        for one in network["speeds"]:
            assert one["reason"] == "", one
            # A process of its own with NumPy alone has more than 20 MB; no network here has 2 GB.
            assert 2e7 < one["peak_bytes"] < 2e9
            assert one["median_seconds"] > 0
            assert one["images_per_second"] > 0
            if one["precision"] != "training":
                assert one["n_timed"] == 20
                assert one["median_seconds"] <= one["p95_seconds"] < one["cold_seconds"]
    for one in folder["speeds"]:
        path = sizes.get(one["precision"])
        assert one["file_bytes"] == (path.stat().st_size if path else None)
        assert ("INT8" in one["engine"]) == (one["precision"] == "int8")
    assert any("random weights" in rule for rule in found["rules"])


def test_what_the_terminal_shows():
    speeds = [
        Speed("float32", "E 1", "", 2_000_000, 0.5, 0.001, 0.002, 20, 1234.5, 3 << 20),
        Speed("int8", reason="the folder has no 8-bit network"),
        Speed("training", "P 2", median_seconds=0.25, n_timed=5, images_per_second=128.0),
    ]
    costs = [NetworkCosts("mine", (50, 60), 4321, 5_000_000, 10_000_000, speeds)]
    result = BenchResult(costs, "a machine", 2)
    tables = format_result(result)
    sizes, speed = tables[0], tables[2]
    assert sizes.rows[1] == ("mine", "50 × 60", "4,321", "5.0", "10.0")
    assert speed.rows[1] == ("mine", "float32", "2.00", "0.50", "1.00", "2.00", "1,234.5", "3")
    assert speed.rows[2][2:] == ("–", "–", "250.00", "–", "128.0", "–")
    text = [line for line in tables if isinstance(line, str)]
    assert tells(text, "mine", "INT8", "no 8-bit network")
    assert tells(text, "a machine", "2 threads")
    assert tells(repr(result), "mine", "4,321", "float32", "1 ms")


def test_what_is_no_network_is_told(command, tmp_path, monkeypatch):
    assert tells(command("bench", "lite_cnn").complaint, "lite_cnn", "light_cnn")
    missing = tmp_path / "missing"
    result = command("bench", missing)
    assert (result.status, str(missing) in result.complaint) == (1, True)
    with pytest.raises(UnknownNameError):
        eosin.bench("resnet19")
    with pytest.raises(ArtifactError):
        eosin.bench(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert "is not a model folder" in command("bench", "mine").complaint
    with pytest.raises(UsageError):
        eosin.bench([])


def test_without_pytorch_a_folder_is_measured_and_a_name_is_not(monkeypatch, tiny_run):
    monkeypatch.setattr(command_module, "find_module", lambda name: None)
    with pytest.raises(MissingPartError):
        eosin.bench("light_cnn")
    with pytest.raises(ArtifactError):
        eosin.bench("runs/mistyped")
    ((network,),) = [eosin.bench(tiny_run).networks]
    reasons = {one.precision: one.reason for one in network.speeds}
    assert reasons["float32"] == ""
    assert "8-bit" in reasons["int8"]
    assert "PyTorch" in reasons["bfloat16"]
    assert "PyTorch" in reasons["training"]


def test_a_process_that_ends_is_told():
    process = Process(Job("float32", {"kind": "folder"}))
    process.start()
    time_batches([process], 1)
    process.stop()
    assert tells(process.speed().reason, "the process ended", "KeyError")
    absent = Process(Job("float32", {"kind": "onnx", "network": "none", "shape": [1, 2, 3]}))
    absent.start()
    absent.stop()
    assert "does not exist" in absent.speed().reason
