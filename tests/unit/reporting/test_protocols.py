import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tests.facts import has_files
from tests.tiny_runs import edit, relist

from eosin.core.errors import ArtifactError
from eosin.reporting import protocols_figure, write_protocols_page
from eosin.runs.finished import read_run


def set_metric(run, name, **metric):
    edit(run, "metrics.json", lambda data: data["test"]["image"].update({name: metric}))


def predict(run, noise):
    """Replace a run's probabilities by its labels with noise."""
    path, random = run / "predictions.csv", np.random.default_rng(0)
    frame = pd.read_csv(path, dtype=str)
    score = (frame["label"] == "malignant") + random.normal(0, noise, len(frame))
    probability = 1 / (1 + np.exp(1 - 2 * score))
    frame["prob_malignant"], frame["prob_benign"] = probability, 1 - probability
    frame.to_csv(path, index=False)
    relist(run)


@pytest.mark.parametrize(("noise", "verdict"), [((5.0, 0.3), "excludes 0"), ((5, 4), "includes 0")])
def test_the_difference_is_told_with_its_interval(protocols, noise, verdict):
    for half, own in zip(("strict", "as-published"), noise, strict=True):
        (protocols / half / "report.html").write_text("here already")
        predict(protocols / half, own)
    text = write_protocols_page(protocols).read_text(encoding="utf-8")
    assert verdict in text


@pytest.mark.drawn
def test_page_joins_both(protocols):
    path = write_protocols_page(protocols)
    text = path.read_text(encoding="utf-8")
    assert path == protocols / "report.html"
    for half in ("strict", "as-published"):
        assert f'href="{half}/report.html"' in text
        assert (protocols / half / "report.html").exists()
        (auc,) = {f"{read_run(protocols / half).evaluated.image['auc'].value:.3f}"}
        assert auc in text
    leak = read_run(protocols / "as-published").audit.leaks[0].message
    assert leak.partition(" in ")[0] in text
    assert "Simulated data" in text
    assert (protocols / "figures/protocols.png").exists()
    assert (protocols / "figures/protocols_roc.png").exists()
    assert has_files(path)


@pytest.mark.parametrize(
    ("published", "words"),
    [
        ({"value": 0.95, "low": None, "high": None}, "has no interval"),
        ({"value": 0.60, "low": 0.5, "high": 0.75}, "not optimistic"),
        ({"value": 0.7001, "low": 0.6, "high": 0.8}, "the same AUC"),
    ],
)
def test_says_what_the_difference_means(protocols, published, words):
    for half in ("strict", "as-published"):
        (protocols / half / "report.html").write_text("here already")
        (protocols / half / "predictions.csv").unlink()
    set_metric(protocols / "strict", "auc", value=0.7, low=0.6, high=0.8)
    set_metric(protocols / "as-published", "auc", **published)
    assert words in write_protocols_page(protocols).read_text(encoding="utf-8")


@pytest.mark.drawn
def test_figure_alone(protocols, tmp_path):
    path = protocols_figure(protocols, tmp_path / "picture.png")
    with Image.open(path) as thumbnail:
        assert thumbnail.width > 800


def test_missing_half(protocols):
    shutil.rmtree(protocols / "strict")
    with pytest.raises(ArtifactError, match="strict"):
        write_protocols_page(protocols)
