"""Overlap of outside images with a model's training and the stages before it."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from eosin.artifacts.layout import RunFolder
from eosin.artifacts.manifest import make_samples, write_manifest
from eosin.artifacts.model import Embedding
from eosin.data.audit import hash_files
from eosin.reporting.terminal import tell_overlap
from eosin.runs.overlap import audit_overlap

#: Files are compared as they are, without a cache of decoded images.
AS_THEY_ARE = Embedding(channels=("x",), table="", table_sha256="")


@pytest.fixture
def overlap(tmp_path):
    """The overlap of outside images with a run of one stage, each a list of (image, patient)."""

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
        return audit_overlap(run, AS_THEY_ARE, (table, hash_files(table)), tmp_path)

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
    assert "only names" in tell_overlap(report)[-1]


def test_nothing_is_found_where_nothing_is_shared(overlap):
    report = overlap(OTHERS, [("0.png", "P8"), ("1.png", "P9")], OUTSIDE)
    assert report.findings == []
    assert len(report.reach) == len(set(report.reach))
