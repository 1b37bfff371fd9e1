"""What the commands print."""

from tests.facts import tells

from eosin.artifacts.audit import AuditReport
from eosin.artifacts.metrics import (
    Abstention,
    AbstentionMetrics,
    Calibration,
    Confusion,
    Decisions,
    Metric,
    SplitMetrics,
    Threshold,
)
from eosin.artifacts.predictions import PredictionRecord
from eosin.core.text import plain_lines
from eosin.reporting.pages import format_split
from eosin.reporting.sections.audit import format_audit
from eosin.reporting.terminal import format_abstained


def test_an_audit_that_cannot_know_of_patients_says_so():
    result = format_audit(AuditReport(n_images=3, n_groups=3, splits={}, findings=[]))
    assert any("its own group" in line for line in result)
    assert not any("duplicates" in line for line in result)
    assert "patient of all 3 images is unknown" in result[-1]
    report = AuditReport(n_images=3, n_groups=2, splits={}, findings=[], n_unknown_patients=0)
    assert format_audit(report) == ["3 images of 2 groups", "No duplicates or leaks found."]
    some = format_audit(report.model_copy(update={"n_unknown_patients": 1}))
    assert not any("duplicates" in line for line in some)
    assert "1 of 3 images" in some[-1]


def of(value, half=0.05):
    return Metric(value=value, low=value - half, high=value + half)


def split(**further):
    names = ("auc", "accuracy", "balanced_accuracy", "recall", "specificity", "ece")
    return SplitMetrics(
        n_images=90,
        n_patients=12,
        n_groups=12,
        positive="malignant",
        image={name: of(0.8) for name in names},
        at_threshold={"recall": of(0.91), "specificity": of(0.7)},
        patient={},
        by_magnification={},
        by_class={},
        by_site={},
        confusion=Confusion(labels=["benign", "malignant"], matrix=[[40, 5], [5, 40]]),
        **{"threshold": Threshold(value=0.4, source="val", target_recall=0.9), **further},
    )


def lines_of(name, metrics):
    return plain_lines(format_split(name, metrics))


def told_after_the_metrics(metrics):
    return lines_of("test", metrics)[6:]


def test_a_reason_is_told_once_and_images_without_a_group_are_a_caution():
    lost = Metric(value=0.8, reason="3 groups of 'benign': an interval needs at least 5")
    names = ("auc", "accuracy", "balanced_accuracy", "recall", "specificity", "ece")
    known = of(0.8).model_copy(update={"reason": "90 groups: nominal 95 %"})
    result = split().model_copy(
        update={
            "image": dict.fromkeys(names, lost) | {"recall": known},
            "at_threshold": {"recall": known, "specificity": lost},
            "n_patients": None,
            "n_groups": 90,
        }
    )
    lines = lines_of("test", result)
    assert tells(lines[1], "auc", "0.800", "no interval")
    assert tells(lines[-3], known.reason)
    assert tells(lines[-2], "no interval", lost.reason)
    assert tells(lines[-1], "caution", "no patient or group")
    assert sum("an interval needs" in line for line in lines) == 1
    alone = split().model_copy(update={"n_images": 1, "n_patients": 1, "n_groups": 1})
    assert tells(lines_of("test", alone)[0], "test", "1 image", "1 patient")


def test_a_split_of_before_tells_its_threshold_alone():
    metrics = lines_of("test", split())[1:]
    recall, specificity, line = metrics[-3:]
    assert tells(line, "threshold 0.400")
    # All decisions are of one kind: recall is not given once more, of the most probable class.
    assert tells(recall, "recall", "0.910", "0.860–0.960")
    assert tells(specificity, "specificity", "0.700", "0.650–0.750")
    assert sum("recall" in one for one in metrics) == 1
    several = Threshold(value=None, source="no positive class", target_recall=None)
    assert told_after_the_metrics(split(threshold=several)) == []


def test_decisions_calibration_and_abstention_take_a_line_or_two_each():
    rule = Abstention(alpha=0.1, quantiles={}, n_groups={}, source="val")
    abstention = AbstentionMetrics(
        rule=rule,
        coverage=of(0.93),
        coverage_by_class={"benign": of(0.91), "malignant": of(0.95)},
        abstention_rate=of(0.2),
        kept={"accuracy": of(0.9)},
        n_empty=0,
        n_several=18,
    )
    calibration = Calibration(temperature=1.5, source="val", bins=[], uncalibrated={"ece": of(0.9)})
    decisions = Decisions(
        false_positives=of(30.0, 5.0),
        prevalence=0.5,
        is_stated=False,
        ppv=of(0.7),
        npv=of(0.8),
        curve=[],
    )
    missed = Threshold(value=0.4, source="val", target_recall=0.9, reason="chosen by recall itself")
    of_all = split(
        calibration=calibration, decisions=decisions, abstention=abstention, threshold=missed
    )
    false, chosen, calibrated, abstained, covered = told_after_the_metrics(of_all)[1:]
    assert tells(false, "30 (25–35", "100 benign")
    assert tells(chosen, missed.reason)
    assert tells(calibrated, "0.800 (0.750–0.850", "0.900", "temperature 1.50")
    per_cent = ("20.0\u00a0% (15.0\u00a0% to 25.0\u00a0%", "accuracy", "0.900 (0.850–0.950")
    assert tells(abstained, *per_cent)
    assert tells(covered, "0.930 (0.880–0.980", "benign 0.910", "0.90")
    many = rule.model_copy(update={"undecided": 0.6})
    undecided = split(abstention=abstention.model_copy(update={"rule": many}))
    why = lines_of("test", undecided)[-1]
    assert tells(why, "60.0", "calibration images", "evaluate.alpha", "evaluate.abstain")
    # Not beside the calibration images' own metrics, too.
    assert "evaluate.alpha" not in lines_of("val", undecided)[-1]
    nothing = Metric(value=None, reason="3 groups of 'benign' where alpha 0.1 needs 9")
    refused = abstention.model_copy(
        update={
            "rule": rule.model_copy(update={"reason": nothing.reason}),
            "coverage": nothing,
            "abstention_rate": nothing,
            "kept": {},
        }
    )
    (line,) = told_after_the_metrics(split(abstention=refused))[1:]
    assert tells(line, "none", "3 patients of 'benign' where alpha 0.1 needs 9")


def test_predictions_tell_on_how_many_the_model_abstained():
    record = PredictionRecord.model_construct(n_images=3, n_abstained=2)
    (line,) = format_abstained(record)
    rule = Abstention(alpha=0.1, quantiles={}, n_groups={}, source="val", undecided=0.5)
    assert len(format_abstained(record, rule)) == 1
    _, why = format_abstained(record, rule.model_copy(update={"undecided": 0.51}))
    assert tells(why, "alpha 0.1", "51.0", "evaluate.alpha", "evaluate.abstain")
    assert tells(line, "2 of 3 images")
    assert format_abstained(record.model_copy(update={"n_abstained": 0})) == []
