"""The model card: that it tells the truth of its run, and nobody's name."""

import re
import shutil
from copy import copy
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from tests.facts import tells
from tests.tiny_runs import edit, relist

from eosin.artifacts.manifest import read_manifest, write_table
from eosin.artifacts.metrics import Metric
from eosin.artifacts.provenance import Teacher, TransferStage
from eosin.reporting.card.cautions import consequence, failure_points, licences
from eosin.reporting.card.items import ITEMS, answers
from eosin.reporting.formatting import metric_text
from eosin.reporting.pages import card_page, write_card
from eosin.reporting.sections import abstention
from eosin.reporting.sections.model import model_facts
from eosin.reporting.sections.training import answers as answers_of_training
from eosin.reporting.train_test_overlap import train_test_overlap
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


def section_of(run, title):
    """Return a section of the card."""
    (found,) = (section for section in card_page(run).sections if section.title == title)
    return found


def skip_a_file(run):
    """Add a file that could not be read."""
    skipped = {"path": ["b/broken.png"], "reason": ["truncated after 812 bytes"]}
    write_table(run / "skipped.csv", pd.DataFrame(skipped))
    relist(run)


@pytest.fixture(scope="module")
def whole(run_of, tmp_path_factory):
    """A run with all that a card can tell."""
    run = Path(shutil.copytree(run_of("grouped"), tmp_path_factory.mktemp("card") / "run"))
    skip_a_file(run)
    address = {"url": "https://example.org/phantom"}
    edit(run, "environment.json", lambda record: record["dataset"].update(address))
    return run


def test_a_split_by_image_is_said_before_any_number(whole, copy_of):
    by_image = copy_of("image")
    head = first_lines(written(by_image)[0])
    shared = train_test_overlap(read_run(by_image)).n_groups
    assert shared > 20
    assert re.search(rf"\b{shared} of the 29 patients\b", head)
    assert head.index("Research use only") < head.index("No strict figure") < head.index("AUC 0.")
    assert "No strict figure" not in written(whole)[0]


def test_a_mean_of_folds_says_that_it_was_not_evaluated_itself(copy_of):
    assert "not evaluated itself" in first_lines(written(copy_of("folds"))[0])


def test_no_patient_and_no_path_stands_in_it(copy_of):
    run = copy_of("image")
    skip_a_file(run)
    frame = read_manifest(run / "manifest.csv").frame
    named = f"groups in train and test: {', '.join(frame['group'])}"
    edit(run, "audit.json", lambda audit: audit["findings"][-1].update(message=named))
    edit(run, "environment.json", lambda record: record.update(data_root="/secret/place"))
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


def test_class_names_are_no_markup(copy_of):
    markdown, page = written(copy_of("hostile names"))
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


def parse_numbers(field):
    """Return the numbers of a guideline that some item has."""
    return {number for item in ITEMS for number in getattr(item, field).split(", ") if number}


def test_every_item_of_the_guidelines_has_a_row():
    parts = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef"}
    parts |= {20: "abc", 23: "ab", 27: "abc"}
    tripod = {f"{number}{part}" for number in range(1, 28) for part in parts.get(number, [""])}
    assert len(tripod) == 52
    assert parse_numbers("tripod") == tripod
    assert parse_numbers("claim") == {*map(str, range(1, 43))}
    assert parse_numbers("claim_2024") == {*map(str, range(1, 45))}


def test_answers_are_counted(whole):
    words, _, table = section_of(read_run(whole), "Reporting items").content
    n, answered, partly, rest = map(int, re.findall(r"\b\d{1,2}\b", words)[:4])
    assert (n, answered + partly + rest) == (len(ITEMS), len(ITEMS))
    assert rest == sum(not item.answer for item in ITEMS)
    assert {row[-1].text for row in table.rows} == {"the authors"}


def test_known_failures_are_those_of_the_run(whole):
    run = read_run(whole)
    (points,) = section_of(run, "Known failures").content
    result = " ".join(point.text for point in points.items)
    assert "1 image could not be read" in result
    for part in ("class", "subtype", "magnification", "site"):
        assert f"worst {part} " in result


def test_known_failures_count_confident_mistakes(whole):
    run = read_run(whole)
    sure = run.predictions.assign(prob_benign=0.05, prob_malignant=0.95, predicted="malignant")
    n_wrong = int((sure["label"] == "benign").sum())
    numbers = [
        re.findall(r"\d+", words)
        for words in failure_points(changed(run, predictions=sure))
        if "at least 0.9" in words
    ]
    assert any({str(n_wrong), str(len(sure))} <= set(found) for found in numbers)


def test_known_failures_are_of_the_decisions_that_the_model_makes(whole):
    run = read_run(whole)
    always = run.evaluated.threshold.model_copy(update={"value": 0.0})
    specificity = Metric(value=0.16, low=0.12, high=0.22)
    at = run.evaluated.at_threshold | {"specificity": specificity}
    evaluated = run.evaluated.model_copy(update={"threshold": always, "at_threshold": at})
    run = changed(run, metrics={run.split: evaluated})
    benign = run.predictions[run.predictions["label"] == "benign"]
    n_patients = benign["patient"].nunique()
    (result,) = (words for words in failure_points(run) if words.startswith("At the tuned"))
    for fact in (
        "84 false positives per 100 benign",
        metric_text(specificity),
        f"{n_patients} of {run.predictions['patient'].nunique()} patients",
        f"{100 * evaluated.abstention.abstention_rate.value:.1f}",
    ):
        assert fact in result


@pytest.mark.parametrize("refused", [None, "too few in all"])
def test_a_model_abstains_by_its_own_rule_not_by_that_of_its_folds(run_of, refused):
    result = read_run(run_of("folds"))
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
    words, *_ = abstention.brief(run).content
    assert "too few in fold 1" in words
    assert (refused or "all folds") in words
    assert ("never" in answers(run)["refusals"]) == bool(refused)
    never = [text for text in failure_points(run) if "never abstains" in text]
    assert [refused in text for text in never] == ([True] if refused else [])


@pytest.mark.parametrize(
    ("licence", "asks"),
    [
        ("CC BY-NC-SA 3.0", "no commercial use"),
        ("CC BY 4.0", "attribution"),
        ("CC0 1.0", "no conditions"),
        ("Apache-2.0", "licence notice"),
        ("none stated", "ask the rights holder"),
        (None, "ask the rights holder"),
        ("CC BY 4.0; unknown", "ask the rights holder"),
        ("by agreement", "see the text"),
    ],
)
def test_a_licence_is_read_for_what_it_asks(licence, asks):
    assert asks in consequence(licence)


def test_a_stage_s_non_commercial_licence_holds_for_the_model(run_of):
    result = read_run(run_of("grouped"))
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
    assert "Non-commercial" in warning
    assert "bach" in warning
    assert len(licences(result).content) == 1


def test_a_teacher_s_weights_and_licence_are_told(run_of):
    result = read_run(run_of("grouped"))
    teachers = tuple(
        Teacher(
            run="study",
            architecture="resnet18",
            weights_sha256=digest,
            data_fingerprint="ab",
            data_licence="CC BY-NC 4.0",
        )
        for digest in ("c" * 64, "d" * 64)  # of two folds
    )
    taught = changed(result, model=result.model.model_copy(update={"teachers": teachers}))
    warning, table = licences(taught).content
    assert tells(warning, "Non-commercial", "study")
    assert sum("study" in str(row) for row in table.rows) == 1
    told = dict(model_facts(taught))["Teachers"]
    assert tells(told, "study", "resnet18", "c" * 12, "d" * 12, "50%")
    assert "Teachers" not in dict(model_facts(result))


def test_what_regularises_a_training_is_told(run_of):
    result = read_run(run_of("grouped"))
    before = answers_of_training(result)["training"]
    assert "averag" not in before
    settings = {"label_smoothing": 0.1, "mixup": 0.3, "weight_averaging": "ema"}
    settings["schedule"] = result.recipe.train.schedule.model_copy(update={"warmup": 1.0})
    train = result.recipe.train.model_copy(update=settings)
    recipe = result.recipe.model_copy(update={"train": train})
    told = answers_of_training(changed(result, recipe=recipe))["training"]
    assert tells(told, "warm-up of 1 epoch")
    assert tells(told, "label smoothing 0.1", "mixup α 0.3", "moving average", "0.999")


def test_a_run_without_a_model_gets_no_card(run):
    for path in (run / "model").iterdir():
        path.unlink()
    write_card(run)
    assert not list((run / "model").iterdir())
