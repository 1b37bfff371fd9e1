"""The ensemble of folds whose fluorescence windows differ."""

import numpy as np
import torch
from torch import nn

from eosin.artifacts.metrics import Threshold
from eosin.artifacts.model import ModelInfo, Planes, Window
from eosin.inference.preprocess import make_preprocessing, to_bytes, to_input
from eosin.pipeline.pooling import _with_own_window, join_preprocessing

#: Half a step of the ensemble's 8 bits, stretched to the narrower window of a member.
ROUNDING = 1.0


def preprocessing(low, high, style="unit"):
    window = Window(low=low, high=high, percentiles=(0.1, 99.9))
    planes = Planes(chosen=(0, 1), n_stored=2, bits=16, window=window)
    return make_preprocessing(style, 8, channels=("a", "b"), planes=planes)


def info(own):
    return ModelInfo(
        architecture="light_cnn",
        arguments={},
        class_names=("x", "y"),
        positive=None,
        preprocessing=own,
        mpp=None,
        modality="fluorescence",
        threshold=Threshold(value=None, source="none", target_recall=None),
        temperature=1.0,
        data_fingerprint="",
        data_licence="",
        simulated=False,
        params=1,
        weights_sha256="",
        licence="",
    )


def test_the_widest_window_of_each_channel():
    joined = join_preprocessing(
        [preprocessing((10.0, 5.0), (90.0, 80.0)), preprocessing((20.0, 4.0), (99.0, 70.0))]
    )
    assert joined.planes.window.low == (10.0, 4.0)
    assert joined.planes.window.high == (99.0, 80.0)


def test_brightfield_members_share_their_preprocessing():
    own = make_preprocessing("caffe", 8)
    assert join_preprocessing([own, own]) is own
    network = nn.Identity()
    assert _with_own_window(network, info(own), own) is network


def test_a_member_sees_what_its_own_window_shows():
    counts = np.random.default_rng(0).integers(0, 1200, (2, 8, 8, 2), dtype=np.uint16)
    for style in ("unit", "centred"):
        own = preprocessing((100.0, 50.0), (900.0, 1000.0), style)
        joined = preprocessing((80.0, 20.0), (1000.0, 1100.0), style)
        member = _with_own_window(nn.Identity(), info(own), joined)
        shared = torch.from_numpy(to_input(to_bytes(counts, joined), joined))
        seen = member(shared).numpy()
        wanted = to_input(to_bytes(counts, own), own)
        step = wanted.max() - wanted.min()
        np.testing.assert_allclose(seen, wanted, atol=ROUNDING * step / 255 * 1.2)
        assert seen.min() >= wanted.min() - 1e-6
        assert seen.max() <= wanted.max() + 1e-6
