"""Items of the reporting guidelines TRIPOD+AI and CLAIM, and the run's answers.

Item names are ours, the numbers the guidelines'. Each number was compared with a copy of the
published checklist:

- TRIPOD+AI: Collins et al., BMJ 385:e078378, 2024, in the copy (CC BY) of PubMed Central's
  PMC11019967, https://www.ebi.ac.uk/europepmc/webservices/rest/PMC11019967/fullTextXML.
- CLAIM 2020: Mongan et al., Radiology: Artificial Intelligence 2(2):e200029, 2020, in the code of
  its online form, https://claim.shinyapps.io/CLAIM/.
- CLAIM 2024: its update, Tejani et al., Radiology: Artificial Intelligence 6(4):e240300, 2024, in
  two copies of the checklist of PMC11304031, https://doi.org/10.1148/ryai.240300.
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
        claim: Numbers in CLAIM of 2020.
        claim_2024: Numbers in CLAIM's update of 2024.
        answer: Name of the run's answer; empty if only the study's authors can give it.
        left: What the authors must add to the answer; empty if it is complete.
    """

    name: str
    tripod: str = ""
    claim: str = ""
    claim_2024: str = ""
    answer: str = ""
    left: str = ""


_GUIDELINES = ("TRIPOD+AI", "CLAIM 2020", "CLAIM 2024")

ITEMS = (
    Item("Title that names method, population and outcome", "1", "1", "1"),
    Item("Structured abstract", "2", "2", "2"),
    Item("Clinical background and the model's part in it", "3a", "3", "3"),
    Item("For whom, for which users", "3b"),
    Item("Known inequalities in care", "3c"),
    Item("Aims and hypotheses", "4", "4", "4"),
    Item("Prospective or retrospective", "", "5", "5"),
    Item("Kind of study", "", "6", "6"),
    Item("Source of the data", "5a", "7", "7", "source", "whom these patients stand for"),
    Item("Dates of collection", "5b"),
    Item("Setting and centres", "6a", "", "", "sites", "which they are"),
    Item("Who was eligible", "6b", "8", "8"),
    Item("Treatments received", "6c"),
    Item("How images were taken", "", "", "13", "acquisition", "scanner and staining"),
    Item(
        "Preparation of the images", "7", "9", "9", "preparation", "how their quality was checked"
    ),
    Item("Selection of images", "", "10", "10", "selection"),
    Item("What is predicted", "8a", "11, 14", "14", "classes", "how each label was established"),
    Item("Why this reference standard", "", "15", "15"),
    Item("Who labelled, with what training and tools", "8b", "16, 17", "16"),
    Item("How the test images were labelled", "", "", "17"),
    Item("Blinding of those who labelled", "8c"),
    Item("Agreement between those who labelled", "", "18", "18"),
    Item("What the model looks at", "9a, 9b", "11", "", "input"),
    Item("Who took or chose the images", "9c"),
    Item("De-identification", "", "12", "11"),
    Item("Number of images and patients", "10", "19", "21", "size", "why so many"),
    Item("Missing data", "11", "13", "12", "missing"),
    Item("Division into parts", "12a", "20", "19", "partition"),
    Item("Level at which the parts are apart", "", "21", "20", "disjoint"),
    Item("Transformation of the input", "12b", "", "", "transformation"),
    Item("Kind of model", "12c", "22", "22", "network"),
    Item("Initial weights", "", "24", "24", "initial_weights"),
    Item("Training", "12c", "25", "25", "training", "how these were chosen"),
    Item("Choice of the final model", "12c", "26", "26", "kept"),
    Item("Ensembling", "", "27", "27", "ensembling"),
    Item("Software", "", "23", "23", "software"),
    Item("Differences between clusters", "12d, 23b", "", "", "clusters"),
    Item("Measures of performance", "12e", "28", "28", "measures"),
    Item("Uncertainty", "23a", "29", "29", "uncertainty"),
    Item("Recalibration", "12f, 24", "", "", "recalibration"),
    Item("Sensitivity analyses", "", "30", "30"),
    Item("Explanation of predictions", "", "31", "31"),
    Item("Test on internal data", "", "", "32", "internal"),
    Item("Test on external data", "", "32", "33"),
    Item("Differences between training and test data", "16"),
    Item("Imbalance of the classes", "13", "", "", "balance"),
    Item("Fairness", "14"),
    Item("Output and threshold", "15", "", "", "output"),
    Item("Ethical approval", "17"),
    Item("Funding", "18a", "42", "44"),
    Item("Conflicts of interest", "18b"),
    Item("Protocol", "18c", "41", "42"),
    Item("Registration", "18d", "40", "34"),
    Item("Where the data are", "18e", "", "43", "availability"),
    Item("Where the code is", "18f", "", "43", "code", "where it is kept"),
    Item("Part of patients and public", "19"),
    Item("Flow of patients and images", "20a", "33", "35", "flow", "who was not included"),
    Item("Make-up of each part", "20b, 20c, 21", "34", "36", "parts", "who the patients are"),
    Item("The whole model", "12g, 22", "", "43", "specification"),
    Item("Performance with intervals", "23a", "35, 36", "37, 38", "headline"),
    Item("Analysis of failures", "", "37", "39", "failing"),
    Item("Interpretation", "25"),
    Item("Limitations", "26", "38", "40", "failing", "those that numbers do not show"),
    Item("Unfit or poor images", "27a", "", "", "refusals", "who looks at what is refused"),
    Item("What users must do and know", "27b"),
    Item("Meaning for practice, next steps", "27c", "39", "41"),
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
        " Numbers are those of TRIPOD+AI (2024), of CLAIM (2020) and of CLAIM's update (2024)."
        " An answer here does not make a report complete."
    )
    left = [item for item in ITEMS if not told.get(item.answer)]
    return Section("Reporting items", words, _answered(answered), _unanswered(left))


def _answered(shown: list[tuple[Item, str]]) -> Table | None:
    rows = [(item.name, text, item.left or ABSENT, *_numbers(item)) for item, text in shown]
    columns = ("Item", "Answer", "Left to the authors", *_GUIDELINES)
    return make_table("Items that are answered, at least in part.", columns, rows, texts=range(6))


def _unanswered(items: list[Item]) -> Table | None:
    who = ("the study's authors", "a run that records it")
    rows = [(item.name, *_numbers(item), who[bool(item.answer)]) for item in items]
    columns = ("Item", *_GUIDELINES, "Who can answer")
    return make_table("Items that are not answered.", columns, rows, texts=range(5))


def _numbers(item: Item) -> list[str]:
    return [numbers or ABSENT for numbers in (item.tripod, item.claim, item.claim_2024)]
