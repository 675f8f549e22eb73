"""The detector: a small convolutional network that marks the middles of panels and measures how far their sides are.

After TTFNet (Liu et al., 2020, "Training-Time-Friendly Network for Real-Time Object Detection", arXiv 1909.00700): a
heatmap of middles, learned with the focal loss of CornerNet (Law and Deng, 2018, arXiv 1808.01244, alpha 2 and beta 4),
and, around each middle, the distances to the four sides, learned with the generalized IoU loss (Rezatofighi et al.,
2019, arXiv 1902.09630). It is trained from random weights, as what it looks for, gutters and frames, is nothing that
photographs teach.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from biomedica_ray.panels.seen import inside, overlap

STRIDE = 8
"""Pixels of the input a cell of the heatmap."""
COARSEST = 32
"""The sides of the input are multiples of this."""
_REACH = 16.0
"""Pixels for each unit that the network gives for a distance, as in TTFNet."""
_SPREAD = 0.54 / 6
"""Standard deviation of a middle's bump as a share of the panel's side: alpha / 6 of TTFNet, with its alpha."""


class Detector(nn.Module):
    """Images (n, 3, height, width), 0 to 1 -> logits of middles (n, 1, h, w) and distances in pixels (n, 4, h, w).

    Heights and widths are multiples of :data:`COARSEST`; h and w are those divided by :data:`STRIDE`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Sequential(_conv(3, 12, 2), _conv(12, 20, 2), _Residual(20), _conv(20, 32, 2), _Residual(32))
        self.middle = nn.Sequential(_conv(32, 48, 2), _Residual(48), _Residual(48))
        self.coarse = nn.Sequential(_conv(48, 80, 2), _Residual(80), _Residual(80), _Residual(80))
        self.across = nn.ModuleList([nn.Conv2d(width, 40, 1) for width in (32, 48, 80)])
        self.joined = nn.Sequential(_conv(40, 40), _conv(40, 40))
        self.heat = nn.Conv2d(40, 1, 1)
        self.sides = nn.Conv2d(40, 4, 1)
        self.heat.bias = nn.Parameter(torch.full((1,), -3.0))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of middles, and distances to sides."""
        fine = self.fine(images * 2 - 1)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        seen = self.across[2](coarse + coarse.mean((2, 3), keepdim=True))
        seen = self.across[1](middle) + functional.interpolate(seen, scale_factor=2.0)
        seen = self.joined(self.across[0](fine) + functional.interpolate(seen, scale_factor=2.0))
        return self.heat(seen), functional.softplus(self.sides(seen)) * _REACH


def _conv(before: int, after: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
    )


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.both = nn.Sequential(_conv(width, width), nn.Conv2d(width, width, 3, 1, 1, bias=False))
        self.norm = nn.BatchNorm2d(width)

    def forward(self, images: Tensor) -> Tensor:
        return functional.relu(images + self.norm(self.both(images)))


def targets(panels: Sequence[np.ndarray], height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """What the network should give.

    Args:
        panels: For each image its boxes (n, 4) in pixels of the input.
        height: Of the input.
        width: Of the input.

    Returns:
        Heat (n, 1, h, w), 1 at middles; distances (n, 4, h, w) in pixels; and how much each cell's count (n, h, w).
    """
    h, w = height // STRIDE, width // STRIDE
    y, x = (np.arange(size)[:, None] * STRIDE + STRIDE / 2 for size in (h, w))
    x = x.T
    heat = np.zeros((len(panels), 1, h, w), np.float32)
    sides, weight = np.zeros((len(panels), 4, h, w), np.float32), np.zeros((len(panels), h, w), np.float32)
    for n, boxes in enumerate(panels):
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        for left, top, right, bottom in boxes[np.argsort(-areas)]:
            row = min(h - 1, int((top + bottom) / 2 / STRIDE))
            column = min(w - 1, int((left + right) / 2 / STRIDE))
            across, down = (max(0.5 * STRIDE, _SPREAD * side) for side in (right - left, bottom - top))
            bump = np.exp(
                -((x - (column + 0.5) * STRIDE) ** 2) / (2 * across**2)
                - (y - (row + 0.5) * STRIDE) ** 2 / (2 * down**2)
            )
            heat[n, 0] = np.maximum(heat[n, 0], bump)
            near = bump > 0.05
            share = bump[near] / bump[near].sum()
            weight[n][near] = share * np.log(max(np.e, (right - left) * (bottom - top)))
            distances = np.broadcast_arrays(x - left, y - top, right - x, bottom - y)
            sides[n][:, near] = np.stack([each[near] for each in distances])
    return tuple(map(torch.from_numpy, (heat, sides, weight)))  # type: ignore[return-value]


def loss(found: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """Focal loss of middles plus five times the generalized IoU loss of sides, as TTFNet weighs them."""
    logits, sides = found
    heat, distances, weight = wanted
    chance = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    hit = heat >= 0.999
    right = (1 - chance) ** 2 * chance.log() * hit
    wrong = (1 - heat) ** 4 * chance**2 * (1 - chance).log() * ~hit
    focal = -(right.sum() + wrong.sum()) / hit.sum().clamp(min=1)
    return focal + 5 * (weight * _apart(sides, distances)).sum() / weight.sum().clamp(min=1e-6)


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """1 - generalized IoU of boxes around the same cell, given by distances (n, 4, h, w)."""
    other = other.clamp(min=0)
    area, wanted = ((each[:, 0] + each[:, 2]) * (each[:, 1] + each[:, 3]) for each in (one, other))
    least, most = torch.minimum(one, other), torch.maximum(one, other)
    common = (least[:, 0] + least[:, 2]) * (least[:, 1] + least[:, 3])
    hull = (most[:, 0] + most[:, 2]) * (most[:, 1] + most[:, 3])
    union = (area + wanted - common).clamp(min=1e-6)
    return 1 - common / union + (hull - union) / hull.clamp(min=1e-6)


def peaks(logits: Tensor, sides: Tensor, least: float) -> list[tuple[tuple[float, float, float, float], float]]:
    """Boxes (left, top, right, bottom) in pixels of the input with their confidences, the surest first, of one image.

    A cell counts where no neighbour is surer, as in CornerNet; of boxes that share more than half of their union, or
    of which one lies within the other by more than three quarters, the surer one stays.

    Args:
        logits: (1, h, w).
        sides: (4, h, w).
        least: Confidence below which nothing is found.
    """
    chance = logits.sigmoid()
    top = functional.max_pool2d(chance[None], 3, 1, 1)[0]
    rows, columns = torch.nonzero((chance == top)[0] & (chance[0] >= least), as_tuple=True)
    order = chance[0, rows, columns].argsort(descending=True)
    kept: list[tuple[tuple[float, float, float, float], float]] = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        left, above, right, below = sides[:, row, column].tolist()
        x, y = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
        box = (x - left, y - above, x + right, y + below)
        if not any(overlap(box, other) > 0.5 or inside(box, other) > 0.75 for other, _ in kept):
            kept.append((box, float(chance[0, row, column])))
    return kept
