"""The audit: every kind of leak when it is planted, and silence when nothing is."""

import hashlib
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.facts import tells

from eosin.artifacts.audit import AuditReport
from eosin.core.types import Samples
from eosin.data.audit import (
    FileHash,
    Match,
    NearDuplicates,
    audit_samples,
    fingerprint,
    hash_files,
    merge_audits,
)
from eosin.data.audit.overlaps import find_overlaps
from eosin.data.sources.breakhis import parse_breakhis_name

DATA = Path(os.environ.get("EOSIN_DATA", Path(__file__).parents[5] / "shared" / "data"))


def make_samples(rows, root=Path()):
    """Build samples from dictionaries; ``group`` is the path's stem unless given."""
    frame = pd.DataFrame(rows, dtype=object).fillna("")
    defaults = {"label": "a", "patient": "", "group": [Path(p).stem for p in frame["path"]]}
    for column, value in defaults.items():
        if column not in frame:
            frame[column] = value
    return Samples(frame=frame, root=root, class_names=("a", "b"))


def rows_of(*cells):
    """``"train/x.png"`` becomes a row of split ``train`` and path ``x.png``."""
    return [dict(zip(("split", "path"), cell.split("/"), strict=True)) for cell in cells]


def kinds(report):
    return [(finding.kind, finding.severity) for finding in report.findings]


def only(report):
    (finding,) = report.findings
    return finding


def ends(finding):
    return [(pair.a, pair.b) for pair in finding.pairs]


CLEAN = rows_of("train/1.png", "train/2.png", "val/3.png", "test/4.png", "test/5.png")


class TestTable:
    def test_a_clean_table_has_no_findings(self):
        report = audit_samples(
            make_samples(
                [
                    {**row, "group": key, "cluster": key, "accession": key}
                    for row, key in zip(CLEAN, "ppqrr", strict=True)
                ]
            )
        )
        assert report.findings == []
        assert report.leaks == []
        assert (report.n_images, report.n_groups) == (5, 3)
        assert {name: (s.n_images, s.n_groups) for name, s in report.splits.items()} == {
            "train": (2, 1),
            "val": (1, 1),
            "test": (2, 1),
        }

    def test_same_path(self):
        report = audit_samples(make_samples([*CLEAN, *rows_of("test/1.png")], Path("data")))
        assert kinds(report) == [("same_path", "leak"), ("same_group", "leak")]
        finding = report.findings[0]
        assert ends(finding) == [("1.png", "1.png")]
        assert (finding.pairs[0].split_a, finding.pairs[0].split_b) == ("train", "test")
        assert finding.pairs[0].score == 1.0
        assert tells(finding.message, 1, "train", "test", "1.png", "1 of 3 test")

    def test_same_path_in_two_spellings(self):
        rows = [{"split": "train", "path": "a/1.png"}, {"split": "test", "path": "b/../a/./1.png"}]
        report = audit_samples(make_samples([{**row, "group": row["split"]} for row in rows]))
        assert kinds(report) == [("same_path", "leak")]

    def test_an_image_that_is_its_own_group_is_told_once(self):
        rows = [{**row, "group": row["path"]} for row in rows_of("train/1.png", "test/1.png")]
        assert kinds(audit_samples(make_samples(rows))) == [("same_path", "leak")]

    def test_same_group(self):
        rows = [
            {**row, "group": group}
            for row, group in zip(
                rows_of("train/1.png", "train/2.png", "test/3.png", "test/4.png", "val/5.png"),
                ["p", "q", "p", "p", "q"],
                strict=True,
            )
        ]
        report = audit_samples(make_samples(rows))
        assert kinds(report) == [("same_group", "leak")] * 2
        by_split = {f.pairs[0].split_b: f for f in report.findings}
        assert tells(by_split["test"].message, "1 group", "train", "test", "p", "2 of 2 test")
        assert ends(by_split["test"]) == [("1.png", "3.png")]
        assert ends(by_split["val"]) == [("2.png", "5.png")]

    def test_message_names_three_and_counts_all(self):
        rows = [
            {"split": split, "path": f"{split}{group}.png", "group": f"g{group}"}
            for split in ("train", "test")
            for group in range(12)
        ]
        rows += rows_of("test/clean.png")
        rows[-1]["group"] = "clean"
        finding = only(audit_samples(make_samples(rows)))
        assert tells(
            finding.message, "12 groups", "train", "test", "g0, g1, g10, …", "12 of 13 test"
        )
        assert len(finding.pairs) == 12

    def test_same_cluster(self):
        rows = [{**row, "cluster": c} for row, c in zip(CLEAN, ["1", "", "1", "", ""], strict=True)]
        finding = only(audit_samples(make_samples(rows)))
        assert (finding.kind, finding.severity) == ("same_cluster", "leak")
        assert "cluster of look-alike tiles is in both train and val: 1" in finding.message

    def test_same_accession_from_its_column(self):
        rows = [{**row, "accession": a} for row, a in zip(CLEAN, "uvwxu", strict=True)]
        finding = only(audit_samples(make_samples(rows)))
        assert (finding.kind, finding.severity) == ("same_accession", "leak")
        assert ends(finding) == [("1.png", "5.png")]

    @pytest.mark.parametrize("column", [{}, {"accession": "slide"}])
    def test_sections_of_one_specimen_under_clean_slide_groups(self, column):
        names = {
            "train": "SOB_B_A-14-22549AB-40-001.png",
            "test": "SOB_B_A-14-22549CD-40-001.png",
            "val": "SOB_M_LC-15-190EF-100-003.png",
        }
        rows = []
        for split, name in names.items():
            slide = parse_breakhis_name(name).slide
            rows.append({"split": split, "path": f"b/{name}", "group": slide})
            # An accession column that holds the slide, as if it were the accession.
            rows[-1] |= dict.fromkeys(column, slide)
        finding = only(audit_samples(make_samples(rows)))
        assert finding.kind == "same_accession"
        assert tells(finding.message, "1 accession", "train", "test", 22549, "1 of 1 test")

    def test_label_conflict_of_a_path(self):
        rows = rows_of("train/1.png", "train/1.png", "test/2.png")
        rows = [{**row, "label": label} for row, label in zip(rows, "aba", strict=True)]
        report = audit_samples(make_samples(rows))
        assert kinds(report) == [("label_conflict", "warning"), ("same_path", "note")]
        message = report.findings[0].message
        assert tells(message, "1 image", "train", "1.png (a", "1.png (b", "2 of 2 train")

    def test_twice_without_splits_is_a_note(self):
        report = audit_samples(
            make_samples([{"path": "1.png"}, {"path": "2.png"}, {"path": "1.png"}])
        )
        finding = only(report)
        assert (finding.kind, finding.severity) == ("same_path", "note")
        assert finding.pairs[0].split_a is None
        assert tells(finding.message, 1, "1.png", "2 of 3 images")
        assert report.splits == {}

    def test_shared_groups_inside_a_split_are_no_finding(self):
        rows = [{**row, "split": "train", "group": "p", "cluster": "c"} for row in CLEAN]
        assert audit_samples(make_samples(rows)).findings == []

    def test_folds_are_compared_where_there_are_no_splits(self):
        rows = [
            {"path": f"{i}.png", "group": group, "fold": fold}
            for i, (group, fold) in enumerate(zip("ppq", "011", strict=True))
        ]
        report = audit_samples(make_samples(rows))
        assert "in both fold 0 and fold 1: p" in only(report).message
        assert list(report.splits) == ["fold 0", "fold 1"]

    def test_rows_without_a_split_are_on_no_side(self):
        rows = [{"path": "1.png", "split": s, "group": "p"} for s in ("train", "", "train")]
        report = audit_samples(make_samples(rows))
        assert kinds(report) == [("same_path", "note")]
        assert list(report.splits) == ["train"]

    def test_images_inside_a_container_are_told_by_index(self):
        rows = rows_of("train/x.h5#1", "test/x.h5#2", "val/x.h5#1")
        rows = [{**row, "group": str(i)} for i, row in enumerate(rows)]
        finding = only(audit_samples(make_samples(rows)))
        assert ends(finding) == [("x.h5#1", "x.h5#1")]

    def test_is_an_artifact(self):
        report = audit_samples(make_samples([*CLEAN, *rows_of("test/1.png")]))
        assert AuditReport.model_validate_json(report.model_dump_json()) == report

    def test_a_patient_in_two_groups_is_a_leak_across_splits_and_else_nothing(self):
        rows = [
            {"split": split, "path": f"{n}.png", "patient": patient, "group": f"G{n}"}
            for n, (split, patient) in enumerate(
                [("train", "P1"), ("test", "P1"), ("train", "P2"), ("train", "P2")]
            )
        ]
        finding = only(audit_samples(make_samples(rows)))
        assert (finding.kind, finding.severity) == ("same_group", "leak")
        assert ends(finding) == [("0.png", "1.png")]
        assert "P1" in finding.message
        assert "P2" not in finding.message


rows_strategy = st.lists(
    st.tuples(st.sampled_from(["train", "val", "test"]), st.integers(0, 8), st.integers(0, 8)),
    min_size=1,
    max_size=30,
)


@settings(deadline=None, max_examples=100)
@given(rows_strategy)
def test_leaks_are_exactly_the_groups_in_two_splits(cells):
    rows = [
        {"split": split, "path": f"{i}.png", "group": f"g{group}", "cluster": f"c{cluster}"}
        for i, (split, group, cluster) in enumerate(cells)
    ]
    report = audit_samples(make_samples(rows))
    for position, column in ((1, "same_group"), (2, "same_cluster")):
        wanted = {
            (one[0], other[0], one[position])
            for one in cells
            for other in cells
            if one[position] == other[position]
            and ("train", "val", "test").index(one[0]) < ("train", "val", "test").index(other[0])
        }
        got = {
            (pair.split_a, pair.split_b, cells[int(pair.a[:-4])][position])
            for finding in report.findings
            if finding.kind == column
            for pair in finding.pairs
        }
        n_pairs = sum(len(f.pairs) for f in report.findings if f.kind == column)
        assert got == wanted
        assert n_pairs == len(wanted)  # one example for each
    for finding in report.findings:
        for pair in finding.pairs:
            assert rows[int(pair.a[:-4])]["split"] == pair.split_a
            assert rows[int(pair.b[:-4])]["split"] == pair.split_b


@pytest.mark.parametrize(
    ("parts", "apart", "expected"),
    [
        ("ab", "xx", None),
        ("ab", "xy", (0, 1)),
        ("aab", "xyx", (1, 2)),
        ("abb", "xxy", (0, 2)),
        ("aabb", "xxxx", None),
    ],
)
def test_an_example_is_found_wherever_it_is(parts, apart, expected):
    entries = [(row, "k") for row in range(len(parts))]
    found = find_overlaps(entries, list(parts), ["a", "b"], apart=list(apart), inside=False)
    examples = [(overlap.a, overlap.b) for overlap in found.get(("a", "b"), [])]
    assert examples == ([] if expected is None else [expected])


@pytest.fixture
def images(tmp_path):
    """Ten different PNG files 0.png … 9.png."""
    rng = np.random.default_rng(0)
    for i in range(10):
        array = rng.integers(0, 255, (8, 6, 3), dtype=np.uint8)
        Image.fromarray(array).save(tmp_path / f"{i}.png")
    return tmp_path


def audited(rows, root):
    samples = make_samples(rows, root)
    return audit_samples(samples, hashes=hash_files(samples))


class TestFiles:
    def test_ten_different_images_are_clean(self, images):
        rows = rows_of(*(f"{['train', 'val', 'test'][i % 3]}/{i}.png" for i in range(10)))
        assert audited(rows, images).findings == []

    def test_identical_bytes_are_told_once(self, images):
        (images / "copy.png").write_bytes((images / "0.png").read_bytes())
        rows = rows_of("train/0.png", "test/copy.png", "test/1.png")
        finding = only(audited(rows, images))
        assert (finding.kind, finding.severity) == ("identical_bytes", "leak")
        assert tells(finding.message, "1 image", "exact", "0.png = copy.png", "1 of 2 test")

    def test_images_of_one_name_are_told_apart_by_their_folders(self, images):
        for folder in ("P1", "P2", "P3"):
            (images / "a" / folder).mkdir(parents=True)
        content = (images / "0.png").read_bytes()
        for cell in ("a/P1/0.png", "a/P2/0.png"):
            (images / cell).write_bytes(content)
        (images / "a/P3/0.png").write_bytes((images / "1.png").read_bytes())
        splits = {"P1": "train", "P2": "test", "P3": "test"}
        rows = [
            {"split": split, "path": f"a/{name}/0.png", "group": name}
            for name, split in splits.items()
        ]
        finding = only(audited(rows, images))
        assert tells(finding.message, "P1/0.png = P2/0.png")
        assert "a/P1" not in finding.message

    def test_identical_pixels_in_another_format(self, images):
        Image.open(images / "0.png").save(images / "again.bmp")
        finding = only(audited(rows_of("train/0.png", "val/again.bmp"), images))
        assert (finding.kind, finding.severity) == ("identical_pixels", "leak")
        assert "0.png = again.bmp" in finding.message

    def test_without_hashes_copies_go_unseen(self, images):
        (images / "copy.png").write_bytes((images / "0.png").read_bytes())
        rows = rows_of("train/0.png", "test/copy.png")
        assert audit_samples(make_samples(rows, images)).findings == []

    def test_same_path_is_not_told_again_as_bytes(self, images):
        rows = [{**row, "group": row["split"]} for row in rows_of("train/0.png", "test/0.png")]
        assert kinds(audited(rows, images)) == [("same_path", "leak")]

    def test_path_bytes_and_pixels_of_one_picture_are_three_pairs(self, images):
        """0.png twice, a copy of it, and its pixels in another format: each told by its kind."""
        (images / "copy.png").write_bytes((images / "0.png").read_bytes())
        Image.open(images / "0.png").save(images / "pixels.bmp")
        rows = rows_of("train/0.png", "test/0.png", "test/copy.png", "val/pixels.bmp")
        rows = [{**row, "group": str(i)} for i, row in enumerate(rows)]
        found = {
            (f.kind, f.pairs[0].split_a, f.pairs[0].split_b): ends(f)
            for f in audited(rows, images).findings
        }
        assert found == {
            ("same_path", "train", "test"): [("0.png", "0.png")],
            ("identical_bytes", "train", "test"): [("0.png", "copy.png")],
            ("identical_pixels", "train", "val"): [("0.png", "pixels.bmp")],
            ("identical_pixels", "val", "test"): [("pixels.bmp", "0.png")],
            # Inside test the copy is a note.
            ("identical_bytes", "test", "test"): [("0.png", "copy.png")],
        }

    def test_copies_inside_a_split_are_notes(self, images):
        (images / "copy.png").write_bytes((images / "0.png").read_bytes())
        Image.open(images / "1.png").save(images / "pixels.bmp")
        rows = rows_of("train/0.png", "train/copy.png", "test/1.png", "test/pixels.bmp")
        assert kinds(audited(rows, images)) == [
            ("identical_bytes", "note"),
            ("identical_pixels", "note"),
        ]

    def test_equal_bytes_of_another_shape_are_another_image(self, images):
        pixels = np.zeros((4, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / "wide.png")
        Image.fromarray(pixels.reshape(6, 4, 3)).save(images / "tall.png")
        assert audited(rows_of("train/wide.png", "test/tall.png"), images).findings == []

    def test_one_picture_under_two_labels(self, images):
        Image.open(images / "0.png").save(images / "again.bmp")
        rows = rows_of("train/0.png", "test/again.bmp")
        rows = [{**row, "label": label} for row, label in zip(rows, "ab", strict=True)]
        report = audited(rows, images)
        assert kinds(report) == [("identical_pixels", "leak"), ("label_conflict", "warning")]
        assert "0.png (a) = again.bmp (b)" in report.findings[1].message

    def test_unreadable_and_absent_files_are_left_to_other_checks(self, images):
        for name in ("broken.png", "too.png"):
            (images / name).write_bytes(b"no image")
        rows = rows_of("train/broken.png", "test/too.png", "test/absent.png", "train/0.png")
        assert audited(rows, images).findings == []

    def test_containers_are_hashed_but_not_compared(self, images):
        for name in ("x.h5", "y.h5"):
            (images / name).write_bytes(b"container")
        samples = make_samples(
            [
                {"split": "train", "path": "x.h5#0", "group": "p"},
                {"split": "test", "path": "y.h5#0", "group": "q"},
            ],
            images,
        )
        hashes = hash_files(samples)
        assert hashes.of_file("x.h5#0").content == hashlib.sha256(b"container").hexdigest()
        assert hashes.of_image("x.h5#0") is None
        assert audit_samples(samples, hashes=hashes).findings == []

    def test_hashes_are_sha256_of_bytes_and_pixels(self, images):
        hashes = hash_files(make_samples(rows_of("train/0.png"), images))
        pixels = np.asarray(Image.open(images / "0.png").convert("RGB"))
        digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()
        content = hashlib.sha256((images / "0.png").read_bytes()).hexdigest()
        assert hashes.files == {"0.png": FileHash(content=content, pixels=digest)}


class TestFingerprint:
    ROWS = (
        {"path": "0.png", "label": "a", "group": "p"},
        {"path": "1.png", "label": "b", "group": "q"},
    )

    def test_knows_no_row_order(self, images):
        samples = make_samples(list(self.ROWS), images)
        back = make_samples(list(self.ROWS[::-1]), images)
        hashes = hash_files(samples)
        assert fingerprint(samples, hashes) == fingerprint(back, hashes)
        assert len(fingerprint(samples, hashes)) == 64

    @pytest.mark.parametrize("column", ["path", "label", "group"])
    def test_changes_with_each_column(self, column):
        changed = [{**self.ROWS[0], column: "b"}, self.ROWS[1]]
        assert fingerprint(make_samples(changed)) != fingerprint(make_samples(list(self.ROWS)))

    def test_changes_with_a_file(self, images):
        samples = make_samples(list(self.ROWS), images)
        before = fingerprint(samples, hash_files(samples))
        (images / "0.png").write_bytes((images / "1.png").read_bytes())
        assert fingerprint(samples, hash_files(samples)) != before

    def test_cells_do_not_run_together(self):
        one = make_samples([{"path": "ab", "label": "c", "group": "g"}])
        other = make_samples([{"path": "a", "label": "bc", "group": "g"}])
        assert fingerprint(one) != fingerprint(other)


class TestMerge:
    def reports(self):
        clean = audit_samples(make_samples(CLEAN))
        leaking = audit_samples(make_samples([*CLEAN[:4], *rows_of("test/1.png")]))
        return clean, leaking

    def test_joins_findings_once(self):
        clean, leaking = self.reports()
        merged = merge_audits([clean, leaking, leaking])
        assert kinds(merged) == kinds(leaking)
        assert list(merged.splits) == ["0-0", "0-1", "0-2"]
        assert merged.splits["0-1"] == leaking.splits["test"]
        assert merged.n_images == 5

    def test_takes_names(self):
        clean, leaking = self.reports()
        assert list(merge_audits([clean, leaking], ["0-1", "1-0"]).splits) == ["0-1", "1-0"]
        with pytest.raises(ValueError, match="2 audits, 1 names"):
            merge_audits([clean, leaking], ["0-0"])

    def test_keeps_leaks_first(self):
        note = audit_samples(make_samples([{"path": "1.png"}, {"path": "1.png"}]))
        _, leaking = self.reports()
        severities = [finding.severity for finding in merge_audits([note, leaking]).findings]
        assert severities == ["leak", "leak", "note"]

    def test_names_a_pair_of_copies_once_with_its_folds(self):
        def report(first, second, conflicting=False):
            rows = rows_of(f"{first}/1.png", f"{second}/2.png", "train/3.png")
            for row in rows:
                row["label"] = "b" if conflicting and row is rows[0] else "a"
            near = NearDuplicates((Match("1.png", "2.png", 0.9, "mirrored"),))
            return audit_samples(make_samples(rows), near_duplicates=near)

        folds = [report("test", "train"), report("train", "val"), report("train", "train")]
        (found,) = merge_audits(folds).findings
        assert (found.kind, found.severity) == ("near_duplicate", "leak")
        assert tells(found.message, "1 image", "2.png", "1.png", "mirrored", "folds 1 and 2")
        assert [(pair.split_a, pair.split_b) for pair in found.pairs] == [("train", "test")]
        (kept,) = merge_audits([folds[2], folds[2]]).findings
        assert (kept.severity, tells(kept.message, "every fold")) == ("note", True)
        repeated = merge_audits(folds[1:], ["0-0", "1-0"]).findings
        assert tells(repeated[0].message, "1 of 2 folds")
        beside = merge_audits([folds[2], folds[0]], ["0-0", "test"]).findings
        assert tells(beside[0].message, "beside the folds")
        conflicts = [report("test", "train", True), report("train", "val", True)]
        assert kinds(merge_audits(conflicts)) == [
            ("near_duplicate", "leak"),
            ("label_conflict", "warning"),
        ]

    def test_refuses_nothing(self):
        with pytest.raises(ValueError, match="at least one"):
            merge_audits([])


def test_the_audit_s_time_grows_with_the_rows_and_not_with_their_square():
    rng = np.random.default_rng(0)

    def audit(n):
        groups = rng.integers(0, n // 20, n)
        frame = pd.DataFrame(
            {
                "path": [f"breast/SOB_M_DC-14-{g}-200-{i:03}.png" for i, g in enumerate(groups)],
                "label": "a",
                "patient": "",
                "group": [f"g{group}" for group in groups],
                "cluster": [f"c{group}" for group in groups],
                "split": rng.choice(["train", "val", "test"], n),
            },
            dtype=object,
        )
        samples = Samples(frame=frame, root=Path(), class_names=("a", "b"))
        start = time.process_time()
        report = audit_samples(samples)
        return time.process_time() - start, report

    few, _ = audit(20_000)
    many, report = audit(100_000)
    # Seconds would measure the machine, and what else runs on it.
    assert many < 12 * few  # five times the rows; 25 times as long if it grew with their square
    assert {f.kind for f in report.findings} == {"same_group", "same_accession", "same_cluster"}
    assert len(report.findings) == 9


@pytest.mark.data
def test_slide_groups_of_breakhis_hide_shared_accessions():
    """29960AB and 29960CD, 19979 and 19979C: two slides each of one specimen."""
    root = DATA / "breakhis-200x-224"
    if not root.is_dir():
        pytest.skip(f"{root} is absent: set EOSIN_DATA")
    rows = []
    for path in sorted(root.rglob("*.png")):
        slide = parse_breakhis_name(path.name).slide
        rows.append(
            {
                "path": path.relative_to(root).as_posix(),
                "group": slide,
                "split": "test" if slide in {"14-29960CD", "14-19979C"} else "train",
            }
        )
    finding = only(audited(rows, root))
    assert finding.kind == "same_accession"
    assert tells(finding.message, 2, "train", "test", 19979, 29960, "32 of 32 test")
