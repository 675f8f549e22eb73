"""A dataset root: tables cut into units, and the commit records through which they are read.

Layout under the root::

    store.json                          format, number of units in each generation
    <table>/<unit>-<fingerprint>.parquet
    commits/<stage>/<unit>.json         which files of which tables a stage made for a unit, and the counts
    runs/<run_id>/run.json

A stage's work on a unit becomes visible when its commit record is written, in one atomic step (a rename on disk, a
single PUT in S3). Readers go through commit records, and so never see half a file or half a unit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from biomedica_ray.schema import TABLES
from biomedica_ray.store.commits import Commit
from biomedica_ray.store.filesystem import StoreError
from biomedica_ray.store.known import read_record
from biomedica_ray.store.parquet import ParquetRows, read_columns, with_columns
from biomedica_ray.store.records import read_records
from biomedica_ray.store.root import Root
from biomedica_ray.store.writing import ERRORS, UnitWriter
from biomedica_ray.units import units_of

FORMAT = 2
_READ = (1, 2)
"""Formats that can be read. In format 1 all units are of one generation, and no article is ever dropped from a unit."""
_DOCUMENT = "store.json"
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

    def open_or_create(self, n_units: int) -> list[int]:
        """The number of units in each generation of this store; a new store gets one generation of ``n_units``.

        A store of an earlier format is of this one from then on.

        Raises:
            StoreError: The store was written in a format that cannot be read.
        """
        document = self._document()
        generations = [n_units] if document is None else _generations(document)
        if document is None or document["format"] != FORMAT:
            self._write_document(generations)
        return generations

    def add_generation(self, n_units: int) -> list[int]:
        """Add a generation of ``n_units``; returns the number of units in each, the new one last."""
        generations = [*self.generations(), n_units]
        self._write_document(generations)
        return generations

    def generations(self) -> list[int]:
        """The number of units in each generation.

        Raises:
            StoreError: Nothing has been written to this root yet, or in a format that cannot be read.
        """
        document = self._document()
        if document is None:
            raise StoreError(f"{self.root}: no store here; run `biomedica extract` first")
        return _generations(document)

    def units_of(self, pmcids: Iterable[str]) -> dict[int, set[str]]:
        """Unit -> those of the articles that may be in it; each may be in one unit of every generation."""
        generations = self.generations()
        found: dict[int, set[str]] = defaultdict(set)
        for pmcid in pmcids:
            for unit in units_of(pmcid, generations):
                found[unit].add(pmcid)
        return dict(sorted(found.items()))

    def _document(self) -> dict[str, Any] | None:
        try:
            document: dict[str, Any] = self.read_json(_DOCUMENT)
        except FileNotFoundError:
            return None
        if document.get("format") not in _READ:
            raise StoreError(
                f"{self.uri(_DOCUMENT)}: format {document.get('format')}, expected {FORMAT}; use the version of "
                "biomedica_ray that wrote this store, or another store"
            )
        return document

    def _write_document(self, generations: list[int]) -> None:
        self.write_json(_DOCUMENT, {"format": FORMAT, "generations": generations})

    def commits(self, stage: str) -> dict[int, Commit]:
        """Every unit that ``stage`` has committed, by unit."""
        return {commit.unit: commit for commit in read_records(self, f"commits/{stage}")}

    def keep_commits(self, stage: str, made: Iterable[Commit]) -> None:
        """Let others read what ``stage`` has just committed, and all it had before, by few requests."""
        if not self.is_local:
            read_records(self, f"commits/{stage}", made)

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
        return read_record(self, stage, unit)

    def write_unit(self, stage: str, unit: int, fingerprint: str, run_id: str = "") -> UnitWriter:
        """A writer for what ``stage`` makes of ``unit``; use it in a ``with`` block and end with ``commit``."""
        return UnitWriter(self, stage, unit, fingerprint, run_id)

    def drop(self, commit: Commit) -> None:
        """Remove what a stage made of a unit: the record first, so that no reader looks for the files."""
        self.delete(commit.record)
        for path in commit.files.values():
            self.delete(path)

    # Tables

    def read(
        self, commit: Commit, table: str, columns: Sequence[str] | None = None, *, row: str | None = None
    ) -> pa.Table:
        """The rows of ``table`` that ``commit`` made, in memory.

        Args:
            commit: The commit; rows of articles that were dropped from it are left out.
            table: The table.
            columns: Its columns; None: all that are in its own file. What an earlier version did not write is null.
            row: Name of a further column with each row's position in the file, from 0, as :meth:`rows` takes it.
        """
        if table == ERRORS and table not in commit.files:
            none = TABLES[ERRORS].empty_table()
            return none if columns is None else none.select(columns)
        if _has_images(commit, table, columns):
            slim = self.read(commit, table, [name for name in columns or () if name != _IMAGE], row=row)
            images = self.read(commit, _IMAGES, [_IMAGE])
            _check_lengths(self, commit, len(slim), len(images))
            return slim.append_column(_IMAGE, images[_IMAGE]).select([*(columns or ()), *([row] if row else [])])
        with _expected(self, commit, table) as path:
            wanted = _with_article(commit, columns)
            read = read_columns(self, path, wanted, TABLES.get(table))
        if row:
            read = read.append_column(row, pa.array(np.arange(read.num_rows)))
        found = _without_dropped(commit, read)
        return found if columns is None else found.select([*columns, row] if row else columns)

    def batches(
        self, commit: Commit, table: str, columns: Sequence[str] | None = None, batch_size: int = 64
    ) -> Iterator[pa.RecordBatch]:
        """The same, streamed: a piece of the file is in memory at a time, and of slim columns with images all rows."""
        if table == ERRORS and table not in commit.files:
            return
        if _has_images(commit, table, columns):
            slim, start = self.read(commit, table, [name for name in columns or () if name != _IMAGE]), 0
            for batch in self.batches(commit, _IMAGES, [_IMAGE], batch_size):
                rows = slim.slice(start, batch.num_rows)
                _check_lengths(self, commit, len(rows), batch.num_rows)
                yield from rows.append_column(_IMAGE, batch[_IMAGE]).select(columns).combine_chunks().to_batches()
                start += batch.num_rows
            _check_lengths(self, commit, len(slim), start)
            return
        with _expected(self, commit, table) as path:
            file = ParquetRows(self, path)
        for piece in file.pieces(_with_article(commit, columns)):
            found = _without_dropped(commit, with_columns(piece, columns, TABLES.get(table)))
            yield from (found if columns is None else found.select(columns)).to_batches(max_chunksize=batch_size)

    def rows(
        self, commit: Commit, table: str, positions: Sequence[int], columns: Sequence[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The rows at ``positions`` in the file (ascending, from 0), streamed; other row groups are not read."""
        if _has_images(commit, table, columns):
            images = self.rows(commit, _IMAGES, positions, [_IMAGE])
            if not (names := [name for name in columns or () if name != _IMAGE]):
                yield from images
                return
            slim = self.rows(commit, table, positions, names)
            yield from ({**row, **image} for row, image in zip(slim, images, strict=True))
            return
        with _expected(self, commit, table) as path:
            file = ParquetRows(self, path)
        for piece in file.at(np.asarray(positions, np.int64), columns):
            for batch in with_columns(piece, columns, TABLES.get(table)).to_batches(max_chunksize=_ROWS_AT_A_TIME):
                yield from batch.to_pylist()

    def dataset(self, stage: str, table: str) -> pads.Dataset:
        """All committed rows of ``table`` made by ``stage``, as a pyarrow dataset (lazy; filters are pushed down).

        Where articles were dropped from units there is a further column, ``unit``.

        Raises:
            StoreError: The stage has committed nothing of that table.
        """
        committed = self.commits(stage).values()
        commits = [commit for commit in committed if table in commit.files]
        if committed and not commits and table == ERRORS:
            return pads.dataset(TABLES[ERRORS].empty_table())
        if not commits:
            raise StoreError(f"{self.root}: no {table} yet; run `biomedica {_command(stage)}` first")
        with _expected(self, commits[0], table):
            paths = [self.path(commit.files[table]) for commit in commits]
            found = pads.dataset(paths, filesystem=self.filesystem, format="parquet")
        dropped = [f"{commit.unit} {article_id}" for commit in commits for article_id in commit.dropped]
        if not dropped:
            return found
        unit = pa.field("unit", pa.string())
        pieces = [
            found.format.make_fragment(path, self.filesystem, partition_expression=pc.field("unit") == str(commit.unit))
            for commit, path in zip(commits, paths, strict=True)
        ]
        found = pads.FileSystemDataset(pieces, found.schema.append(unit), found.format, self.filesystem)
        keys = pc.binary_join_element_wise(pc.field("unit"), pc.field(_ARTICLE), " ")
        return found.filter(~pc.is_in(keys, value_set=pa.array(dropped)))


_IMAGE, _IMAGES = "image", "images"
"""The one large column of figures, and the table in whose file it is, row by row as in that of figures."""

_ARTICLE = "article_id"
"""The column by which rows of dropped articles are known; all tables of stages that drop articles have it."""


def _has_images(commit: Commit, table: str, columns: Sequence[str] | None) -> bool:
    """Whether images are asked for that are in a file of their own; those of stores of format 1 are not."""
    return table == "figures" and _IMAGES in commit.files and _IMAGE in (columns or ())


def _with_article(commit: Commit, columns: Sequence[str] | None) -> Sequence[str] | None:
    """The columns, and that of the article where rows have to be left out by it."""
    return columns if columns is None or not commit.dropped or _ARTICLE in columns else [*columns, _ARTICLE]


def _without_dropped(commit: Commit, rows: pa.Table) -> pa.Table:
    if not commit.dropped:
        return rows
    return rows.filter(pc.invert(pc.is_in(rows[_ARTICLE], value_set=pa.array(commit.dropped, pa.string()))))


def _check_lengths(store: Store, commit: Commit, rows: int, images: int) -> None:
    if rows != images:
        raise StoreError(
            f"{store.uri(commit.files[_IMAGES])}: not the images of {commit.files['figures']}; delete both, and "
            f"`biomedica {_command(commit.stage)}` makes them again"
        )


def _generations(document: dict[str, Any]) -> list[int]:
    return list(document["generations"]) if document["format"] == FORMAT else [document["units"]]


@contextmanager
def _expected(store: Store, commit: Commit, table: str) -> Iterator[str]:
    """The path of a table's file below the root; where somebody has deleted it, an error says what makes it again."""
    path = commit.files[table]
    try:
        yield path
    except FileNotFoundError:
        raise StoreError(
            f"{store.uri(path)}: deleted since {commit.stage} wrote it; `biomedica "
            f"{_command(commit.stage)}` makes again what is missing"
        ) from None


def _command(stage: str) -> str:
    """The command behind the name of a part of a stage (embed/<model>, serialize/shards)."""
    name = stage.partition("/")[0]
    return {"embed": "annotate", "listing": "extract", "features": "evaluate", "leaks": "evaluate"}.get(name, name)
