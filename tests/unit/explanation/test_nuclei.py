"""Shares of evidence on nuclei, worked by hand; nuclei of the phantom are where it drew them."""

import json

import numpy as np
import pytest

from eosin.data.phantom import PhantomOptions, draw_patient, render_concentrations
from eosin.data.sources.phantom import find_nuclei
from eosin.explanation.nuclei import mean_share, share_on

MASK = np.array([[True, False], [False, False]])


def test_only_positive_evidence_counts():
    assert share_on(np.array([[3.0, 1.0], [-5.0, 0.0]]), MASK) == 0.75
    assert np.isnan(share_on(np.array([[-3.0, 0.0], [0.0, 0.0]]), MASK))


def test_images_without_evidence_are_left_out():
    groups = [f"P{number}" for number in range(10)] * 2
    shares = [0.4, 0.6] * 9 + [float("nan"), 0.5]
    found = mean_share(shares, [0.25] * 20, groups)
    assert found.n_images == 19
    assert found.share.value == pytest.approx(0.5, abs=0.01)
    assert found.area.value == 0.25
    assert found.difference.low > 0
    assert mean_share([float("nan")], [0.1], ["P0"]).share.value is None


def test_nuclei_are_where_the_haematoxylin_is(tiny_phantom):
    options = json.loads((tiny_phantom / "phantom.json").read_text())
    options.pop("renderer")
    options["magnifications"] = tuple(options["magnifications"])
    patient = draw_patient(PhantomOptions(**options), 3)
    path = next(tiny_phantom.rglob("P0003-A-100-*.png"))
    index = int(path.stem.rpartition("-")[2])
    nuclei = find_nuclei(path, 64)
    assert nuclei.shape == (64, 64)
    assert 0.02 < nuclei.mean() < 0.8
    stain = render_concentrations(patient, 0, "100", index, 64)[..., 0]
    assert stain[nuclei].min() > np.median(stain[~nuclei])
    larger = find_nuclei(path, 128)
    assert larger.mean() == pytest.approx(nuclei.mean(), abs=0.05)


def test_other_images_have_no_known_nuclei(tiny_phantom, tmp_path):
    path = next(tiny_phantom.rglob("P0003-A-100-*.png"))
    assert find_nuclei(path.with_name("scan.png"), 64) is None
    assert find_nuclei(tmp_path / "benign" / "P0003" / path.name, 64) is None
    other = json.loads((tiny_phantom / "phantom.json").read_text()) | {"renderer": 1}
    (tmp_path / "phantom.json").write_text(json.dumps(other))
    assert find_nuclei(tmp_path / "benign" / "P0003" / path.name, 64) is None
