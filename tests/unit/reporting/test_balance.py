"""What a page says of the balance of the classes, where there is something to say."""

import pytest
from tests.tiny_runs import relist

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.run import BalanceReport, ClassBalance
from eosin.artifacts.versioned import write_document
from eosin.reporting.sections.split import balance_table, balance_words
from eosin.runs.finished import read_run


@pytest.fixture
def result(run):
    """A function from a record to what the run's page says of it."""

    def tell(**changed):
        one = ClassBalance(images=1300, shown=1300, synthetic=0, weight=1)
        two = one.model_copy(update=changed.pop("two", {}))
        values = {"method": "none", "loss": "cross_entropy", "focal_gamma": None, "copies": None}
        report = BalanceReport(**{**values, **changed}, classes={"benign": one, "malignant": two})
        write_document(RunFolder(run).balance, report)
        relist(run)
        gathered = read_run(run)
        table = balance_table(gathered)
        rows = table and [[cell.text for cell in row] for row in table.rows]
        return balance_words(gathered), table and table.columns, rows

    return tell


def test_without_a_record_or_with_a_plain_one_nothing_is_said(run, result):
    RunFolder(run).balance.unlink()
    assert (balance_words(read_run(run)), balance_table(read_run(run))) == ("", None)
    assert result() == ("", None, None)


def test_a_balanced_training_is_told(result):
    two = {"images": 400, "shown": 1300.0, "synthetic": 900}
    words, columns, rows = result(method="smote", loss="focal", focal_gamma=2.0, two=two)
    assert "“smote”" in words
    assert "γ = 2." in words
    assert "Synthetic" in columns
    assert rows[1] == ["malignant", "400", "1,300", "900", "1.00"]


def test_copies_and_weights_are_told(result):
    words, columns, _ = result(copies=5, two={"shown": 6500, "weight": 0.5})
    assert "5 copies" in words
    assert "weighted" in words
    assert "Synthetic" not in columns
