"""AdamW as CLIP is trained with it: which parameters decay."""

from __future__ import annotations

import math
from typing import Any

import torch

from biomedica_ray.train.config import TrainConfig

MAX_LOGIT_SCALE = math.log(100)
"""Upper limit of the logarithm of the logit scale (Radford et al. 2021, section 2.5)."""


def adamw(model: torch.nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """The optimizer of the trainable parameters, which must be where they stay; one kernel for all of them (fused)."""
    betas = (config.beta1, config.beta2)
    groups = parameter_groups(model, config.weight_decay)
    return torch.optim.AdamW(groups, lr=config.lr, betas=betas, eps=config.eps, fused=True)


def parameter_groups(model: torch.nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Trainable parameters with and without weight decay; norms, biases and gains have none, as in open_clip."""
    trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    free = [p for name, p in trainable if _without_decay(name, p)]
    decaying = [p for name, p in trainable if not _without_decay(name, p)]
    return [{"params": decaying, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def _without_decay(name: str, parameter: torch.nn.Parameter) -> bool:
    return parameter.ndim < 2 or any(part in name for part in ("bn", "ln", "bias", "logit_scale"))
