"""The reader: a small network that tells which letter a patch of ink is, or that it is none of a panel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from biomedica_ray.panels.letters import CROP, LETTERS

NONE = len(LETTERS)
"""The class of what is no letter of a panel."""


class Reader(nn.Module):
    """Crops (n, 2, CROP, CROP) and places (n, 3) -> logits (n, 27): the letters, and :data:`NONE`.

    A place is the middle and the height of a candidate as shares of the image's sides and its longer side.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen = nn.Sequential(
            nn.Conv2d(2, 32, 5, 2, 2), nn.BatchNorm2d(32), nn.ReLU(inplace=True),
            nn.Conv2d(32, 64, 3, 2, 1), nn.BatchNorm2d(64), nn.ReLU(inplace=True),
            nn.Conv2d(64, 96, 3, 1, 1), nn.BatchNorm2d(96), nn.ReLU(inplace=True),
            nn.MaxPool2d(2), nn.Flatten(),
        )  # fmt: skip
        self.said = nn.Sequential(
            nn.Linear(96 * (CROP // 8) ** 2 + 3, 128), nn.ReLU(inplace=True), nn.Dropout(0.2), nn.Linear(128, NONE + 1)
        )

    def forward(self, crops: Tensor, places: Tensor) -> Tensor:
        """Logits of classes."""
        said: Tensor = self.said(torch.cat([self.seen(crops), places], dim=1))
        return said
