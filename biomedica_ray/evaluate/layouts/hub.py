"""Sets as the Hugging Face Hub keeps them: Parquet files and Arrow shards, an image in a column."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import accumulate
from typing import Any, Literal

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from pydantic import Field

from biomedica_ray.evaluate.layouts.base import (
    BadDataError,
    Image,
    LayoutBase,
    Listing,
    MissingDataError,
    as_list,
    walk,
)
from biomedica_ray.reading.shards import Unreadable
from biomedica_ray.store.root import Root

_ROWS = 64


@dataclass(frozen=True)
class HubImages:
    """Rows of several files, the one after the other."""

    root: Root
    listing: Listing
    names: list[str]
    lengths: list[int]
    column: str

    def images(self, numbers: Sequence[int]) -> Iterator[Image]:
        """The bytes of each, whether the column holds them or a struct with ``bytes``."""
        starts = [0, *accumulate(self.lengths)]
        by_file: dict[int, list[int]] = {}
        for number in numbers:
            by_file.setdefault(bisect_right(starts, number) - 1, []).append(number)
        for file, wanted in by_file.items():
            at = 0
            for number, batch in _batches(self.root, self.names[file], self.column, wanted[0] - starts[file]):
                start = starts[file] + number
                while at < len(wanted) and wanted[at] < start + batch.num_rows:
                    cell = batch.column(self.column)[wanted[at] - start].as_py()
                    yield _bytes(cell, f"{self.root.uri(self.names[file])}: row {wanted[at] - starts[file]}")
                    at += 1
                if at == len(wanted):
                    break


class Hub(LayoutBase):
    """Parquet or Arrow files with a row an image."""

    kind: Literal["hub"]
    files_like: str = Field(description="pattern of the files, as in data/{split}-*.parquet")
    image: str = Field("image", description="the column of the image: bytes, or a struct with them")
    id: str | None = Field(None, description="the column of the row's name; none: rows are counted")

    def _names(self, root: Root, split: str) -> dict[str, tuple[int, int]]:
        (pattern,) = as_list(self.files_like, split)
        folder = pattern.split("*")[0].rpartition("/")[0]
        return {name: info for name, info in walk(root, folder).items() if fnmatch(name, pattern)}

    def files(self, root: Root, split: str) -> dict[str, tuple[int, int]]:
        """The files that fit the pattern."""
        found = self._names(root, split)
        if not found:
            raise MissingDataError(root.uri(*as_list(self.files_like, split)))
        return found

    def open(self, root: Root, split: str) -> HubImages:
        """All columns but the image's."""
        names = list(self.files(root, split))
        tables = [_all_but(root, name, self.image) for name in names]
        try:
            table = pa.concat_tables(tables, promote_options="default")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise BadDataError(f"{root.uri(names[0])} and others: {error}") from None
        if self.id and self.id not in table.column_names:
            raise BadDataError(f"{root.uri(names[0])}: no column {self.id}; there are {', '.join(table.column_names)}")
        rows = range(table.num_rows)
        ids = table[self.id].cast(pa.string()) if self.id else pa.array([f"{split}_{row:06d}" for row in rows])
        if "id" in table.column_names:
            table = table.drop_columns(["id"])
        table = table.add_column(0, "id", ids)
        return HubImages(root, Listing(table), names, [each.num_rows for each in tables], self.image)


def _all_but(root: Root, name: str, image: str) -> pa.Table:
    with _reading(root, name) as source:
        if name.endswith(".parquet"):
            file = pq.ParquetFile(source)
            columns = file.schema_arrow.names
            table = file.read([column for column in columns if column != image])
        else:
            tables = []
            columns = [image]
            for batch in _ipc(source):
                columns = batch.schema.names
                tables.append(_copy(batch.select([column for column in columns if column != image])))
            table = pa.concat_tables(tables) if tables else pa.table({})
        if image not in columns:
            raise BadDataError(f"{root.uri(name)}: no column {image}; there are {', '.join(columns)}")
        return table


def _copy(batch: pa.RecordBatch) -> pa.Table:
    """The same rows in memory of their own: a view would hold the images beside them."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return pa.ipc.open_stream(sink.getvalue()).read_all()


def _batches(root: Root, name: str, column: str, first: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """A column from the row ``first`` of a file on, or some rows before, with the number of each batch's first row."""
    start = 0
    with _reading(root, name) as source:
        if name.endswith(".parquet"):
            file = pq.ParquetFile(source)
            sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
            ends = [*accumulate(sizes)]
            group = bisect_right(ends, first)
            start = ends[group] - sizes[group]
            batches = file.iter_batches(_ROWS, list(range(group, len(sizes))), [column])
        else:
            batches = (batch.select([column]) for batch in _ipc(source))
        for batch in batches:
            yield start, batch
            start += batch.num_rows


def _ipc(source: Any) -> Iterator[pa.RecordBatch]:
    """Batches of Arrow's stream format, which the Hub's library writes, or of its file format."""
    begins = source.read(6)
    source.seek(0)
    if begins == b"ARROW1":
        file = pa.ipc.open_file(source)
        yield from (file.get_batch(number) for number in range(file.num_record_batches))
    else:
        yield from pa.ipc.open_stream(source)


@contextmanager
def _reading(root: Root, name: str) -> Iterator[Any]:
    try:
        with root.filesystem.open_input_file(root.path(name)) as source:
            yield source
    except (pa.ArrowInvalid, OSError) as error:
        if "AWS Error" in str(error):  # the request failed, not the file
            raise
        raise BadDataError(f"{root.uri(name)}: {' '.join(str(error).split())}") from None


def _bytes(cell: Any, where: str) -> Image:
    if isinstance(cell, dict):
        cell = cell.get("bytes")
    return cell if isinstance(cell, bytes) and cell else Unreadable(where, "empty-image", "the row has no image")
