"""What a run asks of its model beyond the model's own config, found out before any work."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from biomedica_ray.config import ConfigError
from biomedica_ray.messages import one_line
from biomedica_ray.models.spec import ModelSpec

KEPT = 20
"""Position embeddings that stay as they are when others are stretched: see :mod:`biomedica_ray.models.long_text`."""
SIGLIP_START = {"init_logit_scale": math.log(10), "init_logit_bias": -10}
"""Where scale and bias begin with the loss by pairs (Zhai et al. 2023, arXiv:2303.15343; open_clip_train --siglip)."""


def for_training(spec: ModelSpec, *, loss: str, patch_dropout: float, context_length: int | None = None) -> ModelSpec:
    """The model with the parameters that the loss needs, and for texts as long as wanted.

    Weights that it begins with may set the parameters of the loss otherwise.

    Args:
        spec: The model.
        loss: clip or siglip.
        patch_dropout: Share of an image's patches that training leaves out.
        context_length: Tokens of the longest text; None for the model's own.

    Raises:
        ConfigError: The model is a CoCa, or patches are to be dropped in an image tower that cannot, or that timm does
            not know, or the text tower cannot read such texts.
    """
    if "multimodal_cfg" in spec.model_cfg:
        raise ConfigError(f"model: {spec.name}: generates captions (CoCa), which this training has no loss for")
    if patch_dropout and not _has_patches(spec.model_cfg["vision_cfg"]):
        raise ConfigError(f"patch_dropout: the image tower of {spec.name} drops no patches; expected 0")
    if context_length is not None and context_length != spec.context_length:
        spec = _for_long_text(spec, context_length)
    return replace(spec, model_cfg={**spec.model_cfg, **SIGLIP_START}) if loss == "siglip" else spec


def _for_long_text(spec: ModelSpec, length: int) -> ModelSpec:
    """The model for texts of ``length`` tokens; position embeddings of CLIP's own text towers are stretched."""
    text, own = spec.model_cfg["text_cfg"], spec.context_length
    longer = {**spec.model_cfg, "text_cfg": {**text, "context_length": length}}
    if "hf_model_name" in text:  # has positions enough, or fails at the first step, which is tried before any other
        return replace(spec, model_cfg=longer)
    if text.get("embed_cls") or own <= KEPT + 1:
        raise ConfigError(f"context_length: the position embeddings of {spec.name} cannot be stretched")
    if length < own:
        raise ConfigError(f"context_length: expected at least the {own} tokens of {spec.name}, got {length}")
    return replace(spec, model_cfg=longer, stretched_from=own)


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
