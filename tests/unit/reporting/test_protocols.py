import json
import shutil

import pytest
from PIL import Image

from eosin.core.errors import ArtifactError
from eosin.reporting import protocols_figure, write_protocols_page


def set_metric(run, name, **metric):
    path = run / "metrics.json"
    data = json.loads(path.read_text())
    data["test"]["image"][name] = metric
    path.write_text(json.dumps(data))


def test_page_joins_both(protocols):
    path = write_protocols_page(protocols)
    text = path.read_text(encoding="utf-8")
    assert path == protocols / "report.html"
    assert 'href="strict/report.html"' in text
    assert 'href="as-published/report.html"' in text
    assert (protocols / "strict/report.html").exists()
    assert (protocols / "as-published/report.html").exists()
    assert "No evaluated patient was also trained on." in text
    assert "evaluated patients were also trained on" in text
    assert "groups are in train and in test" in text
    assert "Simulated data." in text
    assert (protocols / "figures/protocols.png").exists()
    assert (protocols / "figures/protocols_roc.png").exists()


@pytest.mark.parametrize(
    ("published", "words"),
    [
        ({"value": 0.95, "low": 0.9, "high": 0.99}, "The two intervals do not overlap"),
        ({"value": 0.75, "low": 0.65, "high": 0.85}, "The two intervals overlap"),
        ({"value": 0.95, "low": None, "high": None}, "has no interval"),
        ({"value": 0.60, "low": 0.5, "high": 0.75}, "it does not flatter here"),
        ({"value": 0.7001, "low": 0.6, "high": 0.8}, "both splits give the same AUC"),
    ],
)
def test_says_what_the_difference_means(protocols, published, words):
    for half in ("strict", "as-published"):
        (protocols / half / "report.html").write_text("here already")
        (protocols / half / "predictions.csv").unlink()
    set_metric(protocols / "strict", "auc", value=0.7, low=0.6, high=0.8)
    set_metric(protocols / "as-published", "auc", **published)
    assert words in write_protocols_page(protocols).read_text(encoding="utf-8")


def test_figure_alone(protocols, tmp_path):
    path = protocols_figure(protocols, tmp_path / "picture.png")
    with Image.open(path) as thumbnail:
        assert thumbnail.width > 800


def test_missing_half(protocols):
    shutil.rmtree(protocols / "strict")
    with pytest.raises(ArtifactError, match="strict"):
        write_protocols_page(protocols)
