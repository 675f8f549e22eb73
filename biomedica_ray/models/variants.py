"""What a run asks of its model beyond the model's own config, found out before any work."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from biomedica_ray.config import ConfigError
from biomedica_ray.messages import one_line
from biomedica_ray.models.spec import ModelSpec

SIGLIP_START = {"init_logit_scale": math.log(10), "init_logit_bias": -10}
"""Where scale and bias begin with the loss by pairs (Zhai et al. 2023, arXiv:2303.15343; open_clip_train --siglip)."""


def for_training(spec: ModelSpec, *, loss: str, patch_dropout: float) -> ModelSpec:
    """The model with the parameters that the loss needs; weights that it begins with may set them otherwise.

    Args:
        spec: The model.
        loss: clip or siglip.
        patch_dropout: Share of an image's patches that training leaves out.

    Raises:
        ConfigError: The model is a CoCa, or patches are to be dropped in an image tower that cannot, or that timm does
            not know.
    """
    if "multimodal_cfg" in spec.model_cfg:
        raise ConfigError(f"model: {spec.name}: generates captions (CoCa), which this training has no loss for")
    if patch_dropout and not _has_patches(spec.model_cfg["vision_cfg"]):
        raise ConfigError(f"patch_dropout: the image tower of {spec.name} drops no patches; expected 0")
    return replace(spec, model_cfg={**spec.model_cfg, **SIGLIP_START}) if loss == "siglip" else spec


def _has_patches(vision_cfg: dict[str, Any]) -> bool:
    name = vision_cfg.get("timm_model_name")
    if name is None:
        # Layers of several stages are a ResNet, for which open_clip passes over the option without a word.
        return not isinstance(vision_cfg.get("layers"), (list, tuple))
    import timm  # noqa: PLC0415 - takes seconds
    import torch  # noqa: PLC0415

    try:
        with torch.device("meta"):
            timm.create_model(name, patch_drop_rate=0.5)
    except TypeError:
        return False
    except (RuntimeError, OSError) as error:
        raise ConfigError(f"model: {name}: {one_line(error)}") from None
    return True
