"""What an ensemble's members knew of the images that it is judged on."""

from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from eosin.artifacts.audit import AuditReport, Finding, Pair
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.versioned import write_document
from eosin.core.types import Samples
from eosin.data.audit import (
    Alike,
    FileHash,
    FileHashes,
    Match,
    audit_outside,
    audit_stage,
    join_groups,
)
from eosin.runs.sharing import _own_leaks


def make_samples(folder, names, split):
    frame = pd.DataFrame({"path": names, "label": "a", "split": split}, dtype=object)
    frame = frame.assign(patient="", group=[f"g{name}" for name in names])
    return Samples(frame=frame, root=folder, class_names=("a", "b"))


def reversed_pairs(leak):
    """As runs told it when ``test`` came before the stages."""
    pairs = [
        Pair(a=p.b, b=p.a, split_a=p.split_b, split_b=p.split_a, score=p.score, how=p.how)
        for p in leak.pairs
    ]
    return leak.model_copy(update={"pairs": pairs})


@pytest.mark.parametrize("is_old", [False, True])
def test_what_a_members_stage_saw_of_judged_images_is_a_leak_of_the_ensemble(tmp_path, is_old):
    stage = make_samples(tmp_path, ["s1.png", "t1.png"], "train")
    judged = make_samples(tmp_path, ["t1.png", "t2.png", "t3.png"], "test")
    nothing = FileHashes({})
    alike = Alike((Match("s1.png", "t2.png", 0.97, "mirrored"),))
    leaks = audit_stage(
        "one", (stage, nothing), (judged, nothing), is_same_source=True, alike=alike
    )
    leaks.append(Finding(kind="same_group", severity="leak", message="of no stage", pairs=[]))
    leaks = [reversed_pairs(leak) for leak in leaks] if is_old else leaks
    run = RunFolder(tmp_path)
    write_document(run.audit, AuditReport(n_images=5, n_groups=5, splits={}, findings=leaks))
    member = SimpleNamespace(run=run)

    found = _own_leaks(member, judged, {"t1.png", "t2.png"})
    pairs = {(leak.kind, p.split_a, p.a, p.b) for leak in found for p in leak.pairs}
    assert pairs == {
        ("same_path", "stage one", "t1.png", "t1.png"),
        ("same_group", "stage one", "t1.png", "t1.png"),
        ("near_duplicate", "stage one", "s1.png", "t2.png"),
    }
    assert _own_leaks(member, judged, {"t3.png"}) == []


def test_a_group_of_a_stage_is_known_by_any_spelling(tmp_path):
    stage = make_samples(tmp_path, ["s1.png", "s2.png", "01.png"], "train")
    judged = make_samples(tmp_path, ["t1.png", "1.png"], "test")
    # The last of each is its own group: numbers of files are no spellings of one name.
    for samples, groups in ((stage, ["P07", "P8", "01.png"]), (judged, ["p7", "1.png"])):
        samples.frame["group"] = groups
    nothing = FileHashes({})
    (leak,) = audit_stage("one", (stage, nothing), (judged, nothing), is_same_source=True)
    assert [(pair.a, pair.b) for pair in leak.pairs] == [("s1.png", "t1.png")]
    assert "'P07' and 'p7'" in leak.message
    assert audit_stage("one", (stage, nothing), (judged, nothing), is_same_source=False) == []
    distinct = audit_stage(
        "one", (stage, nothing), (judged, nothing), is_same_source=True, distinct=True
    )
    assert distinct == []


def place(folder, *rows):
    """Samples of one side; each row is ``"path patient"``, an unknown patient is ``-``."""
    names, patients = zip(*(row.split() for row in rows), strict=True)
    samples = make_samples(folder, list(names), "")
    patients = ["" if patient == "-" else patient for patient in patients]
    groups = [patient or name for patient, name in zip(patients, names, strict=True)]
    return replace(samples, frame=samples.frame.assign(patient=patients, group=groups))


def compare(main, other, tmp_path):
    """Return the kinds of what is found of a stage, and of external data."""
    nothing = FileHashes({})
    of_stage = audit_stage("one", (other, nothing), (main, nothing), is_same_source=True)
    outside = audit_outside((main, nothing), (other, nothing), tmp_path)
    return [one.kind for one in of_stage], [one.kind for one in outside.findings]


def test_a_repair_hides_no_patient_of_a_stage_or_of_external_data(tmp_path):
    main = place(tmp_path / "a", "1.png P1", "2.png P10", "3.png P3")
    other = place(tmp_path / "b", "1.png P10", "2.png P99")
    joined, _ = join_groups(main, alike=Alike((Match("1.png", "2.png", 0.9, "mirrored"),)))
    assert list(joined.frame["group"]) == ["P1", "P1", "P3"]
    assert compare(joined, other, tmp_path) == (["same_group"], ["same_group"])


def test_two_tables_that_are_repaired_apart_share_no_group(tmp_path):
    alike = Alike((Match("1.png", "2.png", 0.9, "mirrored"),))
    sides = []
    for folder in "ab":
        files = {f"{n}.png": FileHash(f"{folder}{n}", f"{folder}{n}") for n in "12"}
        table = place(tmp_path / folder, "1.png -", "2.png -", "3.png -")
        sides.append(join_groups(table, hashes=FileHashes(files), alike=alike)[0])
    assert compare(*sides, tmp_path) == ([], [])


def test_names_that_a_recipe_keeps_apart_are_apart_in_external_data(tmp_path):
    main, other = place(tmp_path / "a", "1.png P1"), place(tmp_path / "b", "2.png p01")
    assert compare(main, other, tmp_path) == (["alike_names"], ["alike_names"])
    nothing = FileHashes({})
    found = audit_outside((main, nothing), (other, nothing), tmp_path, distinct=True)
    assert found.findings == []
