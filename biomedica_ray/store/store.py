"""A dataset root: tables cut into units, and the commit records through which they are read.

Layout under the root::

    store.json                          format, number of units
    <table>/<unit>-<fingerprint>.parquet
    commits/<stage>/<unit>.json         which files of which tables a stage made for a unit, and the counts
    runs/<run_id>/run.json

A stage's work on a unit becomes visible when its commit record is written, in one atomic step (a rename on disk, a
single PUT in S3). Readers go through commit records, and so never see half a file or half a unit.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.store.commits import Commit, record_path
from biomedica_ray.store.filesystem import StoreError, read_again
from biomedica_ray.store.parquet import ParquetRows
from biomedica_ray.store.root import Root
from biomedica_ray.store.writing import UnitWriter

log = logging.getLogger(__name__)

FORMAT = 1
_ROWS_AT_A_TIME = 16


@dataclass(frozen=True)
class Store(Root):
    """A dataset root; a :class:`Root` whose tables are cut into units."""

    # Units

    def open_or_create(self, n_units: int) -> int:
        """The number of units of this store; a new store gets ``n_units``.

        Raises:
            StoreError: The store was written in another format.
        """
        try:
            document = self.read_json("store.json")
        except FileNotFoundError:
            document = {"format": FORMAT, "units": n_units}
            self.write_json("store.json", document)
        if document.get("format") != FORMAT:
            raise StoreError(f"{self.uri('store.json')}: format {document.get('format')}, expected {FORMAT}")
        return int(document["units"])

    def n_units(self) -> int:
        """The number of units.

        Raises:
            StoreError: Nothing has been written to this root yet, or in another format.
        """
        try:
            self.read_json("store.json")
        except FileNotFoundError:
            raise StoreError(f"{self.root}: no store here; run `biomedica extract` first") from None
        return self.open_or_create(0)

    def commits(self, stage: str) -> dict[int, Commit]:
        """Every unit that ``stage`` has committed, by unit."""
        paths = [f"commits/{stage}/{name}" for name in self.list(f"commits/{stage}")]
        commits = [Commit.from_json(document) for document in map_in_threads(self.read_json, paths)]
        return {commit.unit: commit for commit in sorted(commits, key=lambda commit: commit.unit)}

    def extracted(self) -> dict[int, Commit]:
        """Every unit that has been extracted, which is where all later stages begin.

        Raises:
            StoreError: Nothing has been extracted yet.
        """
        commits = self.commits("extract")
        if not commits:
            raise StoreError(f"{self.root}: nothing extracted yet; run `biomedica extract` first")
        return commits

    def commit(self, stage: str, unit: int) -> Commit:
        """What ``stage`` made of ``unit``; raises FileNotFoundError where it has not committed it."""
        return Commit.from_json(self.read_json(record_path(stage, unit)))

    def write_unit(self, stage: str, unit: int, fingerprint: str, run_id: str = "") -> UnitWriter:
        """A writer for what ``stage`` makes of ``unit``; use it in a ``with`` block and end with ``commit``."""
        return UnitWriter(self, stage, unit, fingerprint, run_id)

    def drop(self, commit: Commit) -> None:
        """Remove what a stage made of a unit: the record first, so that no reader looks for the files."""
        self.delete(commit.record)
        for path in commit.files.values():
            self.delete(path)

    # Tables

    def read(self, commit: Commit, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of ``table`` that ``commit`` made, in memory."""
        path = self.path(commit.files[table])
        return read_again(lambda: pq.read_table(path, columns=columns, filesystem=self.filesystem))

    def batches(
        self, commit: Commit, table: str, columns: Sequence[str] | None = None, batch_size: int = 64
    ) -> Iterator[pa.RecordBatch]:
        """The same, streamed: at most a row group is in memory."""
        file = ParquetRows(self.filesystem, self.path(commit.files[table]))
        for group in range(len(file.sizes)):
            yield from file.group(group, columns).to_batches(max_chunksize=batch_size)

    def rows(
        self, commit: Commit, table: str, positions: Sequence[int], columns: Sequence[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The rows at ``positions`` (ascending, from 0), streamed; row groups that hold none of them are not read."""
        wanted = np.asarray(positions, np.int64)
        file = ParquetRows(self.filesystem, self.path(commit.files[table]))
        start = 0
        for group, size in enumerate(file.sizes):
            here = wanted[(wanted >= start) & (wanted < start + size)] - start
            if len(here):
                for batch in file.group(group, columns).take(pa.array(here)).to_batches(max_chunksize=_ROWS_AT_A_TIME):
                    yield from batch.to_pylist()
            start += size

    def dataset(self, stage: str, table: str) -> pads.Dataset:
        """All committed rows of ``table`` made by ``stage``, as a pyarrow dataset (lazy; filters are pushed down).

        Raises:
            StoreError: The stage has committed nothing of that table.
        """
        paths = [self.path(c.files[table]) for c in self.commits(stage).values() if table in c.files]
        if not paths:
            raise StoreError(f"{self.root}: no {table} yet; run `biomedica {stage.split('/', maxsplit=1)[0]}` first")
        return pads.dataset(paths, filesystem=self.filesystem, format="parquet")
