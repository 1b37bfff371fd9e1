"""JSON artifacts: versions, schemas, and what a reader refuses."""

import json

import pytest
from pydantic import ValidationError

from eosin.artifacts.audit import AuditReport, Finding
from eosin.artifacts.layout import FORMAT_VERSION, ModelFolder, RunFolder
from eosin.artifacts.metrics import (
    Confusion,
    Metric,
    SplitMetrics,
    Threshold,
    read_metrics,
    write_metrics,
)
from eosin.artifacts.run import SamplesIndex, SplitReport
from eosin.artifacts.versioned import check_version, read_document, write_document
from eosin.core.errors import ArtifactError
from eosin.core.types import Estimate

AUDIT = AuditReport(
    n_images=2,
    n_groups=1,
    splits={},
    findings=[
        Finding(kind="same_group", severity="leak", message="shared", pairs=[]),
        Finding(kind="same_path", severity="note", message="twice", pairs=[]),
    ],
)
SPLIT = SplitMetrics(
    n_images=4,
    n_patients=None,
    n_groups=2,
    positive="b",
    image={"accuracy": Metric(value=0.5, low=0.1, high=0.9)},
    at_threshold={},
    patient={"recognition_rate": Metric(value=None, reason="no patients")},
    by_magnification={"40": {}},
    by_class={},
    by_site={},
    confusion=Confusion(labels=["a", "b"], matrix=[[1, 1], [1, 1]]),
    threshold=Threshold(value=0.3, source="val", target_recall=0.9),
)


def test_a_document_reads_back_equal(tmp_path):
    write_document(tmp_path / "audit.json", AUDIT)
    assert read_document(tmp_path / "audit.json", AuditReport) == AUDIT
    assert json.loads((tmp_path / "audit.json").read_text())["format_version"] == FORMAT_VERSION


def test_only_leaks_are_leaks():
    assert [finding.kind for finding in AUDIT.leaks] == ["same_group"]


@pytest.mark.parametrize("version", ["2.0", "0.9", "none", "10.1", ""])
def test_another_major_version_is_refused(tmp_path, version):
    data = {**AUDIT.model_dump(), "format_version": version}
    (tmp_path / "audit.json").write_text(json.dumps(data))
    with pytest.raises(ArtifactError) as caught:
        read_document(tmp_path / "audit.json", AuditReport)
    assert f"is in format {version}; this Eosin reads format {FORMAT_VERSION}" in str(caught.value)


def test_a_file_without_a_version_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="is in format none"):
        check_version(tmp_path, {})
    with pytest.raises(ArtifactError, match="should contain a JSON object, got list"):
        check_version(tmp_path, [])


def test_a_newer_minor_version_may_add_keys(tmp_path):
    data = {**AUDIT.model_dump(), "format_version": "1.9", "later": 1}
    (tmp_path / "audit.json").write_text(json.dumps(data))
    assert read_document(tmp_path / "audit.json", AuditReport).findings == AUDIT.findings


def test_a_misfit_names_its_place(tmp_path):
    data = AUDIT.model_dump()
    data["findings"][1]["severity"] = "grave"
    (tmp_path / "audit.json").write_text(json.dumps(data))
    with pytest.raises(ArtifactError, match=r"does not fit its schema at findings\.1\.severity"):
        read_document(tmp_path / "audit.json", AuditReport)


def test_documents_are_frozen():
    with pytest.raises(ValidationError, match="frozen"):
        AUDIT.n_images = 3


@pytest.mark.parametrize("kind", [SplitReport, SamplesIndex])
def test_an_absent_document_is_refused(tmp_path, kind):
    with pytest.raises(ArtifactError, match="does not exist"):
        read_document(tmp_path / "none.json", kind)


def test_metrics_read_back_equal(tmp_path):
    write_metrics(tmp_path / "metrics.json", {"test": SPLIT})
    assert read_metrics(tmp_path / "metrics.json") == {"test": SPLIT}
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert set(written) == {"format_version", "test"}
    assert written["test"]["image"]["accuracy"] == {"value": 0.5, "low": 0.1, "high": 0.9}
    assert written["test"]["patient"]["recognition_rate"] == {
        "value": None,
        "low": None,
        "high": None,
        "reason": "no patients",
    }


@pytest.mark.parametrize("block", [{}, 3, {**SPLIT.model_dump(), "n_images": "many"}])
def test_metrics_that_do_not_fit_are_refused(tmp_path, block):
    text = json.dumps({"format_version": FORMAT_VERSION, "test": block})
    (tmp_path / "metrics.json").write_text(text)
    with pytest.raises(ArtifactError, match="does not fit its schema"):
        read_metrics(tmp_path / "metrics.json")


def test_metrics_without_a_version_are_refused(tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(ArtifactError, match="is in format none"):
        read_metrics(tmp_path / "metrics.json")


def test_a_metric_is_an_estimate():
    assert Metric.of(Estimate(0.5, 0.1, 0.9, "few")) == Metric(
        value=0.5, low=0.1, high=0.9, reason="few"
    )


def test_the_run_folder_is_the_contract_s(tmp_path):
    run = RunFolder(tmp_path)
    names = [run.recipe, run.environment, run.manifest, run.audit, run.history, run.model]
    names += [run.predictions, run.metrics, run.samples, run.report, run.logits]
    names += [run.skipped, run.last_checkpoint, run.fold(1, 3).root]
    assert [path.relative_to(tmp_path).as_posix() for path in names] == [
        "recipe.toml",
        "environment.json",
        "manifest.csv",
        "audit.json",
        "history.csv",
        "model",
        "predictions.csv",
        "metrics.json",
        "samples",
        "report.html",
        "logits.parquet",
        "skipped.csv",
        "checkpoints/last.ckpt",
        "folds/1-3",
    ]


def test_the_model_folder_is_the_contract_s(tmp_path):
    model = ModelFolder(tmp_path)
    names = [path.name for path in (model.weights, model.info, model.onnx)]
    assert names == ["model.safetensors", "model.json", "model.onnx"]
