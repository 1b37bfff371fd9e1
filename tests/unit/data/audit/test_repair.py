"""Alike names as a finding, and the repair that joins groups that belong together."""

from pathlib import Path

import pandas as pd
import pytest

from eosin.core.types import Samples
from eosin.data.audit import (
    FileHash,
    FileHashes,
    Match,
    NearDuplicates,
    audit_samples,
    describe_repair,
    join_groups,
)


def make_samples(*rows, **columns):
    """Each row is ``"path patient split"``; an unknown patient (``-``) leaves the image alone."""
    cells = [row.split() for row in rows]
    patients = ["" if cell[1] == "-" else cell[1] for cell in cells]
    frame = pd.DataFrame(
        {
            "path": [cell[0] for cell in cells],
            "label": "a",
            "patient": patients,
            "group": [p or cell[0] for p, cell in zip(patients, cells, strict=True)],
            "split": [cell[2] if len(cell) > 2 else "" for cell in cells],
            **columns,
        },
        dtype=object,
    )
    return Samples(frame=frame, root=Path(), class_names=("a", "b"))


def names_of(samples, **options):
    report = audit_samples(samples, **options)
    return [finding for finding in report.findings if finding.kind == "alike_names"]


class TestAlikeNames:
    def test_across_splits_a_leak_with_both_spellings_and_rows(self):
        samples = make_samples("1.png P01 train", "2.png P02 train", "3.png p1 test")
        (finding,) = names_of(samples, numbers=[2, 3, 6])
        assert finding.severity == "leak"
        assert "'P01' and 'p1'" in finding.message
        (pair,) = finding.pairs
        assert (pair.a, pair.b, pair.split_a, pair.split_b) == ("1.png", "3.png", "train", "test")
        assert pair.how == "'P01' in row 2; 'p1' in row 6"

    def test_inside_one_split_a_note(self):
        (finding,) = names_of(make_samples("1.png 7 train", "2.png 007 train", "3.png 7.0 train"))
        assert finding.severity == "note"

    @pytest.mark.parametrize(
        "rows",
        [
            ("1.png P01 train", "2.png P02 test", "3.png P10 val"),
            ("a.png - train", "A.png - test", "x/01.png - train", "x/1.png - test"),
            ("1.png 1.05 train", "2.png 1.5 test"),
        ],
        ids=["other patients", "files without a patient", "decimals"],
    )
    def test_other_names_are_no_finding(self, rows):
        assert names_of(make_samples(*rows)) == []

    def test_groups_that_are_paths_from_another_folder_are_files(self):
        samples = make_samples(
            "../a1.png - train", "../a01.png - test", group=["a1.png", "a01.png"]
        )
        assert names_of(samples) == []

    def test_spellings_in_one_group_need_no_joining(self):
        samples = make_samples("1.png P01 train", "2.png p01 train", group=["g", "g"])
        assert names_of(samples) == []

    def test_groups_are_compared_where_they_are_not_the_patients(self):
        samples = make_samples("1.png P1 train", "2.png P2 test", group=["S-01", "s-1"])
        (finding,) = names_of(samples)
        assert "'S-01' and 's-1'" in finding.message

    def test_a_group_stands_for_the_patient_where_none_is_known(self):
        samples = make_samples("1.png P1 train", "2.png - test", group=["P1", "p1"])
        (finding,) = names_of(samples)
        assert finding.severity == "leak"
        repaired, _ = join_groups(samples)
        assert list(repaired.frame["group"]) == ["P1", "P1"]

    def test_numbers_of_other_groups_are_no_patients(self):
        # Two wards of several patients each: ward 01 holds no patient 1.
        samples = make_samples(
            "1.png 2 train", "2.png 3 train", "3.png 1 test", group=["01", "01", "02"]
        )
        assert names_of(samples) == []
        assert audit_samples(samples).findings == []
        samples.frame["group"] = ["1", "1", "2"]
        assert audit_samples(samples).findings == []
        assert join_groups(samples)[1] == []

    def test_only_the_columns_that_are_asked_for_are_compared(self):
        samples = make_samples("1.png P1 train", "2.png P2 test", site=["Aachen", "aachen"])
        assert names_of(samples) == []
        assert names_of(samples, named=("patient", "group", "site"))[0].severity == "leak"
        assert names_of(make_samples("1.png P1 train", "2.png p1 test"), named=()) == []


def hashes_of(**pixels):
    return FileHashes({f"{name}.png": FileHash(name, value) for name, value in pixels.items()})


class TestRepair:
    def test_every_kind_joins_groups_without_any_split(self):
        samples = make_samples(
            "a.png P1", "b.png p01", "c.png P2", "d.png P3", "e.png P4", "f.png P5", "g.png P6",
            "h.png P7", accession=["", "", "9", "9", "", "", "", ""],
            cluster=["", "", "", "", "k", "k", "", ""],
        )  # fmt: skip
        repaired, joined = join_groups(
            samples,
            hashes=hashes_of(a="1", b="2", c="3", d="4", e="5", f="6", g="7", h="7"),
            near_duplicates=NearDuplicates((Match("d.png", "e.png", 0.9, "mirrored"),)),
        )
        assert list(repaired.frame["group"]) == ["P1", "P1", *["P2"] * 4, "P6", "P6"]
        assert list(repaired.frame["patient"]) == ["P1", "P1", *list(samples.frame["patient"])[2:]]
        kinds = {one.group: [link.kind for link in one.links] for one in joined}
        assert kinds == {
            "P1": ["alike_names"],
            "P2": ["same_accession", "same_cluster", "near_duplicate"],
            "P6": ["identical_pixels"],
        }
        assert all(len(one.links) == len(one.groups) - 1 for one in joined)
        assert "8 groups into 3" in describe_repair(joined)

    def test_images_without_a_patient_get_a_group_named_after_what_they_show(self):
        def group_of(first, second):
            samples = make_samples("a.png -", "b.png -", "c.png -")
            near_duplicates = NearDuplicates((Match("a.png", "b.png", 0.9, "mirrored"),))
            hashes = hashes_of(a=first, b=second, c="3")
            one, other, alone = join_groups(
                samples, hashes=hashes, near_duplicates=near_duplicates
            )[0].frame["group"]
            assert one == other
            assert alone == "c.png"
            return one

        assert group_of("1", "2") == group_of("2", "1")
        assert group_of("1", "2") != group_of("1", "4")

    def test_groups_of_one_patient_are_joined(self):
        samples = make_samples("1.png P1", "2.png P1", "3.png P2", group=["G1", "G2", "G3"])
        repaired, joined = join_groups(samples)
        assert list(repaired.frame["group"]) == ["G1", "G1", "G3"]
        assert [link.kind for one in joined for link in one.links] == ["same_group"]

    def test_the_order_of_rows_does_not_matter(self):
        rows = [f"{n}.png {p}" for n, p in enumerate(["P1", "p1", "Q", "q", "R", "P01", "-", "-"])]
        hashes = hashes_of(**{"6": "x", "7": "x", "2": "y", "4": "y"})

        def groups_of(rows):
            frame = join_groups(make_samples(*rows), hashes=hashes)[0].frame
            return dict(zip(frame["path"], frame["group"], strict=True))

        assert groups_of(rows[::-1]) == groups_of(rows)

    def test_nothing_to_join_leaves_the_table_as_it_is(self):
        samples = make_samples("a.png P1", "b.png P2")
        repaired, joined = join_groups(samples)
        assert joined == []
        assert repaired.frame.to_dict("records") == samples.frame.to_dict("records")
        assert describe_repair(joined) == ""

    def test_after_a_repair_alike_names_are_no_finding(self):
        samples = make_samples("1.png P01 train", "2.png p1 train", "3.png Q test")
        assert names_of(samples)
        assert names_of(join_groups(samples)[0]) == []

    def test_one_spelling_for_sites_which_join_no_patients(self):
        samples = make_samples("1.png P1", "2.png P2", "3.png P3", site=["Aachen", "aachen", ""])
        repaired, joined = join_groups(samples, named=("patient", "group", "site"))
        assert joined == []
        assert list(repaired.frame["group"]) == ["P1", "P2", "P3"]
        assert list(repaired.frame["site"]) == ["Aachen", "Aachen", ""]
        assert list(repaired.frame["patient"]) == ["P1", "P2", "P3"]
        assert list(join_groups(samples)[0].frame["site"]) == list(samples.frame["site"])
