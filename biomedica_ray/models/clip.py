"""The model: which one is meant, how it is built from weights, and how it is exported."""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict, dataclass, field
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

RECIPES = Path(__file__).parent / "configs"
"""Model configs that come with the package; ``model: clip-lite0`` names one."""

CONFIG_NAME = "open_clip_config.json"
WEIGHTS_NAME = "open_clip_model.safetensors"
_HUB = "hf-hub:"


@dataclass(frozen=True)
class ModelSpec:
    """A model before it is built: plain data that travels to the workers and into the exported folder.

    Attributes:
        name: As in the config.
        model_cfg: open_clip's model config.
        preprocess_cfg: mean, std, interpolation, resize_mode; empty for open_clip's defaults.
        pretrained: open_clip tag, hf-hub:ID, folder, file or None, as in the config.
    """

    name: str
    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any] = field(default_factory=dict)
    pretrained: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The spec as plain data."""
        return asdict(self)


def resolve_model(model: str, pretrained: str | None) -> ModelSpec:
    """Find the model that a config names; reads configs, no weights.

    Args:
        model: open_clip name, name of one of :data:`RECIPES`, path of a JSON file (open_clip's model config, or
            its ``open_clip_config.json``), folder with the latter, or hf-hub:ID.
        pretrained: open_clip tag, hf-hub:ID, folder or file; None for random weights.

    Raises:
        ConfigError: One of them does not exist, or is not what open_clip can build.
    """
    model_cfg, preprocess_cfg = _model_config(model)
    if missing := {"embed_dim", "vision_cfg", "text_cfg"} - model_cfg.keys():
        raise ConfigError(f"model: {model}: not a model config of open_clip: no {', '.join(sorted(missing))}")
    if "multimodal_cfg" in model_cfg:
        raise ConfigError(f"model: {model}: generates captions (CoCa), which this training has no loss for")
    if pretrained and (pretrained.startswith(_HUB) or Path(pretrained).is_dir()):
        preprocess_cfg = preprocess_cfg | _config_of(pretrained, "pretrained").get("preprocess_cfg", {})
    elif pretrained and not Path(pretrained).is_file():
        tags = open_clip.list_pretrained_tags_by_model(model)
        if pretrained not in tags:
            known = f"a tag of {model} ({', '.join(tags)})" if tags else f"no tags are known for {model}"
            raise ConfigError(f"pretrained: {pretrained}: expected hf-hub:ID, a folder or file that exists, or {known}")
        tag = open_clip.get_pretrained_cfg(model, pretrained)
        wanted = ("mean", "std", "interpolation", "resize_mode")
        preprocess_cfg = preprocess_cfg | {key: tag[key] for key in wanted if tag.get(key)}
    return ModelSpec(model, model_cfg, preprocess_cfg, pretrained)


def _model_config(model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    recipe = RECIPES / f"{model}.json"
    if model.startswith(_HUB) or Path(model).is_dir():
        document = _config_of(model, "model")
    elif model.endswith(".json") or recipe.is_file():
        document = _read_config(recipe if recipe.is_file() else Path(model), "model")
    elif model in open_clip.list_models():
        document = open_clip.get_model_config(model)
    else:
        recipes = ", ".join(sorted(path.stem for path in RECIPES.glob("*.json")))
        raise ConfigError(
            f"model: {model}: expected a model name of open_clip, {recipes}, a JSON file, a folder or hf-hub:ID"
        )
    return document.get("model_cfg", document), document.get("preprocess_cfg", {})


def _config_of(source: str, key: str) -> dict[str, Any]:
    """The ``open_clip_config.json`` of a folder or hf-hub:ID."""
    if not source.startswith(_HUB):
        return _read_config(Path(source) / CONFIG_NAME, key)
    try:
        path = open_clip.download_pretrained_from_hf(source.removeprefix(_HUB), filename=CONFIG_NAME)
    except OSError as error:
        raise ConfigError(f"{key}: {source}: {one_line(error)}") from None
    return _read_config(Path(path), key)


def _read_config(path: Path, key: str) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{key}: {path}: {one_line(error)}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{key}: {path}: expected a JSON object, got {type(document).__name__}")
    return document


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
    if pretrained.startswith(_HUB):
        return Path(open_clip.download_pretrained_from_hf(pretrained.removeprefix(_HUB)))
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
