"""Parquet files read whole, or row group by row group; columns that a table has got since are null in older files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from biomedica_ray import usage
from biomedica_ray.store.filesystem import read_again
from biomedica_ray.store.root import Root

if TYPE_CHECKING:
    from biomedica_ray.store.objects import RangedFile

PIECE_BYTES = 32 * 2**20
"""Row groups that lie side by side are read together up to this many bytes: a request each would take its time."""

SMALL_BYTES = 2**20
"""A file up to this size is read whole, in one request, instead of first its end, then its columns."""
END_BYTES = 2**18
"""End of a larger file that is read first: what a Parquet file says of a thousand row groups, and no less than the
64 KiB that Arrow asks for."""


class ParquetRows:
    """A Parquet file of which no more than a piece is in memory: a row group, or small ones that lie side by side.

    Args:
        root: Where it is.
        path: Its path below the root.
        end_bytes: Its end that is read first; a file no longer than that is read whole.
    """

    def __init__(self, root: Root, path: str, end_bytes: int = END_BYTES) -> None:
        self._ranged: RangedFile | None = None
        self._source: pa.NativeFile
        if root.is_s3:
            from biomedica_ray.store.objects import RangedFile  # noqa: PLC0415 - botocore, for those who use S3

            self._ranged = RangedFile(root.uri(path), root.endpoint_url, end_bytes)
            self._source = pa.PythonFile(self._ranged, mode="r")
        else:
            self._source = read_again(lambda: _opened(root, path, end_bytes))
        self._metadata = read_again(lambda: pq.read_metadata(self._source))

    @property
    def names(self) -> list[str]:
        """Names of its columns."""
        names: list[str] = self._metadata.schema.to_arrow_schema().names
        return names

    @property
    def notes(self) -> dict[bytes, bytes]:
        """What the file says beside its rows, by key."""
        notes: dict[bytes, bytes] = self._metadata.schema.to_arrow_schema().metadata or {}
        return notes

    def all(self, columns: Sequence[str]) -> pa.Table:
        """All rows at once."""
        return self._read(0, self._metadata.num_row_groups, columns)

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

    def within(self, bounds: Mapping[str, tuple[Any, Any]]) -> Iterator[pa.Table]:
        """The row groups that may have rows with values within bounds, by their statistics, piece by piece.

        Args:
            bounds: Column -> the least and the greatest value.
        """
        names = [self._metadata.schema.column(n).path for n in range(self._metadata.num_columns)]
        columns = {names.index(name): ends for name, ends in bounds.items()}
        groups = [
            n
            for n, group in enumerate(map(self._metadata.row_group, range(self._metadata.num_row_groups)))
            if all(_may_be_within(group.column(column).statistics, *ends) for column, ends in columns.items())
        ]
        for start, stop in self._pieces(np.array(groups, np.int64)):
            yield self._read(start, stop, None)

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
        if self._ranged:
            self._ranged.fetch(sorted(_ranges(self._metadata, range(start, stop), columns)))

        def read() -> pa.Table:
            # A reader keeps what it has read ahead for as long as it lives, which would be the whole file.
            file = pq.ParquetFile(self._source, metadata=self._metadata, pre_buffer=self._ranged is None)
            return file.read_row_groups(range(start, stop), columns)

        table = read_again(read)
        _count_read(self._metadata, range(start, stop), columns)
        return table


def _may_be_within(statistics: pq.Statistics | None, least: Any, greatest: Any) -> bool:
    if statistics is None or not statistics.has_min_max:
        return True
    return bool(statistics.max >= least and statistics.min <= greatest)


def _opened(root: Root, path: str, small: int) -> pa.NativeFile:
    file = root.filesystem.open_input_file(root.path(path))
    return pa.BufferReader(file.read()) if file.size() <= small else file


def _ranges(
    metadata: pq.FileMetaData, groups: Iterable[int], columns: Sequence[str] | None
) -> Iterator[tuple[int, int]]:
    """Where columns of row groups lie in a file: start and stop of each, in bytes."""
    for group in map(metadata.row_group, groups):
        for column in map(group.column, range(group.num_columns)):
            if columns is None or column.path_in_schema.partition(".")[0] in columns:
                start = column.dictionary_page_offset or column.data_page_offset
                yield start, start + column.total_compressed_size


def read_columns(root: Root, path: str, columns: Sequence[str] | None, known: pa.Schema | None) -> pa.Table:
    """The rows of a file.

    Args:
        root: Where it is.
        path: Its path below the root.
        columns: The columns wanted; None: all that it has.
        known: The columns of the table as it is now; None where that is not known.

    Raises:
        pyarrow.ArrowInvalid: A column is neither in the file nor known.
    """
    file = ParquetRows(root, path, SMALL_BYTES)
    wanted = file.names if columns is None else columns
    if unknown := [name for name in wanted if name not in file.names and (known is None or name not in known.names)]:
        raise pa.ArrowInvalid(f"{root.uri(path)}: no column {unknown[0]}; there are {', '.join(file.names)}")
    rows = file.all([name for name in wanted if name in file.names])
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
