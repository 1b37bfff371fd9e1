"""Items of the reporting guidelines TRIPOD+AI and CLAIM, and the run's answers.

TRIPOD+AI: Collins et al., BMJ 385:e078378, 2024. CLAIM: Mongan et al., Radiology: Artificial
Intelligence 2(2):e200029, 2020, source of the numbers; "2024" marks additions of its update (Tejani
et al., Radiology: Artificial Intelligence 6(4):e240300, 2024). Item names are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from eosin.reporting.card import answers
from eosin.reporting.card.answers import (
    Answer,
    dataset_fact,
    environment_fact,
    model_fact,
    recipe_fact,
)
from eosin.reporting.card.outline import Section
from eosin.reporting.formatting import ABSENT
from eosin.reporting.rendering import Table, text_table
from eosin.runs.finished import FinishedRun


@dataclass(frozen=True)
class Item:
    """Item of a reporting guideline, named in our words.

    Attributes:
        name: Item.
        tripod: Numbers in TRIPOD+AI.
        claim: Numbers in CLAIM.
        tell: Function that answers it from a run; ``None`` if only the study's authors can.
        left: What the authors must add to the answer; empty if it is complete.
    """

    name: str
    tripod: str = ""
    claim: str = ""
    tell: Answer | None = None
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
    Item(
        "Source of the data",
        "5a",
        "7",
        dataset_fact("Title", "Citation"),
        "whom these patients stand for",
    ),
    Item("Dates of collection", "5b"),
    Item("Setting and centres", "6a", "", answers.sites, "which they are"),
    Item("Who was eligible", "6b", "8"),
    Item("Treatments received", "6c"),
    Item("How images were taken", "", "2024", answers.acquisition, "scanner and staining"),
    Item(
        "Preparation of the images",
        "7",
        "9",
        model_fact("Input", "Stain normalisation", "Scale"),
        "how their quality was checked",
    ),
    Item("Selection of images", "", "10", answers.selection),
    Item("What is predicted", "8a", "14", answers.classes, "how each label was established"),
    Item("Why this reference standard", "", "15"),
    Item("Who labelled, with what training and tools", "8b", "16, 17"),
    Item("Blinding of those who labelled", "8c"),
    Item("Agreement between those who labelled", "", "18"),
    Item("What the model looks at", "9a, 9b", "11", model_fact("Input", "Channel windows")),
    Item("Who took or chose the images", "9c"),
    Item("De-identification", "", "12"),
    Item("Number of images and patients", "10", "19", answers.size, "why so many"),
    Item("Missing data", "11", "13", answers.missing),
    Item("Division into parts", "12a", "20", answers.partition),
    Item("Level at which the parts are apart", "", "21", answers.disjoint),
    Item("Transformation of the input", "12b", "", answers.transformation),
    Item("Kind of model", "12c", "22", model_fact("Network", "Weights")),
    Item("Initial weights", "", "24", model_fact("Transfer")),
    Item(
        "Training",
        "12c",
        "25",
        recipe_fact("Optimizer", "Length", "Loss", "Regularised by"),
        "how these were chosen",
    ),
    Item("Choice of the final model", "12c", "26", recipe_fact("Kept")),
    Item("Ensembling", "", "27", answers.ensembling),
    Item("Software", "", "23", environment_fact("Eosin", "Python", "Packages")),
    Item("Differences between clusters", "12d, 23b", "", answers.clusters),
    Item("Measures of performance", "12e", "28", answers.measures),
    Item("Uncertainty", "12e", "29", answers.uncertainty),
    Item("Recalibration", "12f, 24", "", answers.recalibration),
    Item("Sensitivity analyses", "", "30"),
    Item("Explanation of predictions", "", "31"),
    Item("Test on external data", "", "32"),
    Item("Differences between training and test data", "16"),
    Item("Imbalance of the classes", "13", "", answers.balance),
    Item("Fairness", "14"),
    Item("Output and threshold", "12g, 15", "", answers.output),
    Item("Ethical approval", "17"),
    Item("Funding", "18a", "42"),
    Item("Conflicts of interest", "18b"),
    Item("Protocol", "18c", "41"),
    Item("Registration", "18d", "40"),
    Item("Where the data are", "18e", "2024", answers.availability),
    Item("Where the code is", "18f", "2024", answers.code, "where it is kept"),
    Item("Part of patients and public", "19"),
    Item("Flow of patients and images", "20a", "33", answers.flow, "who was not included"),
    Item("Make-up of each part", "20b, 20c, 21", "34", answers.parts, "who the patients are"),
    Item("The whole model", "22", "2024", answers.specification),
    Item("Performance with intervals", "23a", "35, 36", answers.headline),
    Item("Analysis of failures", "", "37", answers.failing),
    Item("Interpretation", "25"),
    Item("Limitations", "26", "38", answers.failing, "those that numbers do not show"),
    Item("Unfit or poor images", "27a", "", answers.refusals, "who looks at what is refused"),
    Item("What users must do and know", "27b"),
    Item("Meaning for practice, next steps", "27c", "39"),
)


def reporting_items(run: FinishedRun) -> Section:
    """Return the section of items: those the run answers, and those left to the study's authors."""
    shown = [(item, item.tell(run) if item.tell else "") for item in ITEMS]
    answered = [pair for pair in shown if pair[1]]
    n_whole = sum(not item.left for item, _ in answered)
    words = (
        f"Of {len(ITEMS)} items that TRIPOD+AI and CLAIM ask a report for, {n_whole} are answered"
        f" here and {len(answered) - n_whole} in part; {len(ITEMS) - len(answered)} are not."
        " Numbers are those of TRIPOD+AI (2024) and CLAIM (2020); “2024” marks what CLAIM's update"
        " adds. An answer here does not make a report complete."
    )
    tables = (_answered(answered), _unanswered([item for item, text in shown if not text]))
    return Section("Reporting items", words=(words,), tables=tables)


def _answered(shown: list[tuple[Item, str]]) -> Table:
    rows = [
        (item.name, text, item.left or ABSENT, item.tripod or ABSENT, item.claim or ABSENT)
        for item, text in shown
    ]
    columns = ("Item", "Answer", "Left to the authors", "TRIPOD+AI", "CLAIM")
    return text_table("Items that are answered, at least in part.", columns, rows, texts=range(5))


def _unanswered(items: list[Item]) -> Table:
    rows = [
        (
            item.name,
            item.tripod or ABSENT,
            item.claim or ABSENT,
            "the study's authors" if item.tell is None else "a run that records it",
        )
        for item in items
    ]
    columns = ("Item", "TRIPOD+AI", "CLAIM", "Who can answer")
    return text_table("Items that are not answered.", columns, rows, texts=range(4))
