"""A dataset that ``serialize`` wrote, as a Ray Dataset, from wherever it lies."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow.fs as pafs
import ray.data
from ray.data.dataset import Dataset

from biomedica_ray.config import ConfigError
from biomedica_ray.config.wording import suggest
from biomedica_ray.reading.place import DOCUMENT
from biomedica_ray.serialize.profiles import schema_of
from biomedica_ray.store.filesystem import open_filesystem

_OURS = ("file", "s3", "gs", "az")


def load(
    uri: str,
    *,
    split: str | None = None,
    license_groups: Collection[str] | None = None,
    columns: Sequence[str] | None = None,
    where: Any = None,
    endpoint_url: str | None = None,
) -> Dataset:
    """The samples of a dataset, a row each, with the columns of docs/schema.md; nothing is downloaded before.

    From there on it is Ray's own: ``iter_torch_batches``, ``map_batches``, ``write_webdataset``.

    Args:
        uri: The folder with ``dataset.json``: a local path, ``s3://``, ``gs://``, ``az://``, ``https://``,
            ``hf://datasets/OWNER/NAME`` (with ``@REVISION`` where it is not the newest), or another of fsspec.
        split: train, validation or test; None: all.
        license_groups: Of commercial, noncommercial and other; None: all.
        columns: Which columns; None: all. Images are in ``jpg``, the bytes of a file in ``jpg["bytes"]``.
        where: What Ray's ``Dataset.filter`` takes as ``expr``: ``col("image_concept") == "Microscopy"``. Rows of a file
            are sorted by that column, so that of a concept little more is read than its own rows.
        endpoint_url: Server of object storage, if it is not AWS, Google or Azure.

    Raises:
        ConfigError: There is no dataset, or it has no such split, licence group or column.
    """
    license_groups = [license_groups] if isinstance(license_groups, str) else license_groups
    columns = [columns] if isinstance(columns, str) else columns
    filesystem, root = _opened(uri, endpoint_url)
    try:
        with filesystem.open_input_stream(f"{root}/{DOCUMENT}") as stream:
            document = json.loads(stream.read())
    except FileNotFoundError:
        raise ConfigError(f"{uri}: expected a folder with {DOCUMENT}, as serialize writes it") from None
    shards = document["shards"]
    for key, names, known in (
        ("split", [split] if split else [], {shard["split"] for shard in shards}),
        ("license_groups", license_groups or [], {shard["license_group"] for shard in shards}),
        ("columns", columns or [], set(schema_of(document).names)),
    ):
        if unknown := [name for name in names if name not in known]:
            raise ConfigError(f"{key}: {uri} has no {unknown[0]}; {suggest(unknown[0], sorted(known))}")
    paths = [
        f"{root}/{shard['parquet']}"
        for shard in shards
        if split in (None, shard["split"]) and (license_groups is None or shard["license_group"] in license_groups)
    ]
    if not paths:
        raise ConfigError(
            f"{uri}: no samples of split {split or 'any'} in {', '.join(license_groups or ['any group'])}"
        )
    data = ray.data.read_parquet(paths, filesystem=filesystem, partitioning=None)
    if where is not None:
        data = data.filter(expr=where)
    return data if columns is None else data.select_columns(list(columns))


def _opened(uri: str, endpoint_url: str | None) -> tuple[pafs.FileSystem, str]:
    scheme, found, _ = uri.partition("://")
    if not found or scheme in _OURS:
        filesystem, path = open_filesystem(uri, endpoint_url)
        return filesystem, path.rstrip("/")
    if scheme == "hf":
        return _of_hub(uri)
    from fsspec.core import url_to_fs  # noqa: PLC0415 - only where it is needed

    opened, path = url_to_fs(uri)
    return pafs.PyFileSystem(pafs.FSSpecHandler(opened)), str(path).rstrip("/")


def _of_hub(uri: str) -> tuple[pafs.FileSystem, str]:
    """A repository of the Hub, with the driver's server and token on all workers."""
    from huggingface_hub import HfFileSystem, get_token  # noqa: PLC0415 - only where it is needed

    opened = HfFileSystem(endpoint=os.environ.get("HF_ENDPOINT"), token=get_token())
    return pafs.PyFileSystem(pafs.FSSpecHandler(opened)), uri.removeprefix("hf://").rstrip("/")
