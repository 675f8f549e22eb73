"""CLIP models: how one is built from weights, and how it is exported."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import HFTokenizer
from safetensors import SafetensorError
from safetensors.torch import save_file

from biomedica_ray.config import ConfigError
from biomedica_ray.messages import one_line
from biomedica_ray.models.encoders import load_timm
from biomedica_ray.models.spec import CONFIG_NAME, HUB, WEIGHTS_NAME, ModelSpec


def build(spec: ModelSpec, image_weights: str | None = None, patch_dropout: float = 0) -> tuple[Any, Any]:
    """The model with its weights, on the CPU, and its tokenizer.

    Args:
        spec: What to build.
        image_weights: Weights for the image tower alone, when it is one of timm.
        patch_dropout: Share of an image's patches that the tower passes over in training mode.

    Raises:
        ConfigError: open_clip cannot build it, or weights are missing or do not fit.
    """
    with tempfile.TemporaryDirectory() as folder:
        # open_clip takes a config of one's own only by the name of a file.
        path = Path(folder) / "biomedica-model.json"
        path.write_text(json.dumps(spec.model_cfg))
        open_clip.add_model_config(path)
        try:
            model = open_clip.create_model(
                path.stem,
                force_patch_dropout=patch_dropout,
                force_preprocess_cfg=spec.preprocess_cfg,
                pretrained_text=not spec.pretrained,
            )
            tokenizer = open_clip.get_tokenizer(path.stem)
        except (RuntimeError, TypeError, ValueError, KeyError, AssertionError, OSError) as error:
            raise ConfigError(f"model: {spec.name}: {one_line(error)}") from None
    if spec.pretrained:
        _load_weights(model, spec)
    if image_weights:
        _load_image_weights(model, spec, image_weights)
    return model, tokenizer


def _load_weights(model: Any, spec: ModelSpec) -> None:
    assert spec.pretrained is not None
    try:
        path = _weights_path(spec.name, spec.pretrained)
        open_clip.load_checkpoint(model, str(path), strict=True, weights_only=True)
    except (RuntimeError, ValueError, KeyError, OSError, UnpicklingError, SafetensorError) as error:
        raise ConfigError(f"pretrained: {spec.pretrained}: {one_line(error)}") from None


def _weights_path(model: str, pretrained: str) -> Path:
    if pretrained.startswith(HUB):
        return Path(open_clip.download_pretrained_from_hf(pretrained.removeprefix(HUB)))
    path = Path(pretrained)
    if path.is_file():
        return path
    if not path.is_dir():
        return Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(model, pretrained)))
    for name in (WEIGHTS_NAME, "open_clip_pytorch_model.bin"):
        if (path / name).is_file():
            return path / name
    raise ConfigError(f"pretrained: {pretrained}: the folder has no {WEIGHTS_NAME}")


def _load_image_weights(model: Any, spec: ModelSpec, image_weights: str) -> None:
    name = spec.model_cfg["vision_cfg"].get("timm_model_name")
    if name is None:
        raise ConfigError(f"image_weights: {spec.name} has no image tower of timm that they could go into")
    tower = load_timm(name, image_weights, key="image_weights")
    try:
        model.visual.trunk.load_state_dict(tower.state_dict())
    except RuntimeError as error:
        raise ConfigError(f"image_weights: {image_weights}: do not fit {name}: {one_line(error)}") from None


def lock_towers(model: Any, *, image: bool = False, text: bool = False) -> None:
    """Freeze the image tower but for its projection into the space that it shares with the text, or the text tower."""
    if image:
        for name, parameter in model.visual.named_parameters():
            parameter.requires_grad = is_projection(name)
    if text:
        model.lock_text_tower()


def is_projection(name: str) -> bool:
    """Whether a parameter of an image tower of open_clip belongs to the projection: ``proj``, or timm's ``head``."""
    return name == "proj" or name.startswith(("head.", "attnpool."))


def train_mode(model: Any, *, lock_image: bool = False, lock_text: bool = False) -> None:
    """Training mode; a locked tower stays as at inference, so that batch norm keeps its statistics."""
    model.train()
    if lock_image:
        model.visual.eval()
    if lock_text and hasattr(model, "text"):
        model.text.eval()


def export(model: Any, tokenizer: Any, spec: ModelSpec, folder: Path) -> None:
    """Write a folder that open_clip loads as ``local-dir:FOLDER`` or ``hf-hub:ID``."""
    document = {"model_cfg": spec.model_cfg, "preprocess_cfg": preprocessing(model)}
    (folder / CONFIG_NAME).write_text(json.dumps(document, indent=2))
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS_NAME)
    if isinstance(tokenizer, HFTokenizer):
        tokenizer.save_pretrained(str(folder))


def preprocessing(model: Any) -> dict[str, Any]:
    """The model's own preprocessing, as open_clip stores it: mean, std, interpolation, resize_mode."""
    preprocess = open_clip.get_model_preprocess_cfg(model)
    return {key: preprocess[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in preprocess}


def image_size(model: Any) -> tuple[int, int]:
    """Height and width of the model's input in pixels."""
    size = model.visual.image_size
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def normalise(pixels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """uint8 pixels of shape (B, 3, H, W) to the numbers that the model sees; mean and std of 0-1 pixels, (3, 1, 1)."""
    return (pixels.float() / 255 - mean) / std
