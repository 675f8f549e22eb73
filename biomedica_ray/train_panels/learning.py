"""A step of learning, of the detector and the reader at once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from biomedica_ray.panels.model import SIDE
from biomedica_ray.panels.network import Detector, loss, targets
from biomedica_ray.panels.reader import Reader
from biomedica_ray.train_panels.lessons import Lesson

WARM_UP = 60
"""Steps over which the learning rate rises."""
DECAY, MOST_NORM = 1e-2, 5.0
"""Weight decay of AdamW, and the norm to which gradients are cut."""
_SMOOTHING = 0.02
"""Label smoothing of letters."""


class Both(nn.Module):
    """The two networks, which share nothing, as one module: their losses on a lesson."""

    def __init__(self, detector: Detector, reader: Reader) -> None:
        super().__init__()
        self.detector, self.reader = detector, reader

    def forward(
        self, images: Tensor, crops: Tensor, places: Tensor, wanted: tuple[Tensor, ...], letters: Tensor
    ) -> Any:
        """The loss of the detector and of the reader."""
        heat, sides, weight = wanted
        found = self.detector(images)
        return loss(found, (heat, sides, weight)), functional.cross_entropy(
            self.reader(crops, places), letters, label_smoothing=_SMOOTHING
        )


class Learner:
    """Both networks with their optimizer.

    Args:
        module: The networks, perhaps wrapped for several workers.
        lr: The highest learning rate.
        steps: Of the whole training, for the schedule.
        device: Where they are.
    """

    def __init__(self, module: nn.Module, lr: float, steps: int, device: torch.device) -> None:
        self._module, self._lr, self._steps, self._device = module, lr, steps, device
        self._optimizer = torch.optim.AdamW(module.parameters(), lr, weight_decay=DECAY)

    def step(self, number: int, lesson: Lesson) -> tuple[float, float]:
        """Learn from a lesson; returns the losses of the detector and of the reader."""
        for group in self._optimizer.param_groups:
            group["lr"] = (
                self._lr * min(1.0, (number + 1) / WARM_UP) * (1 + math.cos(math.pi * number / self._steps)) / 2
            )
        generator = np.random.default_rng(number)
        images = self._on(torch.from_numpy(lesson.images)).float() / 255
        crops = self._on(_varied(torch.from_numpy(lesson.crops), generator))
        places = self._on(torch.from_numpy(lesson.places))
        wanted = tuple(map(self._on, targets(lesson.panels, SIDE, SIDE)))
        found, read = self._module(
            images.contiguous(memory_format=torch.channels_last),
            crops,
            places,
            wanted,
            self._on(torch.from_numpy(lesson.letters)),
        )
        self._optimizer.zero_grad()
        (found + read).backward()
        nn.utils.clip_grad_norm_(self._module.parameters(), MOST_NORM)
        self._optimizer.step()
        return found.item(), read.item()

    def _on(self, tensor: Tensor) -> Tensor:
        return tensor.to(self._device)


def _varied(crops: Tensor, rng: np.random.Generator) -> Tensor:
    """Crops with other contrast, brightness and noise, moved by a pixel."""
    many = len(crops)
    shape = (many, 1, 1, 1)
    contrast = torch.from_numpy(rng.uniform(0.7, 1.3, shape)).float()
    light = torch.from_numpy(rng.uniform(0, 0.15, shape)).float()
    noise = torch.from_numpy(rng.standard_normal(crops.shape).astype(np.float32)) * rng.uniform(0, 0.05)
    down, across = (int(each) for each in rng.integers(-1, 2, 2))
    return torch.roll(crops * contrast + light + noise, (down, across), (2, 3))
