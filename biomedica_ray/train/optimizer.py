"""AdamW as CLIP is trained with it: which parameters decay."""

from __future__ import annotations

import math
from typing import Any

import torch

from biomedica_ray.models.depth import learning_rate_scales
from biomedica_ray.train.config import TrainConfig

MAX_LOGIT_SCALE = math.log(100)
"""Upper limit of the logarithm of the logit scale (Radford et al. 2021, section 2.5)."""


def adamw(model: torch.nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """The optimizer of the trainable parameters, which must be where they stay; one kernel for all of them (fused)."""
    betas = (config.beta1, config.beta2)
    groups = parameter_groups(model, config.weight_decay, config.layer_decay)
    return torch.optim.AdamW(groups, lr=config.lr, betas=betas, eps=config.eps, fused=True)


def parameter_groups(model: torch.nn.Module, weight_decay: float, layer_decay: float = 1) -> list[dict[str, Any]]:
    """Trainable parameters with and without weight decay; norms, biases and gains have none, as in open_clip.

    Each group says by what the learning rate of its parameters is multiplied (``lr_scale``).
    """
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    scales = learning_rate_scales(model, layer_decay) if layer_decay < 1 else dict.fromkeys(trainable, 1.0)
    groups = []
    for scale in sorted({scales[name] for name in trainable}, reverse=True):
        own = {name: p for name, p in trainable.items() if scales[name] == scale}
        free = [p for name, p in own.items() if _without_decay(name, p)]
        decaying = [p for name, p in own.items() if not _without_decay(name, p)]
        for parameters, decay in ((decaying, weight_decay), (free, 0.0)):
            groups.append({"params": parameters, "weight_decay": decay, "lr_scale": scale})
    return groups


def _without_decay(name: str, parameter: torch.nn.Parameter) -> bool:
    return parameter.ndim < 2 or any(part in name for part in ("bn", "ln", "bias", "logit_scale"))
