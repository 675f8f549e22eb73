"""Writing what a stage makes of a unit: its tables row group by row group, and then its commit record."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from biomedica_ray import usage
from biomedica_ray.messages import one_line
from biomedica_ray.store.atomic import AtomicFile
from biomedica_ray.store.commits import Commit
from biomedica_ray.store.known import read_record, write_record
from biomedica_ray.store.root import Root
from biomedica_ray.tracing import span
from biomedica_ray.units import Counts, LostRowsError, lost_rows

log = logging.getLogger(__name__)

ROW_GROUP_BYTES = 32 * 2**20
"""A row group is written when this many bytes have gathered, so that no process holds a whole unit's images."""
ERRORS = "errors"
"""The table that a unit has only where it has rows."""
_ROWS_AT_A_TIME = 16
"""Rows become a table in batches of this size: one by one costs several times as much, more would hold more images."""


class UnitWriter:
    """Writes the tables of one unit, row group by row group, and commits them together.

    File names come from the unit and the fingerprint of its inputs: a second attempt at the same work replaces the
    first one's files by equal ones, so retries and leftovers of killed workers do no harm.
    """

    def __init__(self, root: Root, stage: str, unit: int, fingerprint: str, run_id: str) -> None:
        self._root = root
        self._commit = Commit(stage, unit, fingerprint, run_id=run_id)
        self._tables: dict[str, TableWriter] = {}
        self._files: dict[str, tuple[str, AtomicFile]] = {}
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for table in self._tables.values():
            table.abort()
        for _, file in self._files.values():
            file.discard()

    def table(
        self, name: str, schema: pa.Schema, *, directory: str | None = None, path: str | None = None
    ) -> TableWriter:
        """Open ``name`` for writing.

        Args:
            name: Table name, the key in the commit's files.
            schema: Its schema.
            directory: Where its files lie below the root, when not ``name`` (errors/<stage>, embeddings/<model>).
            path: Its whole path below the root, for a file whose name must not change with the fingerprint.
        """
        path = path or f"{directory or name}/{self._commit.unit:06d}-{self._commit.fingerprint}.parquet"
        self._tables[name] = TableWriter(self._root, path, schema)
        return self._tables[name]

    def file(self, name: str, path: str) -> Path:
        """A local path to write a file of any kind to, which becomes ``path`` below the root at the commit."""
        self._files[name] = (path, self._root.atomic_file(path))
        return self._files[name][1].local

    def commit(
        self, counts: Counts, *, complete: bool = True, reasons: dict[str, dict[str, int]] | None = None
    ) -> Commit:
        """Make everything written visible, at once; then remove what an earlier commit of this unit left.

        Args:
            counts: What became of the unit's rows.
            complete: As in :class:`Commit`.
            reasons: Those of :class:`Commit` that do not show in tables which tell entity and kind of their rows.

        Raises:
            LostRowsError: Rows came in that are neither out nor errors, or the errors table has not as many rows as
                there are errors; nothing is committed then.
            OSError, StoreError: A file cannot be written; nothing is committed then either.
        """
        self._check(counts)
        with usage.timed("commit"), span("commit"):
            commit = self._committed(counts, complete, reasons)
        usage.count("commits", "units")
        return commit

    def _committed(self, counts: Counts, complete: bool, reasons: dict[str, dict[str, int]] | None) -> Commit:
        for name in [name for name, table in self._tables.items() if name == ERRORS and not table.rows]:
            self._tables.pop(name).abort()  # nearly no unit has any: a request saved for each
        stage, unit = self._commit.stage, self._commit.unit
        tables = {name: table.path for name, table in self._tables.items()}
        files = {**tables, **{name: path for name, (path, _) in self._files.items()}}
        before = self._files_before()
        if before & set(files.values()):
            self._root.delete(self._commit.record)  # until the new one is there, it would stand for files of both
        for table in self._tables.values():
            table.close()
        for _, file in self._files.values():
            file.publish()
        commit = replace(
            self._commit,
            files=files,
            counts=counts,
            seconds=round(time.monotonic() - self._started, 3),
            worker=f"{socket.gethostname()}:{os.getpid()}",
            reasons={**self._kinds(), **(reasons or {})},
            complete=complete,
        )
        write_record(self._root, commit)
        for path in before - set(files.values()):
            try:
                self._root.delete(path)
            except OSError as error:
                log.warning("%s, unit %d: %s stays behind: %s", stage, unit, path, one_line(error))
        self._tables, self._files = {}, {}
        return commit

    def _files_before(self) -> set[str]:
        """What an earlier commit of this unit consists of."""
        try:
            return set(read_record(self._root, self._commit.stage, self._commit.unit).files.values())
        except FileNotFoundError:
            return set()

    def _kinds(self) -> dict[str, dict[str, int]]:
        """Rows by entity and kind, of the tables that tell them."""
        found: dict[str, dict[str, int]] = {}
        for name, table in self._tables.items():
            for (entity, kind), rows in sorted(table.kinds.items()):
                found.setdefault(f"{entity} {name}", {})[kind] = rows
        return found

    def _check(self, counts: Counts) -> None:
        lost = lost_rows(counts)
        counted = sum(flow.errors for flow in counts.values())
        written = self._tables["errors"].rows if "errors" in self._tables else counted
        if not lost and counted != written:
            lost = f"rows lost: {counted:,} errors, but {written:,} in the errors table"
        if lost:
            raise LostRowsError(f"{self._commit.stage}, unit {self._commit.unit}: {lost}")


class TableWriter:
    """An unfinished Parquet file.

    Attributes:
        path: Where it will be, below the root.
        kinds: (entity, kind) -> rows in the file, where the table has these columns.
    """

    def __init__(self, root: Root, path: str, schema: pa.Schema) -> None:
        self.path = path
        self.kinds: Counter[tuple[str, str]] = Counter()
        self._schema = schema
        self._tells_kinds = {"entity", "kind"} <= set(schema.names)
        self._file = root.atomic_file(path)
        self._writer: pq.ParquetWriter | None
        try:
            self._writer = pq.ParquetWriter(self._file.local, schema, compression="zstd")
        except OSError:
            self._file.discard()
            raise
        self._rows: list[Mapping[str, Any]] = []
        self._pending: list[pa.Table] = []
        self._pending_bytes = 0
        self._flushed = 0

    @property
    def rows(self) -> int:
        """Rows that are in the file, or on the way there."""
        pending: int = sum(table.num_rows for table in self._pending)
        return self._flushed + pending + len(self._rows)

    def write(self, rows: Iterable[Mapping[str, Any]] | pa.Table) -> None:
        """Append rows.

        Raises:
            pyarrow.ArrowTypeError, ValueError: A row does not fit the schema; with rows that are not a table this may
                show only when further ones are written, or at the end.
        """
        if isinstance(rows, pa.Table):
            self._gather()
            self._add(rows)
        else:
            self._rows.extend(rows)
            if len(self._rows) >= _ROWS_AT_A_TIME:
                self._gather()

    def end_row_group(self, least: int) -> None:
        """End the row group here, where it has ``least`` bytes: what is read together then begins with one of its own.

        Of the rows that were given one by one some may still wait to become a table; they count then.
        """
        self._gather()
        if self._pending_bytes >= least:
            self._flush()

    def _gather(self) -> None:
        """Make a table of the rows that wait."""
        if self._rows:
            self._add(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def _add(self, table: pa.Table) -> None:
        self._pending.append(table if table.schema.equals(self._schema) else table.cast(self._schema))
        self._pending_bytes += table.nbytes
        if self._tells_kinds:
            self.kinds.update(zip(table["entity"].to_pylist(), table["kind"].to_pylist(), strict=True))
        if self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        assert self._writer is not None
        if self._pending:
            table = pa.concat_tables(self._pending)
            with span("write"):
                self._writer.write_table(table)
            self._flushed += table.num_rows
        self._pending, self._pending_bytes = [], 0

    def close(self) -> None:
        """Finish the file and put it in its place."""
        self._gather()
        self._flush()
        assert self._writer is not None
        self._writer.close()
        self._writer = None
        self._file.publish()

    def abort(self) -> None:
        """Throw the file away, unless it is in its place."""
        # On a full disk the end of the file cannot be written either; the file must go all the same.
        with contextlib.suppress(OSError):
            if self._writer is not None:
                self._writer.close()
        self._writer = None
        self._file.discard()
