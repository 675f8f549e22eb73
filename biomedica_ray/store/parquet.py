"""Parquet files read whole, or row group by row group; columns that a table has got since are null in older files."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from biomedica_ray.store.filesystem import read_again


class ParquetRows:
    """A Parquet file of which no more than a row group is in memory.

    Args:
        filesystem: Where it is.
        path: Its path there.
    """

    def __init__(self, filesystem: pafs.FileSystem, path: str) -> None:
        self._source = read_again(lambda: filesystem.open_input_file(path))
        self._metadata = read_again(lambda: pq.read_metadata(self._source))

    @property
    def sizes(self) -> list[int]:
        """Rows of each row group."""
        return [self._metadata.row_group(group).num_rows for group in range(self._metadata.num_row_groups)]

    def group(self, group: int, columns: Sequence[str] | None = None) -> pa.Table:
        """A row group."""
        # A reader keeps what it has read ahead for as long as it lives, which would be the whole file.
        return read_again(lambda: pq.ParquetFile(self._source, metadata=self._metadata).read_row_group(group, columns))


def read_columns(
    filesystem: pafs.FileSystem, path: str, columns: Sequence[str] | None, known: pa.Schema | None
) -> pa.Table:
    """The rows of a file.

    Args:
        filesystem: Where it is.
        path: Its path there.
        columns: The columns wanted; None: all that it has.
        known: The columns of the table as it is now; None where that is not known.

    Raises:
        pyarrow.ArrowInvalid: A column is neither in the file nor known.
    """
    try:
        return read_again(lambda: pq.read_table(path, columns=columns, filesystem=filesystem))
    except pa.ArrowInvalid:
        names = read_again(lambda: pq.read_schema(path, filesystem=filesystem)).names
        there = [name for name in columns or () if name in names]
        if known is None or not set(columns or ()) <= {*there, *known.names}:
            raise
        rows = read_again(lambda: pq.read_table(path, columns=there, filesystem=filesystem))
        return with_columns(rows, columns, known)


def with_columns(rows: pa.Table, columns: Sequence[str] | None, known: pa.Schema | None) -> pa.Table:
    """Rows with all columns that are wanted: those that are known and that the rows lack are null."""
    if known is not None:
        for name in columns or ():
            if name not in rows.column_names and name in known.names:
                rows = rows.append_column(name, pa.nulls(len(rows), known.field(name).type))
    return rows
