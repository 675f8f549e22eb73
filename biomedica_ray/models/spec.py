"""Which model a config means.

Imports open_clip only where a name of its own is meant, as that takes seconds: a driver needs no model.
"""

from __future__ import annotations

import importlib.util
import json
import logging
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from biomedica_ray.config import ConfigError
from biomedica_ray.messages import one_line
from biomedica_ray.models.folders import is_folder, read_config
from biomedica_ray.store.filesystem import OBJECT_STORAGE

log = logging.getLogger(__name__)

RECIPES = Path(__file__).parent / "configs"
"""Model configs that come with the package; ``model: clip-lite0`` names one."""

PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")
CONTEXT_LENGTH = 77
"""Of models that do not say, as in open_clip."""
NEEDS_TRANSFORMERS = "needs the package transformers: pip install 'biomedica_ray[hf]'"


@dataclass(frozen=True)
class ModelSpec:
    """A model before it is built: plain data that travels to the workers and into the exported folder.

    Attributes:
        name: As in the config.
        model_cfg: open_clip's model config.
        preprocess_cfg: mean, std, interpolation, resize_mode; empty for open_clip's defaults.
        pretrained: open_clip tag, folder, file or None, as in the config.
        stretched_from: Tokens that the weights were trained with, where the model reads longer texts than these.
    """

    name: str
    model_cfg: dict[str, Any]
    preprocess_cfg: dict[str, Any] = field(default_factory=dict)
    pretrained: str | None = None
    stretched_from: int | None = None

    @property
    def context_length(self) -> int:
        """Tokens of the longest text."""
        return int(self.model_cfg["text_cfg"].get("context_length", CONTEXT_LENGTH))

    def to_json(self) -> dict[str, Any]:
        """The spec as plain data."""
        return asdict(self)


def resolve_model(
    model: str, pretrained: str | None, endpoint_url: str | None = None, key: str = "pretrained"
) -> ModelSpec:
    """Find the model that a config names; reads configs, no weights.

    Args:
        model: open_clip name, name of one of :data:`RECIPES`, a JSON file (open_clip's model config, or its
            ``open_clip_config.json``), or a folder with the latter: a path, ``local-dir:PATH``, ``s3://``, or
            ``hf-hub:OWNER/NAME@REVISION``.
        pretrained: open_clip tag, folder as above, or file, local or ``s3://``; None for random weights.
        endpoint_url: S3 server, if it is not AWS.
        key: The config's key of ``pretrained``, for messages.

    Raises:
        ConfigError: One of them does not exist, is not what open_clip can build, or needs a package that is not there.
    """
    model_cfg, preprocess_cfg = _model_config(model, endpoint_url)
    if missing := {"embed_dim", "vision_cfg", "text_cfg"} - model_cfg.keys():
        raise ConfigError(f"model: {model}: not a model config of open_clip: no {', '.join(sorted(missing))}")
    if not {"hf_model_name", "hf_tokenizer_name"}.isdisjoint(model_cfg["text_cfg"]) and not has_transformers():
        raise ConfigError(f"model: {model}: {NEEDS_TRANSFORMERS}")
    return with_weights(ModelSpec(model, model_cfg, preprocess_cfg), pretrained, endpoint_url, key)


def with_weights(
    spec: ModelSpec, pretrained: str | None, endpoint_url: str | None = None, key: str = "pretrained"
) -> ModelSpec:
    """The same model with other weights, and all that is known of how those were trained.

    Args:
        spec: The model.
        pretrained: As in :func:`resolve_model`.
        endpoint_url: S3 server, if it is not AWS.
        key: The config's key of ``pretrained``, for messages.

    Raises:
        ConfigError: There are no such weights.
    """
    said: dict[str, Any] = {}
    model_cfg, stretched_from = spec.model_cfg, spec.stretched_from
    if pretrained and is_folder(pretrained):
        document = _parse(read_config(pretrained, endpoint_url, key), pretrained, key)
        said = document.get("preprocess_cfg", {})
        model_cfg = {**model_cfg, **_activation(spec, document.get("model_cfg", {}))}
        if document.get("model_cfg", {}).get("text_cfg", {}).get("context_length") == spec.context_length:
            stretched_from = None  # these weights have been stretched before
    elif pretrained and not pretrained.startswith(OBJECT_STORAGE) and not Path(pretrained).is_file():
        tag = _tag(spec.name, pretrained, key)
        said = {name: tag[name] for name in PREPROCESSING if tag.get(name)}
        model_cfg = {**model_cfg, **({"quick_gelu": True} if tag.get("quick_gelu") else {})}
    return replace(
        spec,
        model_cfg=model_cfg,
        preprocess_cfg=spec.preprocess_cfg | said,
        pretrained=pretrained,
        stretched_from=stretched_from,
    )


def has_transformers() -> bool:
    """Whether the package transformers is there, without importing it."""
    return importlib.util.find_spec("transformers") is not None


def _activation(spec: ModelSpec, model_cfg: dict[str, Any]) -> dict[str, bool]:
    """The activation that a folder's weights were trained with, where the model has another one."""
    theirs, ours = (bool(cfg.get("quick_gelu", False)) for cfg in (model_cfg, spec.model_cfg))
    if not model_cfg or theirs == ours:
        return {}
    log.info("model: %s: quick_gelu is %s, as its weights were trained", spec.name, str(theirs).lower())
    return {"quick_gelu": theirs}


def _tag(model: str, pretrained: str, key: str) -> dict[str, Any]:
    import open_clip  # noqa: PLC0415

    tags = open_clip.list_pretrained_tags_by_model(model)
    if not open_clip.is_pretrained_cfg(model, pretrained):
        known = f"a tag of {model} ({', '.join(tags)})" if tags else f"no tags are known for {model}"
        raise ConfigError(f"{key}: {pretrained}: expected hf-hub:ID, a folder or file that exists, or {known}")
    tag: dict[str, Any] = open_clip.get_pretrained_cfg(model, pretrained)
    return tag


def _model_config(model: str, endpoint_url: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    recipe = RECIPES / f"{model}.json"
    if recipe.is_file():
        document = _parse(recipe.read_bytes(), model, "model")
    elif is_folder(model) or model.endswith(".json"):
        document = _parse(read_config(model, endpoint_url, "model"), model, "model")
    else:
        document = _config_of_open_clip(model)
    return document.get("model_cfg", document), document.get("preprocess_cfg", {})


def _config_of_open_clip(model: str) -> dict[str, Any]:
    import open_clip  # noqa: PLC0415

    if model not in open_clip.list_models():
        recipes = ", ".join(sorted(path.stem for path in RECIPES.glob("*.json")))
        raise ConfigError(
            f"model: {model}: expected a model name of open_clip, {recipes}, a JSON file, a folder that exists, "
            "local-dir:PATH or hf-hub:ID"
        )
    config: dict[str, Any] = open_clip.get_model_config(model)
    return config


def _parse(data: bytes, name: str, key: str) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError as error:
        raise ConfigError(f"{key}: {name}: {one_line(error)}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{key}: {name}: expected a JSON object, got {type(document).__name__}")
    return document
