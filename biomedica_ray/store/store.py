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

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from biomedica_ray.store.commits import Commit, record_path
from biomedica_ray.store.filesystem import StoreError, read_again
from biomedica_ray.store.parquet import ParquetRows
from biomedica_ray.store.records import read_records
from biomedica_ray.store.root import Root
from biomedica_ray.store.writing import UnitWriter

FORMAT = 1
_ROWS_AT_A_TIME = 16


@dataclass(frozen=True)
class Store(Root):
    """A dataset root; a :class:`Root` whose tables are cut into units."""

    # Units

    def exists(self) -> bool:
        """Whether there is a store at this root.

        Raises:
            StoreError: There is one in another format.
        """
        return self._document() is not None

    def open_or_create(self, n_units: int) -> int:
        """The number of units of this store; a new store gets ``n_units``.

        Raises:
            StoreError: The store was written in another format.
        """
        document = self._document()
        if document is None:
            document = {"format": FORMAT, "units": n_units}
            self.write_json("store.json", document)
        return int(document["units"])

    def n_units(self) -> int:
        """The number of units.

        Raises:
            StoreError: Nothing has been written to this root yet, or in another format.
        """
        if not self.exists():
            raise StoreError(f"{self.root}: no store here; run `biomedica extract` first")
        return self.open_or_create(0)

    def _document(self) -> dict[str, Any] | None:
        try:
            document: dict[str, Any] = self.read_json("store.json")
        except FileNotFoundError:
            return None
        if document.get("format") != FORMAT:
            raise StoreError(
                f"{self.uri('store.json')}: format {document.get('format')}, expected {FORMAT}; use the version of "
                "biomedica_ray that wrote this store, or another store"
            )
        return document

    def commits(self, stage: str) -> dict[int, Commit]:
        """Every unit that ``stage`` has committed, by unit."""
        return {commit.unit: commit for commit in read_records(self, f"commits/{stage}")}

    def without_files(self, commits: Iterable[Commit]) -> dict[int, str]:
        """Units of which a file that is committed is not there -> its path; one listing for each folder of a table."""
        paths = [(commit.unit, path) for commit in commits for path in commit.files.values()]
        folders = sorted({path.rpartition("/")[0] for _, path in paths})
        there = {f"{folder}/{name}" for folder in folders for name in self.list(folder)}
        return {unit: path for unit, path in paths if path not in there}

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
        with _expected(self, commit, table) as path:
            return read_again(lambda: pq.read_table(path, columns=columns, filesystem=self.filesystem))

    def batches(
        self, commit: Commit, table: str, columns: Sequence[str] | None = None, batch_size: int = 64
    ) -> Iterator[pa.RecordBatch]:
        """The same, streamed: at most a row group is in memory."""
        with _expected(self, commit, table) as path:
            file = ParquetRows(self.filesystem, path)
        for group in range(len(file.sizes)):
            yield from file.group(group, columns).to_batches(max_chunksize=batch_size)

    def rows(
        self, commit: Commit, table: str, positions: Sequence[int], columns: Sequence[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The rows at ``positions`` (ascending, from 0), streamed; row groups that hold none of them are not read."""
        wanted = np.asarray(positions, np.int64)
        with _expected(self, commit, table) as path:
            file = ParquetRows(self.filesystem, path)
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
        commits = [commit for commit in self.commits(stage).values() if table in commit.files]
        if not commits:
            raise StoreError(f"{self.root}: no {table} yet; run `biomedica {_command(stage)}` first")
        with _expected(self, commits[0], table):
            paths = [self.path(commit.files[table]) for commit in commits]
            return pads.dataset(paths, filesystem=self.filesystem, format="parquet")


@contextmanager
def _expected(store: Store, commit: Commit, table: str) -> Iterator[str]:
    """The path of a table's file, which somebody may have deleted; the error then says what makes it again."""
    path = store.path(commit.files[table])
    try:
        yield path
    except FileNotFoundError:
        raise StoreError(
            f"{store.uri(commit.files[table])}: deleted since {commit.stage} wrote it; `biomedica "
            f"{_command(commit.stage)}` makes again what is missing"
        ) from None


def _command(stage: str) -> str:
    """The command behind the name of a part of a stage (embed/<model>, serialize/shards)."""
    name = stage.partition("/")[0]
    return {"embed": "annotate", "listing": "extract"}.get(name, name)
