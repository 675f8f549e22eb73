"""Weights in object storage, as local files while they are loaded; and whether weights have changed."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.fs as pafs

from biomedica_ray.models.folders import CARD_NAME, LOCAL, local_copy
from biomedica_ray.store import StoreError, open_filesystem
from biomedica_ray.store.filesystem import OBJECT_STORAGE
from biomedica_ray.units import fingerprint


@contextmanager
def local_weights(weights: str | None, endpoint_url: str | None) -> Iterator[str | None]:
    """A local copy of weights at ``s3://``, a file or a folder, removed at the end; other weights are left as they are.

    Of ``local-dir:PATH``, the path.

    Raises:
        ConfigError: There is nothing, or it cannot be read.
    """
    if not weights or not weights.startswith(OBJECT_STORAGE):
        yield weights.removeprefix(LOCAL) if weights else weights
        return
    with local_copy(weights, endpoint_url, "weights") as copy:
        yield str(copy)


def weights_mark(weights: str | None, endpoint_url: str | None) -> str | None:
    """A mark that changes when weights may have changed, without loading them; None where that cannot be seen here.

    A hub's are taken to stay the same under their name, a package's under its version, and files as long as their sizes
    and times do; a model's card, which may be written again, is none of them.
    """
    if not weights or weights.startswith("hf-hub:"):
        return weights or "default"
    weights = weights.removeprefix(LOCAL)
    if weights.startswith("package:"):
        try:
            return f"{weights} {importlib.metadata.version(weights.removeprefix('package:'))}"
        except importlib.metadata.PackageNotFoundError:
            return None
    try:
        filesystem, path = open_filesystem(weights, endpoint_url)
        top = filesystem.get_file_info(path)
        infos = filesystem.get_file_info(pafs.FileSelector(path, recursive=True)) if not top.is_file else [top]
    except (OSError, StoreError):
        is_path = "/" in weights or Path(weights).suffix in {".safetensors", ".pt", ".pth", ".bin"}
        return None if is_path else weights  # a tag of open_clip
    files = [info for info in infos if info.is_file and info.base_name != CARD_NAME]
    return fingerprint(weights, sorted((info.path, info.size, info.mtime_ns) for info in files))
