"""Which model a config means.

Imports open_clip only where a name of its own is meant, as that takes seconds: a driver needs no model.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from biomedica_ray.config import ConfigError
from biomedica_ray.messages import one_line

RECIPES = Path(__file__).parent / "configs"
"""Model configs that come with the package; ``model: clip-lite0`` names one."""

CONFIG_NAME = "open_clip_config.json"
WEIGHTS_NAME = "open_clip_model.safetensors"
HUB = "hf-hub:"
"""What precedes the name of a repository of the Hugging Face hub."""


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
    if pretrained and (pretrained.startswith(HUB) or Path(pretrained).is_dir()):
        preprocess_cfg = preprocess_cfg | _config_of(pretrained, "pretrained").get("preprocess_cfg", {})
    elif pretrained and not Path(pretrained).is_file():
        import open_clip  # noqa: PLC0415

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
    if model.startswith(HUB) or Path(model).is_dir():
        document = _config_of(model, "model")
    elif model.endswith(".json") or recipe.is_file():
        document = _read_config(recipe if recipe.is_file() else Path(model), "model")
    else:
        document = _config_of_open_clip(model)
    return document.get("model_cfg", document), document.get("preprocess_cfg", {})


def _config_of_open_clip(model: str) -> dict[str, Any]:
    import open_clip  # noqa: PLC0415

    if model not in open_clip.list_models():
        recipes = ", ".join(sorted(path.stem for path in RECIPES.glob("*.json")))
        raise ConfigError(
            f"model: {model}: expected a model name of open_clip, {recipes}, a JSON file, a folder or hf-hub:ID"
        )
    config: dict[str, Any] = open_clip.get_model_config(model)
    return config


def _config_of(source: str, key: str) -> dict[str, Any]:
    """The ``open_clip_config.json`` of a folder or hf-hub:ID."""
    if not source.startswith(HUB):
        return _read_config(Path(source) / CONFIG_NAME, key)
    import open_clip  # noqa: PLC0415

    try:
        path = open_clip.download_pretrained_from_hf(source.removeprefix(HUB), filename=CONFIG_NAME)
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
