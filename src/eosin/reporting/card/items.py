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
    Item("Clinical background and role of the model", "3a", "3", "3"),
    Item("Target population and intended users", "3b"),
    Item("Known inequalities in care", "3c"),
    Item("Aims and hypotheses", "4", "4", "4"),
    Item("Prospective or retrospective", "", "5", "5"),
    Item("Study design", "", "6", "6"),
    Item("Source of the data", "5a", "7", "7", "source", "representativeness of the patients"),
    Item("Dates of collection", "5b"),
    Item("Setting and centres", "6a", "", "", "sites", "names of the sites"),
    Item("Eligibility criteria", "6b", "8", "8"),
    Item("Treatments received", "6c"),
    Item("Image acquisition", "", "", "13", "acquisition", "scanner and staining"),
    Item("Preparation of the images", "7", "9", "9", "preparation", "quality control"),
    Item("Selection of images", "", "10", "10", "selection"),
    Item("Predicted outcome", "8a", "11, 14", "14", "classes", "how labels were established"),
    Item("Rationale of the reference standard", "", "15", "15"),
    Item("Annotators, their training and tools", "8b", "16, 17", "16"),
    Item("Annotation of the test images", "", "", "17"),
    Item("Blinding of annotators", "8c"),
    Item("Agreement between annotators", "", "18", "18"),
    Item("Predictors", "9a, 9b", "11", "", "input"),
    Item("Assessment of predictors", "9c"),
    Item("De-identification", "", "12", "11"),
    Item("Number of images and patients", "10", "19", "21", "size", "rationale of the sample size"),
    Item("Missing data", "11", "13", "12", "missing"),
    Item("Data partitions", "12a", "20", "19", "partition"),
    Item("Level at which partitions are disjoint", "", "21", "20", "disjoint"),
    Item("Transformation of the input", "12b", "", "", "transformation"),
    Item("Type of model", "12c", "22", "22", "network"),
    Item("Initial weights", "", "24", "24", "initial_weights"),
    Item("Training", "12c", "25", "25", "training", "how hyperparameters were chosen"),
    Item("Selection of the final model", "12c", "26", "26", "kept"),
    Item("Ensembling", "", "27", "27", "ensembling"),
    Item("Software", "", "23", "23", "software"),
    Item("Differences between clusters", "12d, 23b", "", "", "clusters"),
    Item("Performance measures", "12e", "28", "28", "measures"),
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
    Item("Data availability", "18e", "", "43", "availability"),
    Item("Code availability", "18f", "", "43", "code", "repository"),
    Item("Patient and public involvement", "19"),
    Item("Flow of patients and images", "20a", "33", "35", "flow", "exclusions"),
    Item(
        "Characteristics by partition",
        "20b, 20c, 21",
        "34",
        "36",
        "parts",
        "patient demographics",
    ),
    Item("Full model", "12g, 22", "", "43", "specification"),
    Item("Performance with intervals", "23a", "35, 36", "37, 38", "headline"),
    Item("Analysis of failures", "", "37", "39", "failing"),
    Item("Interpretation", "25"),
    Item("Limitations", "26", "38", "40", "failing", "limitations beyond the figures"),
    Item("Poor or unsuitable input", "27a", "", "", "refusals", "handling of refused images"),
    Item("User interaction and expertise", "27b"),
    Item("Implications for practice and next steps", "27c", "39", "41"),
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
        f"Of {len(ITEMS)} items of TRIPOD+AI and CLAIM, {n_whole} are answered here,"
        f" {len(answered) - n_whole} in part and {len(ITEMS) - len(answered)} not at all. Numbers"
        " refer to TRIPOD+AI (2024), CLAIM (2020) and its update (2024). An answer here does not"
        " make a report complete."
    )
    left = [item for item in ITEMS if not told.get(item.answer)]
    return Section("Reporting items", words, _answered(answered), _unanswered(left))


def _answered(shown: list[tuple[Item, str]]) -> Table | None:
    rows = [(item.name, text, item.left or ABSENT, *_numbers(item)) for item, text in shown]
    columns = ("Item", "Answer", "Left to the authors", *_GUIDELINES)
    return make_table("Items answered, at least in part.", columns, rows, texts=range(6))


def _unanswered(items: list[Item]) -> Table | None:
    who = ("the authors", "a run that records it")
    rows = [(item.name, *_numbers(item), who[bool(item.answer)]) for item in items]
    columns = ("Item", *_GUIDELINES, "Answered by")
    return make_table("Items not answered.", columns, rows, texts=range(5))


def _numbers(item: Item) -> list[str]:
    return [numbers or ABSENT for numbers in (item.tripod, item.claim, item.claim_2024)]
