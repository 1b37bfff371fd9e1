"""The model card: that it tells the truth of its run, and nobody's name."""

import json
import re
from copy import copy
from html.parser import HTMLParser

import pytest

from eosin.artifacts.manifest import read_manifest
from eosin.artifacts.metrics import Metric
from eosin.artifacts.model import TransferStage
from eosin.reporting.card.cautions import consequence, failure_points, licences
from eosin.reporting.card.items import ITEMS, answers
from eosin.reporting.pages import card_page, write_card
from eosin.reporting.sections import abstention
from eosin.runs.finished import read_run

#: What keeps a section of the card from telling anything.
NOTHING = ("recipe", "environment", "split_report", "balance", "stain", "audit", "model")


def changed(run, **values):
    """Return a copy of a run as it was read, with other values."""
    run = copy(run)
    vars(run).update(values)
    return run


class Main(HTMLParser):
    """Collects the words of the page's main part."""

    def __init__(self, text):
        super().__init__()
        self.inside, self.words = False, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.inside = self.inside or tag == "main"
        self.words.append("" if tag == "wbr" else " ")

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "main"
        self.words.append(" ")

    def handle_data(self, data):
        if self.inside:
            self.words.append(data)


def written(run):
    """Write a card and return its Markdown and its page."""
    write_card(run)
    return tuple((run / f"model/card.{kind}").read_text() for kind in ("md", "html"))


def first_lines(text):
    """Return what stands above the first section."""
    return text.partition("\n## ")[0]


def hollow(run):
    """Return a run that has a folder and nothing else."""
    result = read_run(run)
    empty = {
        name: type(value)()
        for name, value in result.evaluated
        if isinstance(value, (dict, list)) and value
    }
    evaluated = result.evaluated.model_copy(
        update={
            **empty,
            "n_images": 0,
            "confusion": result.evaluated.confusion.model_copy(update={"labels": [], "matrix": []}),
            "calibration": None,
            "decisions": None,
            "abstention": None,
        }
    )
    return changed(
        result,
        **dict.fromkeys(NOTHING),
        metrics={result.split: evaluated},
        manifest=None,
        predictions=None,
        pictures=(),
        skipped=(),
        root=run / "nowhere",
    )


@pytest.fixture(scope="module")
def whole(made, tmp_path_factory):
    """A run with all that a card can tell."""
    plan = made.Plan(subtypes=("adenosis", "ductal_carcinoma"), simulated=True)
    return made.fabricate(tmp_path_factory.mktemp("card") / "run", plan)


def test_a_split_by_image_is_said_before_any_number(made, run, tmp_path):
    by_image = made.fabricate(tmp_path / "by-image", made.Plan(protocol="image"))
    head = first_lines(written(by_image)[0])
    shared = re.search(r"and (\d+) of the (\d+) patients that it was evaluated on were also", head)
    assert int(shared[1]) > 20
    assert head.index("Research use only") < head.index("No strict figure") < head.index("AUC 0.")
    assert "No strict figure" not in written(run)[0]


def test_a_mean_of_folds_says_that_it_was_not_judged_itself(made, tmp_path):
    run = made.fabricate(tmp_path / "run", made.Plan(protocol="folds"))
    path = run / "model/model.json"
    result = json.loads(path.read_text())
    result.update(architecture="ensemble", arguments={"architecture": "ernet18", "members": 4})
    path.write_text(json.dumps(result))
    assert "This model was not evaluated itself" in first_lines(written(run)[0])


def test_no_patient_and_no_path_stands_in_it(made, tmp_path):
    run = made.fabricate(tmp_path / "run", made.Plan(protocol="image"))
    frame = read_manifest(run / "manifest.csv").frame
    audit = json.loads((run / "audit.json").read_text())
    audit["findings"][-1]["message"] = f"groups in train and test: {', '.join(frame['group'])}"
    (run / "audit.json").write_text(json.dumps(audit))
    secrets = {*frame["patient"], *frame["group"], *frame["path"], "broken.png", "/secret/place"}
    for text in written(run):
        assert not [secret for secret in secrets if secret in text]


def test_page_and_markdown_say_the_same(whole):
    markdown, page = written(whole)
    body = "\n".join(line for line in markdown.splitlines() if line[:2] not in {"# ", "> "})
    rules = re.sub(r"^\|[ :|-]+\|$", "", body, flags=re.MULTILINE).replace("\\", "")
    shown = "".join(Main(page).words)
    assert re.findall(r"[^\W_]+", shown) == re.findall(r"[^\W_]+", rules)
    assert "Simulated data." in first_lines(markdown)


def test_class_names_are_no_markup(made, tmp_path):
    classes = ("<b>|a*</b>", "_b_ [x](y)")
    plan = made.Plan(classes=classes, positive=classes[1], magnifications=(), sites=())
    markdown, page = written(made.fabricate(tmp_path / "run", plan))
    assert "<b>" not in page.partition("<main")[2]
    assert "\\<b\\>\\|a\\*\\</b\\>" in markdown
    assert "[x](" not in markdown


def test_every_answer_comes_from_the_run(whole):
    full, nothing = read_run(whole), hollow(whole)
    asked = {item.answer for item in ITEMS if item.answer}
    assert {name for name, text in answers(nothing).items() if text} == set()
    assert {name for name, text in answers(full).items() if text} == asked
    # What a run is evaluated on is of its own source: how it differs, only its authors know.
    (differences,) = (item for item in ITEMS if "16" in item.tripod.split(", "))
    assert not differences.answer


def test_answers_are_counted(whole):
    words, _, table = card_page(read_run(whole)).sections[-1].content
    n, answered, partly, rest = map(int, re.findall(r"\b\d{1,2}\b", words)[:4])
    assert (n, answered + partly + rest) == (len(ITEMS), len(ITEMS))
    assert rest == sum(not item.answer for item in ITEMS)
    assert {row[-1].text for row in table.rows} == {"the study's authors"}


def test_known_failures_are_those_of_the_run(whole):
    (points,) = card_page(read_run(whole)).sections[-2].content
    result = " ".join(point.text for point in points.items)
    frame = read_run(whole).predictions
    top = frame[["prob_benign", "prob_malignant"]].max(axis=1)
    n_wrong = int(((top >= 0.9) & (frame["label"] != frame["predicted"])).sum())
    assert f"of {int((top >= 0.9).sum())} images evaluated with a probability" in result
    assert f"at least 0.9, {n_wrong} (" in result
    assert "1 image could not be read" in result
    assert "covered 81 % in simulation" in result
    for part in ("class", "subtype", "magnification", "site"):
        assert f"By the most probable class: worst {part} " in result


def test_known_failures_judge_the_decisions_that_the_model_makes(whole):
    run = read_run(whole)
    always = run.evaluated.threshold.model_copy(update={"value": 0.0})
    at = run.evaluated.at_threshold | {"specificity": Metric(value=0.16, low=0.12, high=0.22)}
    evaluated = run.evaluated.model_copy(update={"threshold": always, "at_threshold": at})
    run = changed(run, metrics={run.split: evaluated})
    benign = run.predictions[run.predictions["label"] == "benign"]
    (result,) = (words for words in failure_points(run) if words.startswith("At the tuned"))
    assert result == (
        "At the tuned threshold 84 of 100 benign are called malignant (specificity 0.160"
        f" (0.120–0.220)); {benign['patient'].nunique()} of 6 patients had more than half of the"
        " images evaluated wrongly; it abstains on 25.0\N{NO-BREAK SPACE}%."
    )


@pytest.mark.parametrize(
    ("refused", "own", "point"),
    [
        (None, "'s own rule was calibrated on all folds.", "it may abstain"),
        ("too few groups", " itself never abstains: too few groups.", "it never abstains"),
    ],
)
def test_a_model_abstains_by_its_own_rule_not_by_that_of_its_folds(
    made, tmp_path, refused, own, point
):
    result = read_run(made.fabricate(tmp_path / "run", made.Plan(protocol="folds")))
    measured = result.evaluated.abstention
    crossed = measured.rule.model_copy(update={"reason": "too few in fold 1", "source": "others"})
    rule = crossed.model_copy(update={"reason": refused, "source": "all folds"})
    evaluated = result.evaluated.model_copy(
        update={"abstention": measured.model_copy(update={"rule": crossed})}
    )
    run = changed(
        result,
        metrics={"oof": evaluated},
        model=result.model.model_copy(update={"abstention": rule}),
    )
    (words,) = abstention.brief(run).content
    assert words == f"In the folds nothing was abstained: too few in fold 1. The model{own}"
    assert answers(run)["refusals"].endswith(point)
    never = [text for text in failure_points(run) if text.startswith("It never abstains")]
    assert never == ([f"It never abstains: {refused}."] if refused else [])


@pytest.mark.parametrize(
    ("licence", "asks"),
    [
        ("CC BY-NC-SA 3.0", "no commercial use"),
        ("CC BY 4.0", "its authors are named"),
        ("CC0 1.0", "nothing"),
        ("Apache-2.0", "its notice is kept"),
        ("none stated", "must be asked"),
        (None, "must be asked"),
        ("CC BY 4.0; unknown", "must be asked"),
        ("by agreement", "its text must be read"),
    ],
)
def test_a_licence_is_read_for_what_it_asks(licence, asks):
    assert asks in consequence(licence)


def test_a_stage_s_non_commercial_licence_holds_for_the_model(run):
    result = read_run(run)
    stage = TransferStage(
        stage="bach",
        source="vgg16",
        data_fingerprint="ab",
        licence="CC BY-NC 4.0",
        matched=1,
        weights_sha256="cd",
    )
    model = result.model.model_copy(update={"transfer_chain": [stage]})
    warning, _ = licences(changed(result, model=model)).content
    assert warning.startswith("Non-commercial: data of stage bach may not")
    assert len(licences(result).content) == 1


def test_a_run_without_a_model_gets_no_card(run):
    for path in (run / "model").iterdir():
        path.unlink()
    write_card(run)
    assert not list((run / "model").iterdir())
