"""A dataset root on a local disk or in object storage: tables cut into units, atomic commits, JSON documents.

Layout under the root::

    store.json                          format, number of units
    <table>/<unit>-<fingerprint>.parquet
    commits/<stage>/<unit>.json         which files of which tables a stage made for a unit, and the counts
    runs/<run_id>/run.json

A stage's work on a unit becomes visible when its commit record is written, in one atomic step (a rename on disk, a
single PUT in S3). Readers go through commit records, and so never see half a file or half a unit.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.units import Counts, LostRowsError, counts_from_json, counts_to_json, lost_rows
from biomedica_ray.writable import TRIAL_S, why_not_local, why_not_s3

log = logging.getLogger(__name__)

FORMAT = 1
ROW_GROUP_BYTES = 32 * 2**20
"""A row group is written when this many bytes have gathered, so that no process holds a whole unit's images."""
_ROWS_AT_A_TIME = 16
"""Rows become a table in batches of this size: one by one costs several times as much, more would hold more images."""
_COPY_BYTES = 8 * 2**20
_UNFINISHED = ".unfinished"
"""Where a local store keeps unfinished files."""
_ABANDONED_S = 24 * 3600.0
"""An unfinished file that has not been touched for this long belongs to a worker that was killed."""


class StoreError(Exception):
    """A store that cannot be opened, or whose content is not what this version of the project writes."""


@dataclass(frozen=True)
class Commit:
    """What one stage made of one unit."""

    stage: str
    unit: int
    fingerprint: str
    files: dict[str, str] = field(default_factory=dict)
    """Table name -> path of its Parquet file, relative to the root."""
    counts: Counts = field(default_factory=dict)
    run_id: str = ""
    seconds: float = 0.0
    worker: str = ""
    """Host and process that did it."""
    complete: bool = True
    """False when something was not available (a server that did not answer): a rerun tries the unit again."""

    @property
    def content(self) -> str:
        """Changes when the rows may have changed: the fingerprint, and the run where a rerun may give other rows."""
        return self.fingerprint if self.complete else f"{self.fingerprint}-{self.run_id}"

    def to_json(self) -> dict[str, Any]:
        """The record as it is stored."""
        return {**self.__dict__, "counts": counts_to_json(self.counts)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Commit:
        """The inverse of :meth:`to_json`."""
        return cls(**{**data, "counts": counts_from_json(data["counts"])})


@dataclass(frozen=True)
class Store:
    """A dataset root.

    Attributes:
        root: A local path or ``s3://bucket/prefix``.
        endpoint_url: An S3 server other than AWS; credentials come from the usual AWS variables and files.
    """

    root: str
    endpoint_url: str | None = None

    @cached_property
    def _location(self) -> tuple[pafs.FileSystem, str]:
        return open_filesystem(self.root, self.endpoint_url)

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "endpoint_url": self.endpoint_url}

    @property
    def filesystem(self) -> pafs.FileSystem:
        """The pyarrow filesystem that the root lies on."""
        return self._location[0]

    @property
    def is_local(self) -> bool:
        """Whether the root is a directory of this machine's file system."""
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    def path(self, *parts: str) -> str:
        """A path within the root, for :attr:`filesystem`; without parts, the root's."""
        return "/".join([self._location[1], *parts])

    def uri(self, *parts: str) -> str:
        """The same place as a path or URI that a user can copy."""
        return "/".join([self.root.rstrip("/"), *parts])

    def open(self, path: str, buffer_size: int | None = None) -> pa.NativeFile:
        """The file at ``path`` below the root as a stream; each read of the storage is of ``buffer_size`` bytes."""
        return self.filesystem.open_input_stream(self.path(path), buffer_size=buffer_size)

    def try_writing(self) -> None:
        """Write a few bytes below the root and remove them, so that a run which cannot write fails before it starts.

        A root that does not exist yet is not made. A server that does not answer costs about ten seconds.

        Raises:
            StoreError: Nothing can be written there; one line that says why.
        """
        if self.is_local:
            reason = why_not_local(Path(self.path()))
        else:
            filesystem, prefix = open_filesystem(self.root, self.endpoint_url, timeout_s=TRIAL_S)
            reason = why_not_s3(filesystem, prefix)
        if reason:
            at = f" at {self.endpoint_url}" if self.endpoint_url else ""
            raise StoreError(f"store {self.root}{at}: {reason}")

    # JSON documents

    def read_json(self, path: str) -> Any:
        """Parse the JSON document at ``path`` below the root; raises FileNotFoundError if it does not exist."""
        with self.filesystem.open_input_stream(self.path(path)) as stream:
            return json.loads(stream.read())

    def write_json(self, path: str, document: Any) -> None:
        """Write a JSON document in one atomic step."""
        self.write_bytes(path, json.dumps(document, indent=1, default=str).encode())

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a small file in one atomic step."""
        with self.atomic_file(path) as local:
            local.write_bytes(data)

    def atomic_file(self, path: str) -> _AtomicFile:
        """A local path to write to, which becomes the file ``path`` of the store when the ``with`` block succeeds."""
        return _AtomicFile(self, path)

    def list(self, prefix: str) -> list[str]:
        """Names of the files directly under ``prefix``, sorted; hidden ones are left out."""
        selector = pafs.FileSelector(self.path(prefix), allow_not_found=True)
        infos = self.filesystem.get_file_info(selector)
        names = (info.base_name for info in infos if info.type == pafs.FileType.File)
        return sorted(name for name in names if not name.startswith("."))

    def folders(self, prefix: str) -> tuple[str, ...]:
        """Names of the folders directly under ``prefix``, sorted."""
        selector = pafs.FileSelector(self.path(prefix), allow_not_found=True)
        infos = self.filesystem.get_file_info(selector)
        return tuple(sorted(info.base_name for info in infos if info.type == pafs.FileType.Directory))

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
        return Commit.from_json(self.read_json(f"commits/{stage}/{unit:06d}.json"))

    def write_unit(self, stage: str, unit: int, fingerprint: str, run_id: str = "") -> UnitWriter:
        """A writer for what ``stage`` makes of ``unit``; use it in a ``with`` block and end with ``commit``."""
        return UnitWriter(self, stage, unit, fingerprint, run_id)

    def drop(self, commit: Commit) -> None:
        """Remove what a stage made of a unit: the record first, so that no reader looks for the files."""
        self.delete(f"commits/{commit.stage}/{commit.unit:06d}.json")
        for path in commit.files.values():
            self.delete(path)

    def sweep(self) -> None:
        """Remove what killed workers left half written in a local store; on S3 nothing unfinished is ever visible."""
        if self.is_local:
            for path in Path(self.path(_UNFINISHED)).glob("biomedica-*"):
                if time.time() - path.stat().st_mtime > _ABANDONED_S:
                    path.unlink(missing_ok=True)

    def delete(self, path: str) -> None:
        """Remove the file at ``path`` below the root, if it is there."""
        try:
            self.filesystem.delete_file(self.path(path))
        except FileNotFoundError:
            log.debug("%s was already gone", self.uri(path))

    # Tables

    def read(self, commit: Commit, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of ``table`` that ``commit`` made, in memory."""
        return pq.read_table(self.path(commit.files[table]), columns=columns, filesystem=self.filesystem)

    def batches(
        self, commit: Commit, table: str, columns: Sequence[str] | None = None, batch_size: int = 64
    ) -> Iterator[pa.RecordBatch]:
        """The same, streamed: at most a row group is in memory."""
        with self.filesystem.open_input_file(self.path(commit.files[table])) as source:
            yield from pq.ParquetFile(source).iter_batches(batch_size=batch_size, columns=columns)

    def rows(
        self, commit: Commit, table: str, positions: Sequence[int], columns: Sequence[str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """The rows at ``positions`` (ascending, from 0), streamed; row groups that hold none of them are not read."""
        wanted = np.asarray(positions, np.int64)
        with self.filesystem.open_input_file(self.path(commit.files[table])) as source:
            file = pq.ParquetFile(source)
            start = 0
            for group in range(file.num_row_groups):
                stop = start + file.metadata.row_group(group).num_rows
                if np.searchsorted(wanted, start) < np.searchsorted(wanted, stop):
                    for batch in file.iter_batches(batch_size=16, row_groups=[group], columns=columns):
                        here = wanted[(wanted >= start) & (wanted < start + batch.num_rows)] - start
                        yield from batch.take(pa.array(here)).to_pylist()
                        start += batch.num_rows
                start = stop

    def dataset(self, stage: str, table: str) -> pads.Dataset:
        """All committed rows of ``table`` made by ``stage``, as a pyarrow dataset (lazy; filters are pushed down).

        Raises:
            StoreError: The stage has committed nothing of that table.
        """
        paths = [self.path(c.files[table]) for c in self.commits(stage).values() if table in c.files]
        if not paths:
            raise StoreError(f"{self.root}: no {table} yet; run `biomedica {stage.split('/', maxsplit=1)[0]}` first")
        return pads.dataset(paths, filesystem=self.filesystem, format="parquet")


class _AtomicFile:
    """Context manager behind :meth:`Store.atomic_file`."""

    def __init__(self, store: Store, path: str) -> None:
        self._store = store
        self._target = store.path(path)
        # where a rename into the store is possible, so on its own disk when it is local
        folder = Path(store.path(_UNFINISHED) if store.is_local else tempfile.gettempdir())
        folder.mkdir(parents=True, exist_ok=True)
        self._local = folder / f"biomedica-{uuid.uuid4().hex}"

    def __enter__(self) -> Path:
        return self._local

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if kind is None and self._store.is_local:
                Path(self._target).parent.mkdir(parents=True, exist_ok=True)
                self._local.replace(self._target)
            elif kind is None:
                # Not pyarrow's copy_files, which says nothing when a server refuses an object that is one PUT.
                with (
                    self._local.open("rb") as source,
                    self._store.filesystem.open_output_stream(self._target) as target,
                ):
                    shutil.copyfileobj(source, target, _COPY_BYTES)
        finally:
            self._local.unlink(missing_ok=True)


class UnitWriter:
    """Writes the tables of one unit, row group by row group, and commits them together.

    File names come from the unit and the fingerprint of its inputs: a second attempt at the same work replaces the
    first one's files by equal ones, so retries and leftovers of killed workers do no harm.
    """

    def __init__(self, store: Store, stage: str, unit: int, fingerprint: str, run_id: str) -> None:
        self._store = store
        self._commit = Commit(stage, unit, fingerprint, run_id=run_id)
        self._tables: dict[str, TableWriter] = {}
        self._files: dict[str, tuple[str, _AtomicFile]] = {}
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for table in self._tables.values():
            table.abort()
        for _, file in self._files.values():
            file.__exit__(StoreError, None, None)

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
        self._tables[name] = TableWriter(self._store, path, schema)
        return self._tables[name]

    def file(self, name: str, path: str) -> Path:
        """A local path to write a file of any kind to, which becomes ``path`` below the root at the commit."""
        self._files[name] = (path, self._store.atomic_file(path))
        return self._files[name][1].__enter__()

    def commit(self, counts: Counts, *, complete: bool = True) -> Commit:
        """Make everything written visible, at once; then remove what an earlier commit of this unit left.

        Args:
            counts: What became of the unit's rows.
            complete: As in :class:`Commit`.

        Raises:
            LostRowsError: Rows came in that are neither out nor errors, or the errors table has not as many rows as
                there are errors; nothing is committed then.
        """
        self._check(counts)
        for table in self._tables.values():
            table.close()
        for _, file in self._files.values():
            file.__exit__(None, None, None)
        tables = {name: table.path for name, table in self._tables.items()}
        commit = Commit(
            self._commit.stage,
            self._commit.unit,
            self._commit.fingerprint,
            {**tables, **{name: path for name, (path, _) in self._files.items()}},
            counts,
            self._commit.run_id,
            round(time.monotonic() - self._started, 3),
            f"{socket.gethostname()}:{os.getpid()}",
            complete,
        )
        try:
            before = set(self._store.commit(commit.stage, commit.unit).files.values())
        except FileNotFoundError:
            before = set()
        self._store.write_json(f"commits/{commit.stage}/{commit.unit:06d}.json", commit.to_json())
        for path in before - set(commit.files.values()):
            self._store.delete(path)
        self._tables, self._files = {}, {}
        return commit

    def _check(self, counts: Counts) -> None:
        lost = lost_rows(counts)
        counted = sum(flow.errors for flow in counts.values())
        written = self._tables["errors"].rows if "errors" in self._tables else counted
        if not lost and counted != written:
            lost = f"rows lost: {counted:,} errors, but {written:,} in the errors table"
        if lost:
            raise LostRowsError(f"{self._commit.stage}, unit {self._commit.unit}: {lost}")


class TableWriter:
    """An unfinished Parquet file; ``path`` is where it will be, below the root."""

    def __init__(self, store: Store, path: str, schema: pa.Schema) -> None:
        self.path = path
        self._schema = schema
        self._file = store.atomic_file(path)
        self._writer: pq.ParquetWriter | None = pq.ParquetWriter(self._file.__enter__(), schema, compression="zstd")
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

    def _gather(self) -> None:
        """Make a table of the rows that wait."""
        if self._rows:
            self._add(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def _add(self, table: pa.Table) -> None:
        self._pending.append(table if table.schema.equals(self._schema) else table.cast(self._schema))
        self._pending_bytes += table.nbytes
        if self._pending_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        assert self._writer is not None
        if self._pending:
            table = pa.concat_tables(self._pending)
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
        self._file.__exit__(None, None, None)

    def abort(self) -> None:
        """Throw the file away, unless it has been closed."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._file.__exit__(StoreError, None, None)


def open_filesystem(
    uri: str, endpoint_url: str | None = None, *, anonymous: bool = False, timeout_s: float | None = None
) -> tuple[pafs.FileSystem, str]:
    """The pyarrow filesystem of a local path or ``s3://`` URI, and the path within it, without a trailing slash.

    Args:
        uri: A local path, ``file://`` URI or ``s3://bucket/prefix``.
        endpoint_url: For S3, a server other than AWS.
        anonymous: For S3, send unsigned requests.
        timeout_s: For S3, give up a request that is not answered within this time, at the second try.

    Raises:
        StoreError: A scheme other than file or s3.
    """
    if uri.startswith("s3://"):
        # a small file is one PUT, not the three requests of an upload in parts
        options: dict[str, Any] = {"anonymous": anonymous, "allow_delayed_open": True}
        if timeout_s:
            options |= {"connect_timeout": timeout_s, "request_timeout": timeout_s}
            options["retry_strategy"] = pafs.AwsStandardS3RetryStrategy(max_attempts=2)
        if endpoint_url:
            scheme, _, host = endpoint_url.rpartition("://")
            options |= {"endpoint_override": host, "scheme": scheme or "https"}
        return pafs.S3FileSystem(**options), uri.removeprefix("s3://").rstrip("/")
    if "://" in uri and not uri.startswith("file://"):
        raise StoreError(f"{uri}: expected a local path or s3://bucket/prefix")
    return pafs.LocalFileSystem(), str(Path(uri.removeprefix("file://")).expanduser().absolute())
