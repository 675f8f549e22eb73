"""The learning rate of each step."""

from __future__ import annotations

import math
from typing import Literal


def learning_rate(
    step: int, total: int, warmup: int, peak: float, schedule: Literal["cosine", "const"] = "cosine"
) -> float:
    """Linear warm-up to ``peak`` over ``warmup`` steps, then half a cosine down to 0 at ``total``, or no change.

    Steps count from 0.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    if schedule == "const":
        return peak
    return 0.5 * peak * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))
