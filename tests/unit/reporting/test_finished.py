import json
from pathlib import Path

import pytest
from tests.tiny_runs import edit, relist

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
    edit(run, "metrics.json", lambda data: data.update(format_version="9.0"))
    with pytest.raises(ArtifactError, match="format 9"):
        read_run(run)


def test_predictions_without_a_class(run):
    text = (run / "predictions.csv").read_text().replace("prob_benign", "prob_other", 1)
    (run / "predictions.csv").write_text(text)
    relist(run)
    with pytest.raises(ArtifactError, match=r"predictions\.csv .* 'benign'"):
        read_run(run)


def test_reads_everything(run_of):
    gathered = read_run(run_of("grouped"))
    assert gathered.name == "phantom-light-cnn"
    assert gathered.split == "test"
    assert set(gathered.predictions["split"]) == {"test"}
    assert gathered.skipped == ()
    index = json.loads((gathered.root / "samples/index.json").read_text())["pictures"]
    for role in ("mistake", "correct"):
        files = [one["file"] for one in index if one["role"] == role]
        assert files
        assert [one.file for one in gathered.role(role)] == files
    assert all(one.predicted != one.label for one in gathered.role("mistake"))
    right = gathered.role("correct")
    assert all(one.predicted == one.label for one in right)
    # Right and wrong are the decisions, not the most probable class.
    paths = gathered.predictions["path"].map(lambda path: Path(path).name)
    decided = dict(zip(paths, gathered.predictions["decision"], strict=True))
    shown = [*gathered.role("mistake"), *right]
    assert [one.predicted for one in shown] == [decided[Path(one.path).name] for one in shown]
    # Classes take turns, each from its most confident prediction on.
    assert right[0].label != right[1].label
    assert right[0].probability >= right[2].probability
    assert gathered.simulated


@pytest.mark.parametrize("file", ["../recipe.toml", "/etc/passwd", "..\\\\secret.png", "..", ""])
def test_pictures_stay_inside_the_run(run, file):
    edit(run, "samples/index.json", lambda index: index["pictures"][0].update(file=file))
    with pytest.raises(ArtifactError, match=r"index\.json"):
        read_run(run)


def test_grouped_split_shares_nothing(run_of):
    gathered = read_run(run_of("grouped"))
    assert train_test_overlap(gathered).n_groups == 0
    assert f"AUC {gathered.evaluated.image['auc'].value:.3f}" in verdict(gathered)
    assert "48 images of 12 patients" in verdict(gathered)
    assert "not used in training" in verdict(gathered)


@pytest.mark.parametrize("without", [(), ("manifest.csv",), ("manifest.csv", "split.json")])
def test_image_split_counts_the_shared_patients(copy_of, without):
    run = copy_of("image")
    frame = read_run(run).manifest
    is_test = frame["split"] == "test"
    shared = set(frame["group"][is_test]) & set(frame["group"][~is_test])
    for name in without:
        (run / name).unlink()
    assert train_test_overlap(read_run(run)).n_groups == len(shared) > 20
    assert f"{len(shared)} of these patients were also in training" in verdict(read_run(run))


@pytest.mark.parametrize("without", ["none", "predictions.csv"])
def test_folds_share_nothing(copy_of, without):
    run = copy_of("folds")
    (run / without).unlink(missing_ok=True)
    gathered = read_run(run)
    assert gathered.split == "oof"
    assert [fold.root.name for fold in gathered.folds] == ["0-0", "0-1", "0-2"]
    assert train_test_overlap(gathered).n_groups == 0
    assert "not trained on it" in verdict(gathered)


def test_leak_of_another_kind_is_said(run):
    assert "leak audit" not in verdict(read_run(run))
    leak = {"kind": "near_duplicate", "severity": "leak", "message": "1 pair", "pairs": []}
    edit(run, "audit.json", lambda audit: audit["findings"].append(leak))
    assert "leak audit" in verdict(read_run(run))
