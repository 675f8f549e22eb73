"""What was in the dataset of before: kept until another one is published, so that all changes since are told."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biomedica_ray import schema
from biomedica_ray.reading.place import Place
from biomedica_ray.serialize.changes import COLUMNS
from biomedica_ray.store import Store
from biomedica_ray.store.filesystem import read_again

_SCHEMA = pa.schema([schema.METADATA.field(name) for name in COLUMNS])
_OF = b"dataset.json"
"""Key in the footer: SHA-256 of the dataset.json that the samples are of."""
_GROUP = 100_000
"""Rows of a row group."""
_ROWS = 1_000_000
"""Rows that are held at a time: at some 110 bytes, 110 MB."""


def keep(store: Store, place: Place, metadata: str, previous: str) -> None:
    """Keep what the dataset of before holds, unless it is kept already; before metadata.parquet is written again.

    A run that is cut short may leave a metadata.parquet of a dataset that was never published.

    Args:
        store: The store.
        place: Where the dataset lies.
        metadata: Path of metadata.parquet below the root; none is taken for that of a dataset without samples.
        previous: SHA-256 of the dataset.json of before, hex.
    """
    if store.has(_path(place)) and _open(store, _path(place)).schema_arrow.metadata[_OF].decode() == previous:
        return
    of = _SCHEMA.with_metadata({_OF: previous})
    with store.atomic_file(_path(place)) as file, pq.ParquetWriter(file, of, compression="zstd") as writer:
        if store.has(metadata):
            for piece in _pieces(store, metadata, COLUMNS):
                writer.write_table(piece.cast(_SCHEMA).replace_schema_metadata(of.metadata), row_group_size=_GROUP)


def paths(store: Store, place: Place) -> set[str]:
    """Paths of the shards of before; raises FileNotFoundError where nothing has been kept."""
    return {path for piece in _pieces(store, _path(place), ["path"]) for path in pc.unique(piece["path"]).to_pylist()}


def samples(store: Store, place: Place) -> Iterator[pa.Table]:
    """The samples of before, in order, with the columns that are compared; as :func:`paths`."""
    return _pieces(store, _path(place), COLUMNS)


def _path(place: Place) -> str:
    return f"{place.folder('shard-plan')}/before.parquet"


def _open(store: Store, path: str) -> pq.ParquetFile:
    return read_again(lambda: pq.ParquetFile(store.path(path), filesystem=store.filesystem))


def _pieces(store: Store, path: str, columns: list[str]) -> Iterator[pa.Table]:
    """Whole row groups, as many as :data:`_ROWS` allow, at least one at a time."""
    with _open(store, path) as file:
        groups: list[int] = []
        rows = 0
        for group in range(file.metadata.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if groups and rows + size > _ROWS:
                yield _read(file, groups, columns)
                groups, rows = [], 0
            groups.append(group)
            rows += size
        if groups:
            yield _read(file, groups, columns)


def _read(file: pq.ParquetFile, groups: list[int], columns: list[str]) -> pa.Table:
    return read_again(lambda: file.read_row_groups(groups, columns=columns))
