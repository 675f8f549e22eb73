"""A step of learning, of the detector and the reader at once."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

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
_MODEL, _OPTIMIZER = "model.", "optimizer."
"""What the names of a learner's state begin with."""


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
        # By the step's number, so that a training that goes on draws what it would have drawn without a stop.
        generator = np.random.default_rng(number)
        torch.manual_seed(number)  # of the reader's dropout
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

    def state(self) -> dict[str, Tensor]:
        """All that steps change, by name: the weights, and the optimizer's moments by the number of their parameter."""
        weights = {_MODEL + name: tensor for name, tensor in self._networks.state_dict().items()}
        return weights | {
            f"{_OPTIMIZER}{number}.{key}": tensor
            for number, moments in self._optimizer.state_dict()["state"].items()
            for key, tensor in moments.items()
        }

    def resume(self, state: Mapping[str, Tensor]) -> None:
        """Go on from the :meth:`state` of another learner."""
        moments: dict[int, dict[str, Tensor]] = defaultdict(dict)
        for name, tensor in state.items():
            if name.startswith(_OPTIMIZER):
                number, key = name.removeprefix(_OPTIMIZER).split(".")
                moments[int(number)][key] = tensor
        weights = {name.removeprefix(_MODEL): tensor for name, tensor in state.items() if name.startswith(_MODEL)}
        self._networks.load_state_dict(weights)
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": dict(moments)})

    @property
    def _networks(self) -> nn.Module:
        """The networks without what wraps them for several workers, which has other names for the weights."""
        return self._module.module if isinstance(self._module, DistributedDataParallel) else self._module

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
