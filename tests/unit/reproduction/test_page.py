"""The page of a reproduction: what stands beside a printed value."""

from tests.facts import tells

from eosin.artifacts.metrics import Metric
from eosin.artifacts.reproduction import ReproducedRun, ReproducedValue, Reproduction
from eosin.papers import read_paper
from eosin.reporting.rendering import section_to_markdown
from eosin.reproduction.page import reproduction_page, summary


def found(verdict, reason=""):
    value = ReproducedValue(
        item="figure-7", row="AUC", column="", printed="0.90",
        as_published=Metric(value=0.93, low=0.92, high=0.94), verdict=verdict, reason=reason,
    )  # fmt: skip
    return Reproduction(paper="P1", size="full", items=["figure-7"], values=[value])


def page(document):
    made = reproduction_page(read_paper("P1"), document, {})
    return [
        line
        for _, section in made.entries()
        for line in section_to_markdown(section, lambda figure: figure.name)
    ]


def test_a_note_on_a_value_is_shown_whatever_its_verdict():
    # P1's AUC is of images whose labels Kaggle alone knows.
    for verdict, reason in (("not comparable", "size"), ("differs", "by +0.03")):
        assert tells(page(found(verdict, reason)), "0.90", "0.930", verdict, reason, "57,458")


def test_a_note_that_is_the_reason_is_shown_once():
    note = read_paper("P1").items[6].cells[0].note
    lines = [
        line for line in page(found("contradicted within the paper", note)) if "57,458" in line
    ]
    assert "".join(lines).count(note[:20]) == 1


def test_the_summary_counts_verdicts_and_says_what_exact_is():
    assert tells(summary(found("exact")), "1", "exact", "counts")
    assert tells(summary(found("reproduced")), "1", "reproduced")


def test_without_patients_no_column_is_said_to_estimate_new_ones():
    def cautions(n_patients):
        run = ReproducedRun(
            experiment="cancervisionnet", protocol="strict", folder="a", n_patients=n_patients
        )
        return page(found("differs").model_copy(update={"runs": [run]}))

    assert tells(cautions(None), "patients", "unknown", "no column")
    assert not tells(cautions(12), "no column")


def test_a_table_has_no_empty_columns_and_details_are_folded():
    made = reproduction_page(read_paper("P1"), found("differs"), {})
    (table,) = (
        table for section in made.sections for table in section.tables() if table.name == "figure-7"
    )
    assert all(any(row[n].text not in {"", "—"} for row in table.rows) for n in range(1, 4))
    assert not any("strict" in column or "Recomputed" in column for column in table.columns)
    open_ones = [section.title for _, section in made.entries() if not section.fold]
    assert not [title for title in open_ones if "read this page" in title or "Setting" in title]
