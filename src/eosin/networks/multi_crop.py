"""Multi-crop evaluation of a network in PyTorch: from a field to the mean of its crops."""

from __future__ import annotations

import math

import torch
from torch import nn

from eosin.artifacts.model import Preprocessing
from eosin.images.crops import crop_origins


class MultiCrop(nn.Module):
    """Mean probability over evenly spaced square crops of a field; no weights of its own.

    Args:
        network: From crops (B, C, S, S) to logits (B, K); its soft-max is at temperature 1.
        preprocessing: Size of the field and of its crops.
    """

    def __init__(self, network: nn.Module, preprocessing: Preprocessing) -> None:
        super().__init__()
        self.network, self.side = network, preprocessing.network_px
        self.origins = crop_origins(preprocessing)

    def cut(self, images: torch.Tensor) -> torch.Tensor:
        """Return the crops of fields (B, C, H, W): the first of all, the second of all."""
        side = self.side
        return torch.cat(
            [images[:, :, top : top + side, left : left + side] for top, left in self.origins]
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logarithm (B, K) of the mean probability for fields (B, C, H, W), float32."""
        logits = self.network(self.cut(images))
        # Numbers, not sizes that a trace follows: the exported output has a known shape.
        shape = (len(self.origins), -1, int(logits.shape[-1]))
        logs = torch.log_softmax(logits, dim=-1).reshape(shape)
        return torch.logsumexp(logs, dim=0) - math.log(len(self.origins))


def take_fields(network: nn.Module, preprocessing: Preprocessing) -> nn.Module:
    """Return a network that takes the model's inputs: itself, or in multi-crop evaluation."""
    return network if preprocessing.crop_px is None else MultiCrop(network, preprocessing)
