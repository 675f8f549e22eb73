"""Parquet files read whole, or row group by row group; columns that a table has got since are null in older files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from biomedica_ray import usage
from biomedica_ray.store.filesystem import read_again

PIECE_BYTES = 32 * 2**20
"""Row groups that lie side by side are read together up to this many bytes: a request each would take its time."""


SMALL_BYTES = 2**20
"""A file up to this size is read whole, in one request, instead of first its end, then its columns."""


class ParquetRows:
    """A Parquet file of which no more than a piece is in memory: a row group, or small ones that lie side by side.

    Args:
        filesystem: Where it is.
        path: Its path there.
    """

    def __init__(self, filesystem: pafs.FileSystem, path: str) -> None:
        self._source = read_again(lambda: filesystem.open_input_file(path))
        self._metadata = read_again(lambda: pq.read_metadata(self._source))

    def pieces(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """All rows, piece by piece."""
        for start, stop in self._pieces(np.arange(self._metadata.num_row_groups)):
            yield self._read(start, stop, columns)

    def at(self, rows: npt.NDArray[np.int64], columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """The rows at positions (ascending, from 0), piece by piece; row groups that have none of them are not read."""
        sizes = [self._metadata.row_group(group).num_rows for group in range(self._metadata.num_row_groups)]
        ends = np.cumsum(sizes, dtype=np.int64)
        groups = np.searchsorted(ends, rows, side="right")
        for start, stop in self._pieces(np.unique(groups)):
            here = rows[(groups >= start) & (groups < stop)] - (ends[start] - sizes[start])
            yield self._read(start, stop, columns).take(pa.array(here))

    def _pieces(self, groups: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
        """First and last row group, exclusive, of each piece that the groups (ascending) are read in."""
        piece: list[int] = []
        n_bytes = 0
        for group in groups.tolist():
            size = self._metadata.row_group(group).total_byte_size
            if piece and (group != piece[-1] + 1 or n_bytes + size > PIECE_BYTES):
                yield piece[0], piece[-1] + 1
                piece, n_bytes = [], 0
            piece.append(group)
            n_bytes += size
        if piece:
            yield piece[0], piece[-1] + 1

    def _read(self, start: int, stop: int, columns: Sequence[str] | None) -> pa.Table:
        def read() -> pa.Table:
            # A reader keeps what it has read ahead for as long as it lives, which would be the whole file.
            file = pq.ParquetFile(self._source, metadata=self._metadata, pre_buffer=True)
            return file.read_row_groups(range(start, stop), columns)

        table = read_again(read)
        _count_read(self._metadata, range(start, stop), columns)
        return table


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

    def read() -> pa.Table:
        with filesystem.open_input_file(path) as source:
            is_small = source.size() <= SMALL_BYTES
            file = pq.ParquetFile(pa.BufferReader(source.read()) if is_small else source, pre_buffer=True)
            names = file.schema_arrow.names
            wanted = names if columns is None else columns
            if unknown := [name for name in wanted if name not in names and (known is None or name not in known.names)]:
                raise pa.ArrowInvalid(f"{path}: no column {unknown[0]}; there are {', '.join(names)}")
            if is_small:
                usage.count("bytes", "read", source.size())
            else:
                _count_read(file.metadata, range(file.num_row_groups), wanted)
            return file.read([name for name in wanted if name in names])

    rows = read_again(read)
    return rows if columns is None else with_columns(rows, columns, known).select(columns)


def _count_read(metadata: pq.FileMetaData, groups: Iterable[int], columns: Sequence[str] | None) -> None:
    """Count the bytes that the columns have in the file."""
    chunks = (metadata.row_group(group).column(n) for group in groups for n in range(metadata.num_columns))
    wanted = (each for each in chunks if columns is None or each.path_in_schema.partition(".")[0] in columns)
    usage.count("bytes", "read", sum(each.total_compressed_size for each in wanted))


def with_columns(rows: pa.Table, columns: Sequence[str] | None, known: pa.Schema | None) -> pa.Table:
    """Rows with all columns that are wanted: those that are known and that the rows lack are null."""
    if known is not None:
        for name in columns or ():
            if name not in rows.column_names and name in known.names:
                rows = rows.append_column(name, pa.nulls(len(rows), known.field(name).type))
    return rows
