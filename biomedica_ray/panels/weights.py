"""The file of the detector's and the reader's weights: safetensors, float16, with what it is in its metadata."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pyarrow.fs as pafs

from biomedica_ray.config import ConfigError
from biomedica_ray.messages import one_line
from biomedica_ray.store import StoreError, open_filesystem
from biomedica_ray.store.filesystem import read_again

if TYPE_CHECKING:
    from biomedica_ray.panels.network import Detector
    from biomedica_ray.panels.reader import Reader

FORMAT = "biomedica panels 1"
"""Another number where networks change so that they cannot take older weights."""
SHIPPED = "shipped"
_DETECTOR, _READER = "detector.", "reader."


def read_weights(where: str, endpoint_url: str | None = None, key: str = "detector") -> bytes:
    """A file of weights: the package's (`shipped`), a local one, or one in object storage.

    Args:
        where: Which.
        endpoint_url: Server of object storage, if it is not AWS, Google or Azure.
        key: The config's key, for messages.

    Raises:
        ConfigError: It cannot be read.
    """
    if where == SHIPPED:
        return (files("biomedica_ray.panels") / "data" / "panels.safetensors").read_bytes()
    try:
        filesystem, path = open_filesystem(where, endpoint_url)
        data = read_again(lambda: _read(filesystem, path))
    except FileNotFoundError:
        raise ConfigError(f"{key}: {where}: no such file; expected weights that train-panels wrote") from None
    except (OSError, StoreError) as error:
        raise ConfigError(f"{key}: {where}: {one_line(error)}") from None
    return data


def _read(filesystem: pafs.FileSystem, path: str) -> bytes:
    with filesystem.open_input_stream(path) as stream:
        return bytes(stream.read())


def identity(data: bytes) -> str:
    """A mark that tells weights from others."""
    return hashlib.sha256(data).hexdigest()[:16]


def dump_weights(detector: Detector | None, reader: Reader, about: Mapping[str, Any]) -> bytes:
    """The networks as one file.

    Args:
        detector: Finds panels; None where only letters are read.
        reader: Reads their letters.
        about: What they were trained on and how, as JSON.
    """
    import torch  # noqa: PLC0415
    from safetensors.torch import save  # noqa: PLC0415

    tensors = {
        prefix + name: (tensor.to(torch.float16) if tensor.is_floating_point() else tensor).cpu().contiguous()
        for prefix, network in ((_DETECTOR, detector), (_READER, reader))
        if network is not None
        for name, tensor in network.state_dict().items()
    }
    data: bytes = save(tensors, {"format": FORMAT, "about": json.dumps(about)})
    return data


def about_weights(data: bytes, name: str) -> dict[str, Any]:
    """What a file of weights says of itself.

    Args:
        data: The file.
        name: Its name, for messages.

    Raises:
        ConfigError: It is not one that `train-panels` wrote.
    """
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        if header["format"] == FORMAT:
            about: dict[str, Any] = json.loads(header["about"])
            return about
    except (ValueError, KeyError, TypeError, OverflowError):
        pass
    raise ConfigError(f"{name}: expected weights that train-panels of this version wrote; train them again")


def load_weights(data: bytes, name: str) -> tuple[Detector | None, Reader]:
    """The networks, float32, on the CPU, ready to be used; no detector where the file has none.

    Args:
        data: The file.
        name: Its name, for messages.

    Raises:
        ConfigError: It is not one that `train-panels` wrote, or it is damaged.
    """
    from safetensors import SafetensorError  # noqa: PLC0415
    from safetensors.torch import load  # noqa: PLC0415

    from biomedica_ray.panels.network import Detector  # noqa: PLC0415
    from biomedica_ray.panels.reader import Reader  # noqa: PLC0415

    about_weights(data, name)
    detector, reader = Detector(), Reader()
    try:
        tensors = load(data)
        has_detector = any(key.startswith(_DETECTOR) for key in tensors)
        for network, prefix in ((detector, _DETECTOR), (reader, _READER)):
            if network is reader or has_detector:
                own = {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}
                network.load_state_dict(own)
            network.eval()
    except (SafetensorError, RuntimeError) as error:
        raise ConfigError(f"{name}: damaged weights: {one_line(error)}") from None
    return detector if has_detector else None, reader
