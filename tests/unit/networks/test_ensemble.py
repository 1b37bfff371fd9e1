"""An ensemble is the mean of its members' calibrated probabilities."""

import numpy as np
import pytest
import torch
from torch import nn

from eosin.exporting.onnx import check_parity, write_onnx
from eosin.networks.classifier import Ensemble

SINGLE_PRECISION = 1e-6  # of probabilities, in float32


@pytest.fixture(scope="module")
def ensemble():
    torch.manual_seed(0)
    members = [nn.Sequential(nn.Flatten(), nn.Linear(12, 3)) for _ in range(3)]
    return Ensemble(members, [1.0, 0.5, 4.0]).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(1))


def test_soft_max_gives_the_mean_probability_back(ensemble, images):
    parts = [
        torch.softmax(member(images) / temperature, dim=1)
        for member, temperature in zip(ensemble.members, (1.0, 0.5, 4.0), strict=True)
    ]
    expected = torch.stack(parts).mean(dim=0)
    got = torch.softmax(ensemble(images), dim=1)
    np.testing.assert_allclose(got.detach(), expected.detach(), atol=SINGLE_PRECISION)


def test_the_output_is_already_normalised(ensemble, images):
    total = torch.exp(ensemble(images)).sum(dim=1)
    np.testing.assert_allclose(total.detach(), np.ones(5), atol=SINGLE_PRECISION)


def test_a_sure_member_does_not_overflow():
    class Sure(nn.Module):
        def forward(self, images):
            return torch.tensor([[1e4, -1e4]]).expand(len(images), 2)

    out = Ensemble([Sure(), Sure()], [0.05, 1.0])(torch.zeros(2, 3, 1, 1))
    assert torch.isfinite(torch.softmax(out, dim=1)).all()


def test_temperatures_travel_with_the_weights_and_into_onnx(ensemble, images, tmp_path):
    assert ensemble.state_dict()["temperatures"].tolist() == [1.0, 0.5, 4.0]
    write_onnx(ensemble, tmp_path / "model.onnx", (2, 2))
    assert check_parity(ensemble, tmp_path / "model.onnx", images.numpy()) <= SINGLE_PRECISION
