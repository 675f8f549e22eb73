"""The Parquet twin of a shard: the same samples by concept, in row groups that can be read one by one.

Statistics of row groups and the page index tell readers where a concept's rows are, so that they pass over the others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from biomedica_ray import schema
from biomedica_ray.reading.place import OFFSETS
from biomedica_ray.serialize.features import with_features
from biomedica_ray.serialize.hashed import HashedFile

ROW_GROUP_BYTES = 32 * 2**20
"""Images of a row group, about: what a reader of a few samples holds at a time."""
ROW_GROUP_ROWS = 128
"""Rows of a row group, at most: a shard of 2,500 has as many of a concept that one figure in 20 shows."""
BY = "image_concept"
"""The column that rows are sorted by."""
_ROWS_AT_A_TIME = 16
"""Rows become a table in batches of this size: one by one costs several times as much, more would hold more images."""


class TwinWriter:
    """Writes samples to a Parquet file as they come.

    Args:
        path: The file.
        offsets: At which byte each sample begins in the shard, and where the last one ends; they go into the footer, so
            that stretches of the shard's own order can be read.
        columns: Its schema, one of :data:`biomedica_ray.serialize.profiles.SCHEMAS`.

    Attributes:
        samples: How many have been written.
    """

    def __init__(self, path: Path, offsets: Sequence[int], columns: pa.Schema = schema.DATASET) -> None:
        self.samples = 0
        self._schema = with_features(columns)
        self._file = HashedFile(path)
        order = pq.SortingColumn(self._schema.get_field_index(BY))
        self._writer = pq.ParquetWriter(
            self._file, self._schema, compression="zstd", write_page_index=True, sorting_columns=[order]
        )
        self._writer.add_key_value_metadata({OFFSETS: json.dumps(list(offsets))})
        self._rows: list[Mapping[str, Any]] = []
        self._tables: list[pa.Table] = []

    def write(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self._rows.append(row)
        self.samples += 1
        if len(self._rows) == _ROWS_AT_A_TIME:
            self._gather()
            rows = sum(table.num_rows for table in self._tables)
            if rows >= ROW_GROUP_ROWS or sum(table.nbytes for table in self._tables) >= ROW_GROUP_BYTES:
                self._flush()

    def _gather(self) -> None:
        if self._rows:
            self._tables.append(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def _flush(self) -> None:
        if self._tables:
            self._writer.write_table(pa.concat_tables(self._tables))
            self._tables = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if error is None:
                self._gather()
                self._flush()
        finally:
            self._writer.close()
            self._file.close()

    @property
    def size(self) -> int:
        """Bytes written; final after the ``with`` block."""
        return self._file.size

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes written, hex; final after the ``with`` block."""
        return self._file.sha256
