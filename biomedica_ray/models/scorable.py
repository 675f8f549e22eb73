"""CLIP models of any origin with one interface, for evaluation: images and texts to vectors of one space."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from biomedica_ray.config import ConfigError
from biomedica_ray.messages import one_line
from biomedica_ray.models.clip import build, load_folder
from biomedica_ray.models.folders import is_folder, repository
from biomedica_ray.models.names import TRANSFORMERS, ModelName
from biomedica_ray.models.spec import NEEDS_TRANSFORMERS, has_transformers, resolve_model
from biomedica_ray.models.trained import TrainedModel


class Scorable(Protocol):
    """A model in evaluation mode."""

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        ...

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """An RGB image as the model's input, shape (3, H, W)."""
        ...

    def images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Vectors (B, d) of images (B, 3, H, W)."""
        ...

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Vectors (B, d) of texts."""
        ...


class OfOpenClip:
    """A model of open_clip."""

    def __init__(self, model: Any, tokenize: Callable[[list[str]], torch.Tensor], device: str | torch.device) -> None:
        self._model, self._tokenize, self._device = model.to(device).eval(), tokenize, device
        self._preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """An RGB image as the model's input, shape (3, H, W)."""
        return cast("torch.Tensor", self._preprocess(image))

    @torch.inference_mode()
    def images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Vectors (B, d) of images (B, 3, H, W)."""
        return cast("torch.Tensor", self._model.encode_image(pixels.to(self._device)))

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Vectors (B, d) of texts."""
        return cast("torch.Tensor", self._model.encode_text(self._tokenize(list(texts)).to(self._device)))


class OfTransformers:
    """A CLIPModel, SiglipModel or the like of transformers: whatever has both towers' ``get_..._features``."""

    def __init__(self, model: Any, processor: Any, device: str) -> None:
        self._model, self._processor, self._device = model.to(device).eval(), processor, device
        self._length = int(model.config.text_config.max_position_embeddings)

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """An RGB image as the model's input, shape (3, H, W)."""
        found = self._processor.image_processor(images=image, return_tensors="pt")["pixel_values"]
        return cast("torch.Tensor", found[0])

    @torch.inference_mode()
    def images(self, pixels: torch.Tensor) -> torch.Tensor:
        """Vectors (B, d) of images (B, 3, H, W)."""
        return _features(self._model.get_image_features(pixel_values=pixels.to(self._device)))

    @torch.inference_mode()
    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """Vectors (B, d) of texts, padded to the longest that the model reads, as SigLIP was trained."""
        tokens = self._processor.tokenizer(
            list(texts), padding="max_length", truncation=True, max_length=self._length, return_tensors="pt"
        )
        return _features(self._model.get_text_features(**tokens.to(self._device)))


def _features(found: Any) -> torch.Tensor:
    """The vectors, which transformers returns by themselves or, from version 5 on, with what led to them."""
    return cast("torch.Tensor", found if isinstance(found, torch.Tensor) else found.pooler_output)


def load(name: ModelName, device: str) -> Scorable:
    """A model with its weights.

    Raises:
        ConfigError: There is no such model, or a package is not installed.
        StoreError: It is one of the store's, and not finished.
    """
    if name.library == TRANSFORMERS:
        return _of_transformers(name.text, device)
    if name.library == "checkpoint":
        model, tokenizer = _of_store(name)
    else:
        model_name, weights = name.parts()
        spec = resolve_model(model_name, weights, name.store.endpoint_url, key="models")
        model, tokenizer = build(spec, endpoint_url=name.store.endpoint_url, key="models")
    return OfOpenClip(model, tokenizer, device)


def _of_store(name: ModelName) -> tuple[Any, Any]:
    with tempfile.TemporaryDirectory() as folder:
        TrainedModel(name.store, name.text).get_folder("model", Path(folder))
        return load_folder(Path(folder))


def _of_transformers(text: str, device: str) -> Scorable:
    if not has_transformers():
        raise ConfigError(f"models: {text}: {NEEDS_TRANSFORMERS}")
    transformers: Any = import_module("transformers")
    place = text.removeprefix(TRANSFORMERS)
    repo, revision = (place, None) if is_folder(place) else repository(place)
    try:
        model = transformers.AutoModel.from_pretrained(repo, revision=revision, use_safetensors=True)
        processor = transformers.AutoProcessor.from_pretrained(repo, revision=revision)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise ConfigError(f"models: {text}: {one_line(error)}") from None
    if not hasattr(model, "get_image_features") or not hasattr(model, "get_text_features"):
        raise ConfigError(f"models: {text}: a {type(model).__name__} has not both towers of a CLIP model")
    return OfTransformers(model, processor, device)
