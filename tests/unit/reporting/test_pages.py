import json
from html.parser import HTMLParser

import matplotlib as mpl
import pytest
from PIL import Image

from eosin.core.errors import ArtifactError
from eosin.reporting import write_report


class Page(HTMLParser):
    """Collects what the assertions look at."""

    VOID = frozenset({"meta", "img", "link", "br", "input", "wbr"})

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "wbr":  # all others part words
            self.words.append(" ")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.words.append(" ")

    def handle_data(self, data):
        self.words.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def page_of(run):
    path = write_report(run)
    assert path == run / "report.html"
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def drawn(made, tmp_path_factory):
    """A run with its page, for tests that only look."""
    run = made.fabricate(tmp_path_factory.mktemp("drawn") / "run")
    return run, page_of(run)


def test_whole_page(drawn):
    run, page = drawn
    for words in (
        "the model never saw",
        "Research use only.",
        "nominal 95 % intervals covered 81 % in simulation",
        "truncated after 812 bytes",
        "1 pair inside train",
        "Tuned threshold: 0.430",
        "Temperature: 1.23 (fitted on the validation part).",
        "Bins of the calibration error",
        "An image is called malignant from 0.430 on (chosen on the validation part).",
        "it reached 0.930 (0.810–0.980)",
        "Of 100 images benign: called malignant (false positives) 46 (20–67)",
        "it abstains on 25.0",
        "0.833 (0.500–1.000) 0.437–0.970",
        "called benign at 0.970",
        "CC0-1.0",
        "eosin train recipe.toml",
    ):
        assert words in page.text
    assert "Simulated data" not in page.text
    # A page is passed on; where the data lie on this machine stays here.
    assert "/secret/place" not in page.text
    names = {path.stem for path in (run / "figures").glob("*.png")}
    assert names >= {"headline", "distribution", "confusion", "roc", "precision_recall"}
    assert names >= {
        "reliability",
        "scores",
        "decision_curve",
        "learning_loss",
        "learning_accuracy",
        "learning_lr",
    }
    assert (run / "report.html").stat().st_size < 3_000_000


def test_accessible_and_self_contained(drawn):
    _, page = drawn
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in attributes for attributes in page.all("th"))
    assert all(attributes["alt"] for attributes in page.all("img"))
    assert all(attributes["src"].startswith("data:image/") for attributes in page.all("img"))
    assert not page.all("script")


def test_same_run_gives_the_same_bytes(drawn):
    run, _ = drawn
    first = (run / "report.html").read_bytes()
    before = dict(mpl.rcParams)
    assert write_report(run).read_bytes() == first
    assert dict(mpl.rcParams) == before


def test_hostile_and_foreign_names(made, tmp_path):
    classes = ("<script>alert(1)</script>", "_腫瘍 $x_1$ & Größe")
    plan = made.Plan(
        classes=classes, positive=classes[1], magnifications=(), sites=(), simulated=True
    )
    page = page_of(made.fabricate(tmp_path / "run", plan))
    assert not page.all("script")
    assert all(name in page.text for name in classes)
    assert "By magnification" not in page.text
    assert "Simulated data." in page.text


def test_a_run_of_before_has_no_empty_sections(run):
    metrics = json.loads((run / "metrics.json").read_text())
    for name in ("calibration", "decisions", "abstention", "by_subtype"):
        del metrics["test"][name]
    (run / "metrics.json").write_text(json.dumps(metrics))
    page = page_of(run)
    targets = {link["href"] for link in page.all("a")}
    assert {"#calibration", "#decisions"} <= targets  # the diagram and the threshold are there
    assert "#abstention" not in targets
    assert "By subtype" not in page.text
    assert not (run / "figures/decision_curve.png").exists()
    assert "## Abstention" not in (run / "model/card.md").read_text()


def test_folds(made, tmp_path):
    page = page_of(made.fabricate(tmp_path / "run", made.Plan(protocol="folds")))
    assert "Repeat 1, fold 4" in page.text
    assert "held-out images of all folds" in page.text
    assert any("mean of 4 folds" in image["alt"] for image in page.all("img"))


@pytest.mark.parametrize("n_classes", [3, 30])
def test_many_classes(made, tmp_path, n_classes):
    classes = tuple(f"class {i:02d} with a name that runs on and on" for i in range(n_classes))
    plan = made.Plan(classes=classes, positive=None, n_patients=max(30, 3 * n_classes), skill=3.0)
    page = page_of(made.fabricate(tmp_path / "run", plan))
    assert "means over the classes" in page.text
    assert "Macro AUC" in page.text
    assert any("against the rest" in image["alt"] for image in page.all("img"))


def test_only_metrics(run, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    metrics = json.loads((run / "metrics.json").read_text())
    external = {**metrics["test"], "n_patients": None, "patient": {}, "at_threshold": {}}
    external["image"] = {
        name: {"value": None, "low": None, "high": None, "reason": "no image of benign"}
        for name in external["image"]
    }
    (bare / "metrics.json").write_text(json.dumps({"format_version": "1.0", "external": external}))
    page = page_of(bare)
    assert "No headline number: no image of benign" in page.text
    assert (
        "whether the model saw these images, or others of these patients, is unknown" in page.text
    )
    assert "72 images of 6 groups" in page.text


def test_outside_images_of_one_class(run):
    # As `evaluate` leaves it: no history, a manifest that holds one class.
    for name in ("history.csv", "split.json", "recipe.toml", "audit.json"):
        (run / name).unlink()
    metrics = json.loads((run / "metrics.json").read_text())
    evaluated = metrics["test"] | {"n_images": 48}
    outside = {"format_version": "1.0", "external": evaluated}
    (run / "metrics.json").write_text(json.dumps(outside))
    rows = (run / "predictions.csv").read_text().splitlines()
    kept = [
        rows[0],
        *(row.replace(",test,", ",external,") for row in rows if ",malignant,P" in row),
    ]
    (run / "predictions.csv").write_text("\n".join(kept) + "\n")
    (run / "manifest.csv").write_text("path,label\na.png,malignant\n")
    page = page_of(run)
    assert "from an external data set" in page.text
    assert not (run / "figures/roc.png").exists()
    assert "eosin evaluate" in page.text


def test_removed_picture_is_left_out_and_a_damaged_one_named(run):
    (run / "samples/mistake-16.png").unlink()
    page = page_of(run)
    assert sum("Misjudged" in image["alt"] for image in page.all("img")) == 3
    Image.new("1", (30_000, 30_000)).save(run / "samples/mistake-16.png")
    with pytest.raises(ArtifactError, match=r"mistake-16\.png .* pixels"):
        write_report(run)
    (run / "samples/mistake-16.png").write_bytes(b"no picture")
    with pytest.raises(ArtifactError, match=r"mistake-16\.png"):
        write_report(run)


def test_refusal_leaves_no_page(tmp_path):
    with pytest.raises(ArtifactError):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())
