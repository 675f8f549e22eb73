"""CLIP models: how one is built from weights, and how it is exported."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import open_clip
import torch
from open_clip.hf_configs import arch_dict
from open_clip.hf_model import HFTextEncoder
from open_clip.pretrained import download_pretrained_from_hf
from safetensors import SafetensorError
from safetensors.torch import save_file

from biomedica_ray.config import ConfigError
from biomedica_ray.messages import one_line
from biomedica_ray.models.depth import image_tower, is_projection, text_tower
from biomedica_ray.models.encoders import load_timm
from biomedica_ray.models.folders import (
    CONFIG_NAME,
    HUB,
    LOCAL,
    WEIGHTS_FILES,
    WEIGHTS_NAME,
    is_folder,
    local_copy,
    repository,
    small_files,
)
from biomedica_ray.models.long_text import stretch
from biomedica_ray.models.modern_bert import register
from biomedica_ray.models.spec import NEEDS_TRANSFORMERS, PREPROCESSING, ModelSpec, has_transformers, resolve_model
from biomedica_ray.store.filesystem import OBJECT_STORAGE

_HERE = "."
"""What an exported config says for a text tower or tokenizer whose files lie beside it."""
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model", "tokenizer.model")


def build(
    spec: ModelSpec,
    image_weights: str | None = None,
    patch_dropout: float = 0,
    *,
    endpoint_url: str | None = None,
    image_size: int | None = None,
    own: str | None = None,
    weights: bool = True,
    key: str = "pretrained",
) -> tuple[Any, Any]:
    """The model with its weights, on the CPU, and its tokenizer.

    Args:
        spec: What to build.
        image_weights: Weights for the image tower alone, when it is one of timm.
        patch_dropout: Share of an image's patches that the tower passes over in training mode.
        endpoint_url: S3 server, if it is not AWS.
        image_size: Pixels a side of the input; None for the model's own.
        own: Folder with the tokenizer and the config of a text tower of transformers; None: the model's, if it is one.
        weights: Whether to load weights; without, they are random.
        key: The config's key of the weights, for messages.

    Raises:
        ConfigError: open_clip cannot build it, a package is not installed, or weights are missing or do not fit.
    """
    with small_files(own or spec.name, endpoint_url) as beside, tempfile.TemporaryDirectory() as folder:
        model_cfg = _with_own_text(spec, beside)
        if spec.stretched_from:
            model_cfg["text_cfg"]["context_length"] = spec.stretched_from
        if "hf_model_name" in model_cfg["text_cfg"]:
            register()
        # open_clip takes a config of one's own only by the name of a file.
        path = Path(folder) / "biomedica-model.json"
        path.write_text(json.dumps(model_cfg))
        open_clip.add_model_config(path)
        try:
            model = open_clip.create_model(
                path.stem,
                force_patch_dropout=patch_dropout,
                force_image_size=image_size,
                force_preprocess_cfg=spec.preprocess_cfg,
                # Of a folder's own text tower there is only the config.
                pretrained_text=weights and not spec.pretrained and not _has_own_text(model_cfg, spec),
            )
            tokenizer = open_clip.get_tokenizer(path.stem, context_length=spec.context_length)
        except ImportError as error:
            found = one_line(error) if has_transformers() else NEEDS_TRANSFORMERS
            raise ConfigError(f"model: {spec.name}: {found}") from None
        except (RuntimeError, TypeError, ValueError, KeyError, AssertionError, OSError) as error:
            raise ConfigError(f"model: {spec.name}: {one_line(error)}") from None
    if weights and spec.pretrained:
        _load_weights(model, spec, endpoint_url, key)
        if image_size and hasattr(model.visual, "set_input_size"):
            model.visual.set_input_size(image_size)  # of timm's, after the weights, as open_clip does
    if spec.stretched_from:
        stretch(model, spec.context_length)
    if weights and image_weights:
        _load_image_weights(model, spec, image_weights)
    return model, tokenizer


def load_folder(folder: Path) -> tuple[Any, Any]:
    """The model of an exported folder with its weights, on the CPU, and its tokenizer; raises as :func:`build`."""
    name = f"{LOCAL}{folder}"
    return build(resolve_model(name, name))


def _with_own_text(spec: ModelSpec, beside: Path | None) -> dict[str, Any]:
    """The model's config, with the tokenizer and the config of its text tower from beside it, where they are."""
    model_cfg = deepcopy(spec.model_cfg)
    text = model_cfg["text_cfg"]
    if beside is None:
        return model_cfg
    # As open_clip does: of a folder always its own, of a repository what the config names.
    is_own = not spec.name.startswith(HUB) or text.get("hf_tokenizer_name") in {_HERE, repository(spec.name)[0]}
    if text.get("hf_tokenizer_name") and is_own and any((beside / name).is_file() for name in _TOKENIZER_FILES):
        text["hf_tokenizer_name"] = str(beside)
    if text.get("hf_model_name") and _is_text_tower(beside / "config.json"):
        text["hf_model_name"] = str(beside)
    return model_cfg


def _has_own_text(model_cfg: dict[str, Any], spec: ModelSpec) -> bool:
    """Whether the text tower is that of the model's folder."""
    names = ("hf_model_name", "hf_tokenizer_name")
    return any(model_cfg["text_cfg"].get(name) != spec.model_cfg["text_cfg"].get(name) for name in names)


def _is_text_tower(path: Path) -> bool:
    """Whether a file is the config of a model of transformers that open_clip takes as a text tower."""
    try:
        return json.loads(path.read_text()).get("model_type") in arch_dict
    except (FileNotFoundError, ValueError, AttributeError):
        return False


def _load_weights(model: Any, spec: ModelSpec, endpoint_url: str | None, key: str) -> None:
    assert spec.pretrained is not None
    try:
        with _weights_file(spec.name, spec.pretrained, endpoint_url, key) as path:
            open_clip.load_checkpoint(model, str(path), strict=True, weights_only=True)
    except (RuntimeError, ValueError, KeyError, OSError, UnpicklingError, SafetensorError) as error:
        raise ConfigError(f"{key}: {spec.pretrained}: {one_line(error)}") from None


@contextmanager
def _weights_file(model: str, pretrained: str, endpoint_url: str | None, key: str) -> Iterator[Path]:
    if pretrained.startswith(OBJECT_STORAGE):
        with local_copy(pretrained, endpoint_url, key) as copy:
            yield _weights_of(copy, pretrained, key)
    elif pretrained.startswith(HUB):
        repo, revision = repository(pretrained)
        yield Path(download_pretrained_from_hf(repo, revision=revision))
    elif is_folder(pretrained) or Path(pretrained).is_file():
        yield _weights_of(Path(pretrained.removeprefix(LOCAL)), pretrained, key)
    else:
        yield Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(model, pretrained)))


def _weights_of(path: Path, pretrained: str, key: str) -> Path:
    if path.is_file():
        return path
    for name in WEIGHTS_FILES:
        if (path / name).is_file():
            return path / name
    raise ConfigError(f"{key}: {pretrained}: the folder has no {WEIGHTS_NAME}")


def _load_image_weights(model: Any, spec: ModelSpec, image_weights: str) -> None:
    name = spec.model_cfg["vision_cfg"].get("timm_model_name")
    if name is None:
        raise ConfigError(f"image_weights: {spec.name} has no image tower of timm that they could go into")
    tower = load_timm(name, image_weights, key="image_weights")
    try:
        model.visual.trunk.load_state_dict(tower.state_dict())
    except RuntimeError as error:
        raise ConfigError(f"image_weights: {image_weights}: do not fit {name}: {one_line(error)}") from None


def lock_towers(model: Any, *, image: bool = False, text: bool = False, unlock_last: int = 0) -> None:
    """Freeze the image tower but for its projection into the space that it shares with the text, or the text tower.

    Args:
        model: The model.
        image: Whether to lock the image tower.
        text: Whether to lock the text tower.
        unlock_last: How many of the last blocks of a locked tower learn, and with them the norm behind the last one
            and the projection; open_clip's ``image_unlocked_groups`` is one more, as it counts the projection.

    Raises:
        ConfigError: A locked tower has not as many blocks.
    """
    locked = {"image": image, "text": text}
    if unlock_last:
        for name in [name for name, is_locked in locked.items() if is_locked]:
            tower = image_tower(model) if name == "image" else text_tower(model)
            if unlock_last > tower.blocks:
                raise ConfigError(f"unlock_last: expected at most the {tower.blocks} blocks of the {name} tower")
            learning = tower.last(unlock_last)
            for path in tower.depth:
                model.get_parameter(path).requires_grad = path in learning
        return
    if image:
        for name, parameter in model.visual.named_parameters():
            parameter.requires_grad = is_projection(name)
    if text:
        model.lock_text_tower()


def train_mode(model: Any, *, lock_image: bool = False, lock_text: bool = False, unlock_last: int = 0) -> None:
    """Training mode; what is locked stays as at inference, so that batch norm keeps its statistics."""
    model.train()
    settle = _settle if unlock_last else torch.nn.Module.eval
    if lock_image:
        settle(model.visual)
    if lock_text and hasattr(model, "text"):
        settle(model.text)


def _settle(module: torch.nn.Module) -> None:
    """Inference mode for those parts of a module of whose parameters none learn."""
    learns = [parameter.requires_grad for parameter in module.parameters()]
    if learns and not any(learns):
        module.eval()
        return
    for child in module.children():
        _settle(child)


def export(model: Any, tokenizer: Any, spec: ModelSpec, folder: Path) -> None:
    """Write a folder that open_clip loads as ``local-dir:FOLDER`` or ``hf-hub:ID``.

    What a text tower or tokenizer of transformers needs lies in it too, and no path of this machine.
    """
    model_cfg = deepcopy(spec.model_cfg)
    text = model_cfg["text_cfg"]
    for key in ("hf_model_name", "hf_tokenizer_name"):
        if _is_path(text.get(key) or ""):
            text[key] = _HERE
    document = {"model_cfg": model_cfg, "preprocess_cfg": preprocessing(model)}
    (folder / CONFIG_NAME).write_text(json.dumps(document, indent=2))
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS_NAME)
    if isinstance(getattr(model, "text", None), HFTextEncoder):
        model.text.config.save_pretrained(str(folder))
    if hasattr(tokenizer, "save_pretrained"):
        tokenizer.save_pretrained(str(folder))


def _is_path(name: str) -> bool:
    """Whether a name of transformers is the path of a folder, on this machine or another, and no OWNER/NAME."""
    return name.startswith(("/", ".", "~")) or name.count("/") > 1 or (bool(name) and Path(name).exists())


def preprocessing(model: Any) -> dict[str, Any]:
    """The model's own preprocessing, as open_clip stores it: mean, std, interpolation, resize_mode."""
    preprocess = open_clip.get_model_preprocess_cfg(model)
    return {key: preprocess[key] for key in PREPROCESSING if key in preprocess}


def image_size(model: Any) -> tuple[int, int]:
    """Height and width of the model's input in pixels."""
    size = model.visual.image_size
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def normalise(pixels: torch.Tensor, mean: torch.Tensor, std: torch.Tensor) -> torch.Tensor:
    """uint8 pixels of shape (B, 3, H, W) to the numbers that the model sees; mean and std of 0-1 pixels, (3, 1, 1)."""
    return (pixels.float() / 255 - mean) / std
