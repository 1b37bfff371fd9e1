"""Items of the reporting guidelines TRIPOD+AI and CLAIM, and the run's answers.

TRIPOD+AI: Collins et al., BMJ 385:e078378, 2024. CLAIM: Mongan et al., Radiology: Artificial
Intelligence 2(2):e200029, 2020, source of the numbers; "2024" marks additions of its update (Tejani
et al., Radiology: Artificial Intelligence 6(4):e240300, 2024). Item names are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from eosin.reporting.card import cautions
from eosin.reporting.formatting import ABSENT
from eosin.reporting.outline import Section, Table, make_table
from eosin.reporting.sections import (
    abstention,
    calibration,
    data,
    model,
    provenance,
    results,
    split,
    training,
)
from eosin.runs.finished import FinishedRun


@dataclass(frozen=True)
class Item:
    """Item of a reporting guideline, named in our words.

    Attributes:
        name: Item.
        tripod: Numbers in TRIPOD+AI.
        claim: Numbers in CLAIM.
        answer: Name of the run's answer; empty if only the study's authors can give it.
        left: What the authors must add to the answer; empty if it is complete.
    """

    name: str
    tripod: str = ""
    claim: str = ""
    answer: str = ""
    left: str = ""


ITEMS = (
    Item("Title that names method, population and outcome", "1", "1"),
    Item("Structured abstract", "2", "2"),
    Item("Clinical background and the model's part in it", "3a", "3"),
    Item("For whom, for which users", "3b"),
    Item("Known inequalities in care", "3c"),
    Item("Aims and hypotheses", "4", "4"),
    Item("Prospective or retrospective", "", "5"),
    Item("Kind of study", "", "6"),
    Item("Source of the data", "5a", "7", "source", "whom these patients stand for"),
    Item("Dates of collection", "5b"),
    Item("Setting and centres", "6a", "", "sites", "which they are"),
    Item("Who was eligible", "6b", "8"),
    Item("Treatments received", "6c"),
    Item("How images were taken", "", "2024", "acquisition", "scanner and staining"),
    Item("Preparation of the images", "7", "9", "preparation", "how their quality was checked"),
    Item("Selection of images", "", "10", "selection"),
    Item("What is predicted", "8a", "14", "classes", "how each label was established"),
    Item("Why this reference standard", "", "15"),
    Item("Who labelled, with what training and tools", "8b", "16, 17"),
    Item("Blinding of those who labelled", "8c"),
    Item("Agreement between those who labelled", "", "18"),
    Item("What the model looks at", "9a, 9b", "11", "input"),
    Item("Who took or chose the images", "9c"),
    Item("De-identification", "", "12"),
    Item("Number of images and patients", "10", "19", "size", "why so many"),
    Item("Missing data", "11", "13", "missing"),
    Item("Division into parts", "12a", "20", "partition"),
    Item("Level at which the parts are apart", "", "21", "disjoint"),
    Item("Transformation of the input", "12b", "", "transformation"),
    Item("Kind of model", "12c", "22", "network"),
    Item("Initial weights", "", "24", "initial_weights"),
    Item("Training", "12c", "25", "training", "how these were chosen"),
    Item("Choice of the final model", "12c", "26", "kept"),
    Item("Ensembling", "", "27", "ensembling"),
    Item("Software", "", "23", "software"),
    Item("Differences between clusters", "12d, 23b", "", "clusters"),
    Item("Measures of performance", "12e", "28", "measures"),
    Item("Uncertainty", "12e", "29", "uncertainty"),
    Item("Recalibration", "12f, 24", "", "recalibration"),
    Item("Sensitivity analyses", "", "30"),
    Item("Explanation of predictions", "", "31"),
    Item("Test on external data", "", "32"),
    Item("Differences between training and test data", "16"),
    Item("Imbalance of the classes", "13", "", "balance"),
    Item("Fairness", "14"),
    Item("Output and threshold", "12g, 15", "", "output"),
    Item("Ethical approval", "17"),
    Item("Funding", "18a", "42"),
    Item("Conflicts of interest", "18b"),
    Item("Protocol", "18c", "41"),
    Item("Registration", "18d", "40"),
    Item("Where the data are", "18e", "2024", "availability"),
    Item("Where the code is", "18f", "2024", "code", "where it is kept"),
    Item("Part of patients and public", "19"),
    Item("Flow of patients and images", "20a", "33", "flow", "who was not included"),
    Item("Make-up of each part", "20b, 20c, 21", "34", "parts", "who the patients are"),
    Item("The whole model", "22", "2024", "specification"),
    Item("Performance with intervals", "23a", "35, 36", "headline"),
    Item("Analysis of failures", "", "37", "failing"),
    Item("Interpretation", "25"),
    Item("Limitations", "26", "38", "failing", "those that numbers do not show"),
    Item("Unfit or poor images", "27a", "", "refusals", "who looks at what is refused"),
    Item("What users must do and know", "27b"),
    Item("Meaning for practice, next steps", "27c", "39"),
)


_TOPICS = (data, split, model, training, results, calibration, abstention, provenance, cautions)


def answers(run: FinishedRun) -> dict[str, str]:
    """Return the answers of all topics, empty where the run has none."""
    return {name: text for topic in _TOPICS for name, text in topic.answers(run).items()}


def reporting_items(run: FinishedRun) -> Section:
    """Return the section of items: those the run answers, and those left to the study's authors."""
    told = answers(run)
    answered = [(item, text) for item in ITEMS if (text := told.get(item.answer, ""))]
    n_whole = sum(not item.left for item, _ in answered)
    words = (
        f"Of {len(ITEMS)} items that TRIPOD+AI and CLAIM ask a report for, {n_whole} are answered"
        f" here and {len(answered) - n_whole} in part; {len(ITEMS) - len(answered)} are not."
        " Numbers are those of TRIPOD+AI (2024) and CLAIM (2020); “2024” marks what CLAIM's update"
        " adds. An answer here does not make a report complete."
    )
    left = [item for item in ITEMS if not told.get(item.answer)]
    return Section("Reporting items", words, _answered(answered), _unanswered(left))


def _answered(shown: list[tuple[Item, str]]) -> Table | None:
    rows = [
        (item.name, text, item.left or ABSENT, item.tripod or ABSENT, item.claim or ABSENT)
        for item, text in shown
    ]
    columns = ("Item", "Answer", "Left to the authors", "TRIPOD+AI", "CLAIM")
    return make_table("Items that are answered, at least in part.", columns, rows, texts=range(5))


def _unanswered(items: list[Item]) -> Table | None:
    rows = [
        (
            item.name,
            item.tripod or ABSENT,
            item.claim or ABSENT,
            "a run that records it" if item.answer else "the study's authors",
        )
        for item in items
    ]
    columns = ("Item", "TRIPOD+AI", "CLAIM", "Who can answer")
    return make_table("Items that are not answered.", columns, rows, texts=range(4))
