"""Training whose loss or gradient is not finite: it ends there, naming the step and its samples."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

NAMED = 8
"""How many samples the message names at most."""


class DivergedError(Exception):
    """The loss or the gradient is not finite; raised on all workers alike, and not worth another try."""


def rows_not_finite(model: Any, images: torch.Tensor, tokens: torch.Tensor, parts: int) -> list[int]:
    """The rows of a batch whose own features are not finite, whatever the other rows are.

    Args:
        model: Called as ``model(images, tokens)``; returns open_clip's dict of features.
        images: Shape (B, 3, H, W).
        tokens: Shape (B, context length).
        parts: In how many parts the batch goes through the model.
    """
    finite = []
    with torch.no_grad():
        for part in zip(images.chunk(parts), tokens.chunk(parts), strict=True):
            output = model(*part)
            features = torch.cat([output["image_features"], output["text_features"]], dim=1)
            finite.append(features.isfinite().all(dim=1))
    return [row for row, good in enumerate(torch.cat(finite).tolist()) if not good]


def message(what: str, step: int, suspects: Sequence[str], batch: Sequence[str], samples: int) -> str:
    """The message for the user.

    Args:
        what: Which number it is, and its value.
        step: Steps from 1.
        suspects: Keys of samples whose own features are not finite.
        batch: Keys of samples of the batch, in case there are no suspects.
        samples: How many samples the batch has.
    """
    named = suspects or batch
    keys = ", ".join(named[:NAMED]) + (", ..." if len(named) > NAMED or (not suspects and samples > NAMED) else "")
    found = (
        f"features of {len(suspects)} of its {samples} samples are not finite"
        if suspects
        else f"the features of its {samples} samples are finite"
    )
    return f"{what} at step {step}; {found}: {keys}"


def advice(name: str, lr: float, written: int) -> str:
    """What to do after a run diverged, as a part of the command line.

    Args:
        name: The run's name.
        lr: Its learning rate.
        written: Step of its last checkpoint; 0 without.
    """
    if not written:
        return f"there is no checkpoint yet: a smaller lr may help, as in --lr {lr / 2:g}"
    return (
        f"the checkpoint of step {written} is kept: a smaller lr from there may help, as in "
        f"--name {name}-2 --continues {name} --lr {lr / 2:g}"
    )
