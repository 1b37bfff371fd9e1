import json

import pytest

from eosin.core.errors import ArtifactError
from eosin.reporting.train_test_overlap import train_test_overlap, verdict
from eosin.runs.finished import read_run


def test_missing_folder(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist"):
        read_run(tmp_path / "nowhere")


def test_foreign_folder(tmp_path):
    with pytest.raises(ArtifactError, match=r"no metrics\.json"):
        read_run(tmp_path)


def test_newer_format_is_refused(run):
    data = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps({**data, "format_version": "9.0"}))
    with pytest.raises(ArtifactError, match="format 9"):
        read_run(run)


def test_predictions_without_a_class(run):
    text = (run / "predictions.csv").read_text().replace("prob_benign", "prob_other", 1)
    (run / "predictions.csv").write_text(text)
    with pytest.raises(ArtifactError, match=r"predictions\.csv .* 'benign'"):
        read_run(run)


def test_reads_everything(run):
    gathered = read_run(run)
    assert gathered.name == "breakhis-ernet18"
    assert gathered.split == "test"
    assert set(gathered.predictions["split"]) == {"test"}
    assert gathered.skipped[0].reason == "truncated after 812 bytes"
    assert len(gathered.role("mistake")) == 4
    assert not gathered.simulated


@pytest.mark.parametrize("file", ["../recipe.toml", "/etc/passwd", "..\\\\secret.png", "..", ""])
def test_pictures_stay_inside_the_run(run, file):
    index = json.loads((run / "samples/index.json").read_text())
    index["pictures"][0]["file"] = file
    (run / "samples/index.json").write_text(json.dumps(index))
    with pytest.raises(ArtifactError, match=r"index\.json"):
        read_run(run)


def test_grouped_split_shares_nothing(run):
    gathered = read_run(run)
    assert train_test_overlap(gathered).n_groups == 0
    text = verdict(gathered)
    assert text.startswith("AUC 0.")
    assert text.endswith("on 72 images of 6 patients the model never saw.")


@pytest.mark.parametrize("without", [(), ("manifest.csv",), ("manifest.csv", "split.json")])
def test_image_split_names_the_shared_patients(made, tmp_path, without):
    run = made.fabricate(tmp_path / "run", made.Plan(protocol="image"))
    for name in without:
        (run / name).unlink()
    found = train_test_overlap(read_run(run))
    assert found.n_groups > 20
    assert "patients the model also saw in training" in verdict(read_run(run))


@pytest.mark.parametrize("without", ["none", "predictions.csv"])
def test_folds_share_nothing(made, tmp_path, without):
    run = made.fabricate(tmp_path / "run", made.Plan(protocol="folds"))
    (run / without).unlink(missing_ok=True)
    gathered = read_run(run)
    assert gathered.split == "oof"
    assert [fold.name for fold in gathered.folds] == ["0-0", "0-1", "0-2", "0-3"]
    assert train_test_overlap(gathered).n_groups == 0
    assert verdict(gathered).endswith("each evaluated by a model that never saw it.")


def test_leak_of_another_kind_is_said(run):
    audit = json.loads((run / "audit.json").read_text())
    audit["findings"][0]["severity"] = "leak"
    (run / "audit.json").write_text(json.dumps(audit))
    assert "the leak audit found shared material" in verdict(read_run(run))
