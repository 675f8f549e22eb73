"""Folders that hold a model in open_clip's layout: on a disk, in S3, or a repository of the Hugging Face hub.

Imports no model library: a driver asks here what a config means.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.fs as pafs

from biomedica_ray.config import ConfigError
from biomedica_ray.messages import one_line
from biomedica_ray.store import StoreError, open_filesystem
from biomedica_ray.store.filesystem import OBJECT_STORAGE
from biomedica_ray.store.objects import RANGE_BYTES, stored_object
from biomedica_ray.store.ranges import as_stream

HUB = "hf-hub:"
"""What precedes the name of a repository of the Hugging Face hub, as in ``hf-hub:OWNER/NAME@REVISION``."""
LOCAL = "local-dir:"
"""What may precede the path of a folder, as in open_clip."""

CONFIG_NAME = "open_clip_config.json"
CARD_NAME = "README.md"
WEIGHTS_NAME = "open_clip_model.safetensors"
WEIGHTS_FILES = (
    WEIGHTS_NAME,
    "open_clip_pytorch_model.safetensors",
    "open_clip_pytorch_model.bin",
    "open_clip_pytorch_model.pth",
    "model.safetensors",
)
"""Names of a folder's weights, the first that is there, in open_clip's order (``_find_checkpoint_in_dir``)."""
WEIGHTS_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".npz")
_SMALL = ["*.json", "*.txt", "*.model"]
"""Configs, and what tokenizers consist of."""


def is_folder(name: str) -> bool:
    """Whether a model or weights are given as a folder or repository, and not by a name, a tag or a file."""
    if name.startswith(OBJECT_STORAGE):
        return not name.endswith((*WEIGHTS_SUFFIXES, ".json"))
    return name.startswith((HUB, LOCAL)) or Path(name).is_dir()


def repository(name: str) -> tuple[str, str | None]:
    """The id and the revision, if one is given, of ``hf-hub:OWNER/NAME@REVISION``."""
    found, _, revision = name.removeprefix(HUB).partition("@")
    return found, revision or None


def read_config(name: str, endpoint_url: str | None, key: str) -> bytes:
    """The ``open_clip_config.json`` of a folder, or a JSON file, local or in S3.

    Args:
        name: A folder as of :func:`is_folder`, or the path of a file.
        endpoint_url: S3 server, if it is not AWS.
        key: The config's key, for messages.

    Raises:
        ConfigError: There is none, or it cannot be read.
    """
    try:
        if name.startswith(HUB):
            return _download(name, CONFIG_NAME).read_bytes()
        if name.startswith(OBJECT_STORAGE):
            place = f"{name.rstrip('/')}/{CONFIG_NAME}" if is_folder(name) else name
            filesystem, path = open_filesystem(place, endpoint_url)
            with filesystem.open_input_stream(path) as stream:
                return bytes(stream.read())
        local = Path(name.removeprefix(LOCAL))
        return (local / CONFIG_NAME if is_folder(name) else local).read_bytes()
    except (OSError, ValueError, StoreError) as error:
        raise ConfigError(f"{key}: {name}: {one_line(error)}") from None


def _download(name: str, file: str) -> Path:
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - for those who use the hub

    repo, revision = repository(name)
    return Path(hf_hub_download(repo, file, revision=revision))


@contextmanager
def small_files(name: str, endpoint_url: str | None) -> Iterator[Path | None]:
    """A local folder with the configs and the tokenizer of a model's folder; None where the model is not one.

    Raises:
        ConfigError: There is no such folder or repository, or it cannot be reached.
    """
    if not is_folder(name):
        yield None
        return
    if name.startswith(OBJECT_STORAGE):
        with local_copy(name, endpoint_url, "model", small=True) as copy:
            yield copy
        return
    if not name.startswith(HUB):
        yield Path(name.removeprefix(LOCAL))
        return
    from huggingface_hub import snapshot_download  # noqa: PLC0415

    repo, revision = repository(name)
    try:
        found = Path(snapshot_download(repo, revision=revision, allow_patterns=_SMALL))
    except (OSError, ValueError) as error:
        raise ConfigError(f"model: {name}: {one_line(error)}") from None
    yield found


@contextmanager
def local_copy(uri: str, endpoint_url: str | None, key: str, *, small: bool = False) -> Iterator[Path]:
    """A local copy of a file or folder in object storage, whole or not at all, removed at the end.

    Args:
        uri: Where it is.
        endpoint_url: S3 server, if it is not AWS.
        key: The config's key, for messages.
        small: Leave weights out.

    Raises:
        ConfigError: There is nothing, or it cannot be read.
    """
    filesystem, path = open_filesystem(uri.rstrip("/"), endpoint_url)
    scheme = uri.partition("://")[0]
    with tempfile.TemporaryDirectory(prefix="biomedica-model-") as folder:
        target = Path(folder) / Path(path).name
        try:
            infos = filesystem.get_file_info(pafs.FileSelector(path, allow_not_found=True, recursive=True))
            files = [info.path for info in infos if info.is_file] or [path]
            for file in files:
                if small and file.endswith(WEIGHTS_SUFFIXES):
                    continue
                local = target / file[len(path) + 1 :]
                local.parent.mkdir(parents=True, exist_ok=True)
                # Not pyarrow's copy_files, which may say nothing of what it could not read.
                source = as_stream(stored_object(f"{scheme}://{file}", endpoint_url))
                with source, local.open("wb") as copy:
                    shutil.copyfileobj(source, copy, RANGE_BYTES)
        except (OSError, StoreError) as error:
            raise ConfigError(f"{key}: {uri}: {one_line(error)}") from None
        yield target
