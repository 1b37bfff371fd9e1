import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from PIL import Image
from tests.facts import tells
from tests.tiny_runs import HOSTILE, edit, relist

from eosin.artifacts.manifest import write_table
from eosin.core.errors import ArtifactError
from eosin.reporting import write_report
from eosin.reporting.formatting import metric_label, metric_text, of_hundred
from eosin.runs.finished import read_run

NEAR = {"kind": "near_duplicate", "severity": "note", "message": "1 pair inside train", "pairs": []}
LOST = {"value": None, "low": None, "high": None, "reason": "no image of benign"}


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
def drawn(run_of, tmp_path_factory):
    """A run with its page, for tests that only look."""
    run = Path(shutil.copytree(run_of("grouped"), tmp_path_factory.mktemp("drawn") / "run"))
    skipped = {"path": ["b/broken.png"], "reason": ["truncated after 812 bytes"]}
    write_table(run / "skipped.csv", pd.DataFrame(skipped))
    edit(run, "audit.json", lambda audit: audit["findings"].append(NEAR))
    edit(run, "environment.json", lambda record: record.update(data_root="/secret/place"))
    return run, page_of(run)


@pytest.mark.drawn
def test_the_page_shows_what_the_run_s_files_hold(drawn):
    run, page = drawn
    result = read_run(run)
    metrics = result.evaluated
    patient = metrics.patient["majority_vote_accuracy"]
    first, right = (result.role(role)[0] for role in ("mistake", "correct"))
    for fact in (
        metric_text(metrics.image["auc"]),
        "12 patients",
        "such intervals contained the true value",
        *(metric_text(part.metrics["auc"]) for part in metrics.by_magnification.values()),
        *(metric_text(block["auc"]) for block in metrics.by_site.values()),
        *(metric_text(metrics.image[f"{m}_weighted"]) for m in ("precision", "recall", "f1")),
        *metrics.by_subtype,
        *(metric_text(block["accuracy"]) for block in metrics.by_subtype.values()),
        "Research use only.",
        "Simulated data.",
        "truncated after 812 bytes",
        NEAR["message"],
        f"{metrics.threshold.value:.3f}",
        metric_text(metrics.threshold.recall),
        f"Temperature: {metrics.calibration.temperature:.2f}",
        of_hundred(metrics.decisions.ppv),
        f"abstains on {100 * metrics.abstention.abstention_rate.value:.1f}",
        metric_text(patient),
        "{:.3f}–{:.3f}".format(*patient.wilson),
        f"decision: {first.predicted} ({first.probability:.3f})",
        Path(first.path).name,
        f"probability {right.probability:.3f}",
        result.dataset["licence"],
        "eosin train recipe.toml",
    ):
        assert fact in page.text
    # A page is passed on; where the data lie on this machine stays here.
    assert "/secret/place" not in page.text
    root = Path(result.recipe.data.root)
    assert str(root.parent) not in page.text
    assert f'root = "…/{root.name}"' in page.text
    names = {path.stem for path in (run / "figures").glob("*.png")}
    assert names >= {"confusion", "roc", "precision_recall"}
    assert names >= {"reliability", "scores", "decision_curve"}
    assert names >= {"learning_loss", "learning_accuracy"}
    assert (run / "report.html").stat().st_size < 3_000_000


@pytest.mark.drawn
@pytest.mark.parametrize("kind", ["grouped", "folds"])
def test_all_decisions_of_the_first_screen_are_those_at_the_threshold(copy_of, kind):
    run = copy_of(kind)
    text = page_of(run) and (run / "report.html").read_text(encoding="utf-8")
    result = read_run(run)
    frame, metrics = result.predictions, result.evaluated
    right = frame["decision"] == frame["label"]
    assert not right.equals(frame["predicted"] == frame["label"])  # the run tells them apart
    page, screen = Page(text), text.partition("<details")[0]
    matrix = next(one["alt"] for one in page.all("img") if "Confusion matrix" in one["alt"])
    for name, of_class in right.groupby(frame["label"]):
        n_right, rate = int(of_class.sum()), of_class.mean()
        assert tells(matrix, f"{len(of_class)} images of {name}", n_right, f"{rate:.3f}")
    for name in ("accuracy", "recall", "specificity"):
        shown = metric_text(metrics.at_threshold[name]).partition(" (")[0]
        assert tells(screen, metric_label(name, short=True), shown), name
    assert metrics.at_threshold["recall"].value == right[frame["label"] == metrics.positive].mean()
    assert "tuned threshold" in screen
    assert "most probable" not in screen
    # The matrix of the most probable class is in the details, under its name.
    assert tells(text.partition("<details")[2], "Most probable class", "confusion_argmax.png")


@pytest.mark.drawn
def test_of_several_magnifications_each_has_its_panel_and_of_one_nothing_is_drawn_twice(
    drawn, copy_of
):
    names = {"magnification_metrics", "magnification_confusion", "magnification_roc"}
    run, page = drawn
    assert names <= {path.stem for path in (run / "figures").glob("*.png")}
    parts = read_run(run).evaluated.by_magnification
    texts = [image["alt"] for image in page.all("img")]
    for metric in ("accuracy", "recall", "precision", "f1", "auc"):
        shown = [x for key in parts for x in (f"{key}×", metric_text(parts[key].metrics[metric]))]
        assert any(tells(text, *shown) for text in texts), metric
    for part in parts.values():
        assert metric_text(part.metrics["recognition_rate"]) in page.text

    # A run of before 0.2 has the metrics alone.
    def strip(metrics):
        for part in metrics["test"]["by_magnification"].values():
            del part["curves"], part["confusion"], part["recognition_rate"]

    def keep_one(metrics):
        metrics["test"]["by_magnification"].popitem()
        assert len(metrics["test"]["by_magnification"]) == 1

    run = copy_of("grouped")
    for change, expected in ((strip, {"magnification_metrics"}), (keep_one, set())):
        edit(run, "metrics.json", change)
        shutil.rmtree(run / "figures", ignore_errors=True)
        page_of(run)
        assert {path.stem for path in (run / "figures").glob("*.png")} & names == expected


@pytest.mark.drawn
def test_the_result_comes_first_and_everything_else_is_folded_away(drawn):
    run, page = drawn
    text = (run / "report.html").read_text(encoding="utf-8")
    first, _, details = text.partition("<details")
    metrics, shown = read_run(run).evaluated, Page(first.partition("<main")[2]).all
    recall = metric_text(metrics.at_threshold["recall"]).partition(" (")
    for fact in ("160 images of 40 patients", "benign", "malignant", "Split by patient", recall[0]):
        assert fact in first
    alts = [image["alt"] for image in shown("img")]
    assert tells(alts[0], "Confusion matrix", "benign")
    assert tells(alts[1], "ROC curve")
    assert "Misclassified" in alts[2]
    assert not any("open" in fold for fold in page.all("details"))
    assert all(heading in details for heading in ("Leak audit", "Calibration", "Provenance"))


@pytest.mark.drawn
def test_a_note_on_an_interval_is_there_once_and_marks_lead_to_it(drawn):
    _, page = drawn
    notes = [item["id"] for item in page.all("li") if item.get("id", "").startswith("note-")]
    marks = {link["href"] for link in page.all("a") if link["href"].startswith("#note-")}
    assert marks == {f"#{note}" for note in notes}
    assert len(set(notes)) == len(notes) > 1
    # What is usual is described once, without a mark.
    assert page.text.count("such intervals contained the true value") == 1
    assert page.text.count("an interval needs at least") == 1


@pytest.mark.drawn
def test_tables_and_figures_are_files_beside_the_page(drawn):
    run, page = drawn
    links = {link["href"] for link in page.all("a")}
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    beside = {link for link in links if link.startswith(("tables/", "figures/", "errors"))}
    assert beside <= files
    n_tables, n_figures = len(page.all("table")), len(page.all("figure"))
    assert sum(link.endswith(".csv") for link in beside) == n_tables + 1
    for kind in (".png", ".svg"):
        assert sum(link.endswith(kind) for link in beside) == n_figures
    auc = read_run(run).evaluated.image["auc"]
    row = pd.read_csv(run / "tables/metrics.csv", index_col=0).loc["Area under the ROC curve (AUC)"]
    assert row.iloc[:3].tolist() == pytest.approx([auc.value, auc.low, auc.high], rel=1e-5)
    assert (run / "figures/roc.svg").read_text(encoding="utf-8").count("ROC curve") == 1


def test_a_user_s_own_metric_is_in_the_tables_by_magnification_and_site(run):
    f2 = {"value": 0.4321, "low": 0.2, "high": 0.6}

    def add(metrics):
        of_test = metrics["test"]
        for block in of_test["by_site"].values():
            block["f2"] = f2
        for part in of_test["by_magnification"].values():
            part["f2"] = f2

    edit(run, "metrics.json", add)
    page_of(run)
    by_site = pd.read_csv(run / "tables/metrics_by_site.csv", index_col=0)
    assert set(by_site[metric_label("f2", short=True)]) == {0.4321}
    by_magnification = pd.read_csv(run / "tables/metrics_by_magnification.csv", index_col=0)
    assert float(by_magnification.loc[metric_label("f2", short=True)].iloc[0]) == 0.4321


def test_errors_are_the_wrong_decisions_the_most_confident_first(run):
    page_of(run)
    frame, errors = (pd.read_csv(run / f"{name}.csv") for name in ("predictions", "errors"))
    frame = frame[frame["split"] == "test"]
    is_wrong = frame["decision"] != frame["label"]
    assert not is_wrong.equals(frame["predicted"] != frame["label"])
    assert set(errors["path"]) == set(frame["path"][is_wrong])
    columns = "path label decision probability predicted abstained patient"
    assert list(errors) == columns.split()
    page = (run / "report.html").read_text(encoding="utf-8")
    assert tells(page, f"{len(errors)} of {len(frame)} decisions")
    decided = frame.set_index("path").loc[errors["path"]]
    expected = [row[f"prob_{row['decision']}"] for _, row in decided.iterrows()]
    assert list(errors["probability"]) == expected
    assert errors["probability"].is_monotonic_decreasing
    # A run of before 0.2 has neither decisions nor `correct`.
    old = pd.read_csv(run / "predictions.csv").drop(columns=["decision", "correct"])
    old.to_csv(run / "predictions.csv", index=False)
    relist(run)
    page_of(run)
    pd.testing.assert_frame_equal(pd.read_csv(run / "errors.csv"), errors)


@pytest.mark.drawn
def test_accessible_and_self_contained(drawn):
    run, page = drawn
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("h1")) == 1
    assert len(page.all("caption")) == len(page.all("table"))
    assert all("scope" in attributes for attributes in page.all("th"))
    assert all(attributes["alt"] for attributes in page.all("img"))
    assert all(attributes["src"].startswith("data:image/") for attributes in page.all("img"))
    assert not page.all("script")
    # Mailed alone its links lead nowhere: it says where the files are. The card links to none.
    assert tells(page.text, "PNG, SVG and CSV files", "folder")
    assert "PNG" not in (run / "model" / "card.html").read_text(encoding="utf-8")


@pytest.mark.drawn
def test_same_run_gives_the_same_bytes(drawn):
    run, _ = drawn
    first = (run / "report.html").read_bytes()
    before = dict(mpl.rcParams)
    assert write_report(run).read_bytes() == first
    assert dict(mpl.rcParams) == before


@pytest.mark.drawn
def test_hostile_and_foreign_names(copy_of):
    page = page_of(copy_of("hostile names"))
    assert not page.all("script")
    assert all(name in page.text for name in HOSTILE)
    assert "By magnification" not in page.text
    assert "Simulated data" not in page.text


def test_a_run_of_before_has_no_empty_sections(run):
    def forget(metrics):
        for name in ("calibration", "decisions", "abstention", "by_subtype"):
            del metrics["test"][name]

    edit(run, "metrics.json", forget)
    edit(run, "model/model.json", lambda model: model.update(abstention=None))
    (run / "figures/decision_curve.png").unlink(missing_ok=True)
    page = page_of(run)
    targets = {heading["id"] for heading in page.all("h2")}
    assert {"calibration", "decisions"} <= targets  # the diagram and the threshold are there
    assert "abstention" not in targets
    assert "By subtype" not in page.text
    assert not (run / "figures/decision_curve.png").exists()
    assert "## Abstention" not in (run / "model/card.md").read_text()


@pytest.mark.drawn
def test_folds(copy_of):
    page = page_of(copy_of("folds"))
    assert "Fold 3" in page.text
    assert "Fold 4" not in page.text
    assert any("mean of 3 folds" in image["alt"] for image in page.all("img"))


@pytest.mark.drawn
@pytest.mark.parametrize("kind", ["three classes", "thirty classes"])
def test_many_classes(copy_of, kind):
    run = copy_of(kind)
    page = page_of(run)
    assert "Macro AUC" in page.text
    assert all(name in page.text for name in read_run(run).class_names)
    assert any("against the rest" in image["alt"] for image in page.all("img"))


def test_the_training_by_epoch_is_a_table_of_last_evaluations(run):
    history = pd.read_csv(run / "history.csv").iloc[:4].assign(epoch=[0, 0, 1, 1])
    history.loc[3, ["accuracy", "loss", "val_accuracy", "val_loss", "lr"]] = [
        *(0.8125, 0.4321, 0.7, 0.5),
        1e-4,
    ]
    history.loc[1, "val_accuracy"] = None
    history.to_csv(run / "history.csv", index=False)
    relist(run)
    words = page_of(run).text
    heads = ["Epoch", "Training accuracy", "Training loss", "Validation accuracy"]
    first = [f"{history.loc[1, name]:.4f}" for name in ("accuracy", "loss")]
    assert tells(words, *heads, "Validation loss", "Learning rate", "1", *first, "—")
    assert "2 0.8125 0.4321 0.7000 0.5000 0.0001" in words


def test_the_layers_are_a_table_and_of_folds_those_of_a_fold(copy_of):
    for kind in ("grouped", "folds"):
        words = page_of(copy_of(kind, kind)).text
        assert tells(words, "Layers of the network", "features.0", "Conv2d", "16 × 16 × 16", "448")
        assert tells(words, "Total", "224")


def test_frozen_weights_are_told_and_a_run_without_layers_has_no_table(run):
    def freeze(table):
        table["layers"][0]["trainable"] = 0

    heads = ("Layer", "Kind", "Output", "Parameters", "Trained", "Buffers")
    assert not tells(page_of(run).text, *heads)
    edit(run, "layers.json", freeze)
    words = page_of(run).text
    assert tells(words, *heads, "448", "0", "0")
    params = sum(row["params"] for row in json.loads((run / "layers.json").read_text())["layers"])
    assert tells(words, "Total", f"{params:,}", f"{params - 448:,}", "224")
    (run / "layers.json").unlink()
    relist(run)
    assert "Layers of the network" not in page_of(run).text


def test_only_metrics(run, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    metrics = json.loads((run / "metrics.json").read_text())
    external = {**metrics["test"], "n_patients": None, "patient": {}, "at_threshold": {}}
    external["image"] = dict.fromkeys(external["image"], LOST)
    (bare / "metrics.json").write_text(json.dumps({"format_version": "1.0", "external": external}))
    page = page_of(bare)
    assert f"No headline figure: {LOST['reason']}" in page.text
    assert "48 images of 12 groups" in page.text
    assert "is unknown" in page.text  # whether it was trained on them


def test_outside_images_of_one_class(run):
    # As `evaluate` leaves it: no history, a manifest that holds one class.
    for name in ("history.csv", "split.json", "recipe.toml", "audit.json"):
        (run / name).unlink()
    rows = (run / "predictions.csv").read_text().splitlines()
    kept = [
        rows[0],
        *(row.replace(",test,", ",external,") for row in rows if ",test,malignant," in row),
    ]
    (run / "predictions.csv").write_text("\n".join(kept) + "\n")
    (run / "manifest.csv").write_text("path,label\na.png,malignant\n")
    edit(
        run,
        "metrics.json",
        lambda data: {
            "format_version": "1.0",
            "external": data["test"] | {"n_images": len(kept) - 1},
        },
    )
    shutil.rmtree(run / "figures")
    page = page_of(run)
    assert "from an external data set" in page.text
    assert not (run / "figures/roc.png").exists()
    assert "eosin evaluate" in page.text


def test_removed_picture_is_left_out_and_a_damaged_one_named(run):
    shown = read_run(run).role("mistake")
    (run / "samples" / shown[0].file).unlink()
    relist(run)
    page = page_of(run)
    assert sum("Misclassified" in image["alt"] for image in page.all("img")) == len(shown) - 1
    damaged = run / "samples" / shown[1].file
    Image.new("1", (30_000, 30_000)).save(damaged)
    relist(run)
    with pytest.raises(ArtifactError, match=rf"{damaged.name} .* pixels"):
        write_report(run)
    damaged.write_bytes(b"no picture")
    relist(run)
    with pytest.raises(ArtifactError, match=damaged.name):
        write_report(run)


def test_refusal_leaves_no_page(tmp_path):
    with pytest.raises(ArtifactError):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())
