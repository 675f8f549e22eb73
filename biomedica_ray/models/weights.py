"""Weights in object storage, as local files while they are loaded."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.fs as pafs

from biomedica_ray.config import ConfigError
from biomedica_ray.store import open_filesystem


@contextmanager
def local_weights(weights: str | None, endpoint_url: str | None) -> Iterator[str | None]:
    """A local path of weights that lie at ``s3://``, a file or a folder, gone at the end; others as they are.

    Raises:
        ConfigError: There is nothing, or it cannot be read.
    """
    if not weights or not weights.startswith("s3://"):
        yield weights
        return
    filesystem, path = open_filesystem(weights, endpoint_url)
    with tempfile.TemporaryDirectory(prefix="biomedica-weights-") as folder:
        target = Path(folder) / Path(path).name
        try:
            infos = filesystem.get_file_info(pafs.FileSelector(path, allow_not_found=True, recursive=True))
            files = [info.path for info in infos if info.is_file] or [path]
            for file in files:
                local = target / file[len(path) + 1 :]
                local.parent.mkdir(parents=True, exist_ok=True)
                source = {"source_filesystem": filesystem, "destination_filesystem": pafs.LocalFileSystem()}
                pafs.copy_files(file, str(local), **source)
        except OSError as error:
            raise ConfigError(f"weights: {weights}: {' '.join(str(error).split())}") from None
        yield str(target)
