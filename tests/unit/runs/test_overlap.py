"""Overlap of a run's trainings with external images, and with what an ensemble is evaluated on."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from eosin.artifacts.audit import AuditReport, Finding, Pair
from eosin.artifacts.layout import RunFolder
from eosin.artifacts.manifest import make_samples, write_manifest
from eosin.artifacts.model import Embedding
from eosin.artifacts.versioned import write_document
from eosin.core.types import Samples
from eosin.data.audit import (
    FileHash,
    FileHashes,
    Match,
    NearDuplicates,
    audit_external,
    audit_stage,
    hash_files,
    join_groups,
)
from eosin.reporting.sections.audit import format_overlap
from eosin.runs.finished import FinishedRun
from eosin.runs.overlap import audit_overlap, own_leaks

#: Files are compared as they are, without a cache of decoded images.
AS_THEY_ARE = Embedding(channels=("x",), table="", table_sha256="")


@pytest.fixture
def overlap(tmp_path):
    """The overlap of external images with a run of one stage, each a list of (image, patient)."""

    def samples(rows):
        frame = pd.DataFrame(rows, columns=["path", "patient"]).assign(label=["a", "b"])
        return make_samples(frame, root=tmp_path)

    def find(own, stage, outside):
        rng = np.random.default_rng(0)
        for number in range(6):
            pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"{number}.png")
        run = RunFolder(tmp_path / "run")
        for place, rows in ((run, own), (run.stage(1, "pre"), stage)):
            place.root.mkdir(parents=True)
            write_manifest(place.manifest, samples(rows))
        table = samples(outside)
        return audit_overlap(
            FinishedRun(run.root), AS_THEY_ARE, (table, hash_files(table)), tmp_path
        )

    return find


OTHERS = [("2.png", "P3"), ("3.png", "P4")]
OUTSIDE = [("4.png", "P1"), ("5.png", "P2")]
SAME_NAME = [("0.png", "P1"), ("1.png", "P9")]
SAME_IMAGE = [("4.png", "P7"), ("1.png", "P9")]


@pytest.mark.parametrize("order", [1, -1])
def test_an_image_in_one_training_is_a_leak_beside_names_in_the_other(overlap, order):
    report = overlap(*[SAME_NAME, SAME_IMAGE][::order], OUTSIDE)
    assert report.leaks
    assert report.findings[0].severity == "leak"
    assert {finding.severity for finding in report.findings} == {"leak", "warning"}
    assert not any("only names" in line for line in report.reach)


@pytest.mark.parametrize("order", [1, -1])
def test_names_in_one_training_alone_are_said_to_be_names(overlap, order):
    report = overlap(*[SAME_NAME, OTHERS][::order], OUTSIDE)
    assert [finding.severity for finding in report.findings] == ["warning"]
    assert "only names" in format_overlap(report)[-1].lower()


def test_nothing_is_found_where_nothing_is_shared(overlap):
    report = overlap(OTHERS, [("0.png", "P8"), ("1.png", "P9")], OUTSIDE)
    assert report.findings == []
    assert len(report.reach) == len(set(report.reach))


def apart(folder, names, split):
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
    stage = apart(tmp_path, ["s1.png", "t1.png"], "train")
    evaluated = apart(tmp_path, ["t1.png", "t2.png", "t3.png"], "test")
    nothing = FileHashes({})
    near_duplicates = NearDuplicates((Match("s1.png", "t2.png", 0.97, "mirrored"),))
    leaks = audit_stage(
        "one",
        (stage, nothing),
        (evaluated, nothing),
        is_same_source=True,
        near_duplicates=near_duplicates,
    )
    leaks.append(Finding(kind="same_group", severity="leak", message="of no stage", pairs=[]))
    leaks = [reversed_pairs(leak) for leak in leaks] if is_old else leaks
    run = RunFolder(tmp_path)
    write_document(run.audit, AuditReport(n_images=5, n_groups=5, splits={}, findings=leaks))
    finished = FinishedRun(run.root)

    found = own_leaks(finished, tmp_path, {"t1.png", "t2.png"})
    pairs = {(leak.kind, p.split_a, p.a, p.b) for leak in found for p in leak.pairs}
    assert pairs == {
        ("same_path", "stage one", "t1.png", "t1.png"),
        ("same_group", "stage one", "t1.png", "t1.png"),
        ("near_duplicate", "stage one", "s1.png", "t2.png"),
    }
    assert own_leaks(finished, tmp_path, {"t3.png"}) == []


def test_a_group_of_a_stage_is_known_by_any_spelling(tmp_path):
    stage = apart(tmp_path, ["s1.png", "s2.png", "01.png"], "train")
    evaluated = apart(tmp_path, ["t1.png", "1.png"], "test")
    # The last of each is its own group: numbers of files are no spellings of one name.
    for samples, groups in ((stage, ["P07", "P8", "01.png"]), (evaluated, ["p7", "1.png"])):
        samples.frame["group"] = groups
    nothing = FileHashes({})
    (leak,) = audit_stage("one", (stage, nothing), (evaluated, nothing), is_same_source=True)
    assert [(pair.a, pair.b) for pair in leak.pairs] == [("s1.png", "t1.png")]
    assert "'P07' and 'p7'" in leak.message
    assert audit_stage("one", (stage, nothing), (evaluated, nothing), is_same_source=False) == []
    distinct = audit_stage(
        "one", (stage, nothing), (evaluated, nothing), is_same_source=True, distinct=True
    )
    assert distinct == []


def place(folder, *rows):
    """Samples of one side; each row is ``"path patient"``, an unknown patient is ``-``."""
    names, patients = zip(*(row.split() for row in rows), strict=True)
    samples = apart(folder, list(names), "")
    patients = ["" if patient == "-" else patient for patient in patients]
    groups = [patient or name for patient, name in zip(patients, names, strict=True)]
    return replace(samples, frame=samples.frame.assign(patient=patients, group=groups))


def compare(main, other, tmp_path):
    """Return the kinds of what is found of a stage, and of external data."""
    nothing = FileHashes({})
    of_stage = audit_stage("one", (other, nothing), (main, nothing), is_same_source=True)
    outside = audit_external((main, nothing), (other, nothing), tmp_path)
    return [one.kind for one in of_stage], [one.kind for one in outside.findings]


def test_a_repair_hides_no_patient_of_a_stage_or_of_external_data(tmp_path):
    main = place(tmp_path / "a", "1.png P1", "2.png P10", "3.png P3")
    other = place(tmp_path / "b", "1.png P10", "2.png P99")
    joined, _ = join_groups(
        main, near_duplicates=NearDuplicates((Match("1.png", "2.png", 0.9, "mirrored"),))
    )
    assert list(joined.frame["group"]) == ["P1", "P1", "P3"]
    assert compare(joined, other, tmp_path) == (["same_group"], ["same_group"])


def test_two_tables_that_are_repaired_apart_share_no_group(tmp_path):
    near_duplicates = NearDuplicates((Match("1.png", "2.png", 0.9, "mirrored"),))
    sides = []
    for folder in "ab":
        files = {f"{n}.png": FileHash(f"{folder}{n}", f"{folder}{n}") for n in "12"}
        table = place(tmp_path / folder, "1.png -", "2.png -", "3.png -")
        sides.append(
            join_groups(table, hashes=FileHashes(files), near_duplicates=near_duplicates)[0]
        )
    assert compare(*sides, tmp_path) == ([], [])


def test_names_that_a_recipe_keeps_apart_are_apart_in_external_data(tmp_path):
    main, other = place(tmp_path / "a", "1.png P1"), place(tmp_path / "b", "2.png p01")
    assert compare(main, other, tmp_path) == (["alike_names"], ["alike_names"])
    nothing = FileHashes({})
    found = audit_external((main, nothing), (other, nothing), tmp_path, distinct=True)
    assert found.findings == []
