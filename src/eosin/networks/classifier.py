"""A backbone, global pooling and one dense layer: the shape of every network for transfer."""

from __future__ import annotations

import torch
from torch import nn

from eosin.core.networks import check_rate


class Classifier(nn.Module):
    """A backbone that ends in a pooled vector, and a head on it.

    Dropout belongs to the head: a frozen backbone's vectors are the same in every epoch and can be
    kept, and the head's dropout still varies what it sees.

    Args:
        backbone: From (B, C, H, W) to a pooled vector (B, D).
        num_features: D.
        num_classes: Outputs.
        head_dropout: Dropout rate before the dense layer.

    Raises:
        RecipeError: The rate is not at least 0 and below 1.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_features: int,
        num_classes: int,
        head_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_rate("head_dropout", head_dropout)
        self.backbone = backbone
        self.head = nn.Sequential(nn.Dropout(head_dropout), nn.Linear(num_features, num_classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits.

        Args:
            images: float32, shape (B, C, H, W).

        Returns:
            Shape (B, K).
        """
        vector = self.backbone(images)  # (B, D)
        logits: torch.Tensor = self.head(vector)  # (B, K)
        return logits
