"""Runs: one start of one stage, its log, its progress and its record ``runs/<run_id>/run.json``."""

from __future__ import annotations

import importlib.metadata
import logging
import platform
import secrets
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from biomedica_ray import tracing, usage
from biomedica_ray.ahead import map_in_threads
from biomedica_ray.config import StageConfig
from biomedica_ray.logs import LogFormat, about, set_up_logging
from biomedica_ray.messages import one_line
from biomedica_ray.progress import Progress
from biomedica_ray.store import Commit, Store, StoreError
from biomedica_ray.store.lease import Lease, lease_path
from biomedica_ray.units import Counts, LostRowsError, add_counts, counts_to_json, lost_rows
from biomedica_ray.usage import Usage

if TYPE_CHECKING:
    from biomedica_ray.metrics import RunMetrics

log = logging.getLogger(__name__)

_RECORDED_PACKAGES = (
    "biomedica_ray",
    "ray",
    "pyarrow",
    "lxml",
    "pillow",
    "torch",
    "open_clip_torch",
    "timm",
    "scikit-learn",
)


@dataclass(frozen=True)
class UnitsOf:
    """What a worker knows of the run whose units it does; it travels to the workers.

    Attributes:
        store: The run's store.
        run_id: The run.
        stage: Its stage.
        log_format: How its workers log.
    """

    store: Store
    run_id: str
    stage: str
    log_format: LogFormat

    @contextmanager
    def unit(self, stage: str, unit: int) -> Iterator[None]:
        """While the block does a unit, log lines name it, and of a few units ``runs/<run_id>/`` gets a trace.

        Args:
            stage: Name under which the unit is committed.
            unit: The unit.
        """
        _set_up_once(self.run_id, self.stage, self.log_format)
        with about(unit):
            if not tracing.is_traced(unit):
                yield
                return
            with tracing.traced() as trace, tracing.span("unit", f"{stage} {unit}"):
                yield
            path = f"runs/{self.run_id}/trace-{stage.replace('/', '-')}-{unit:06d}.json"
            try:
                self.store.write_json(path, trace)
            except (OSError, StoreError) as error:  # the unit is done all the same
                log.warning("%s: not written: %s", self.store.uri(path), one_line(error))


_set_up_once = cache(set_up_logging)
"""In a worker, which does many units of a run."""


class Run:
    """One start of one stage; a context manager that writes the run's record when it starts and when it ends.

    Attributes:
        run_id: Time, stage and a random suffix; part of every log line and commit.
        store: The store it works on.
        counts: What became of the rows, by kind; the stage adds to it.
        before: The part of the counts that earlier runs had done already.
        lease: Path of the run's lease, relative to the store's root.
        results: Further numbers of the stage (losses, accuracies, paths).
        again: Whether to do again what has been done.
        units_of: What workers need to know of it.
    """

    def __init__(self, stage: str, config: StageConfig) -> None:
        now = datetime.now(UTC)
        self.stage = stage
        self.run_id = f"{now:%Y%m%dT%H%M%S}-{stage}-{secrets.token_hex(3)}"
        self.store = Store(config.store, config.endpoint_url)
        self.counts: Counts = {}
        self.before: Counts = {}
        self.results: dict[str, Any] = {}
        self.again = config.again
        self._config = config
        self._started = now
        self._clock = time.monotonic()
        self._recorded = False
        self._metrics: RunMetrics | None = None
        part = f"{stage}/{config.part}" if config.part else stage
        self._lease = Lease(self.store, part, self.run_id, wait=config.wait)
        self.lease = lease_path(part)
        self.units_of = UnitsOf(self.store, self.run_id, stage, config.log_format)
        self._usage: Usage = {}

    def add(self, counts: Counts, *, before: bool = False) -> None:
        """Add to the counts; ``before`` says that an earlier run has done this part."""
        self._record_start()
        self.counts = add_counts(self.counts, counts)
        if before:
            self.before = add_counts(self.before, counts)
        elif self._metrics:
            self._metrics.add(counts)
        self._count_usage()

    def _count_usage(self) -> None:
        """Add what this process has taken, and what workers have told it, to the metrics and to the record."""
        taken = usage.take()
        self._usage = usage.sum_of(self._usage, taken)
        if self._metrics:
            self._metrics.use(taken)

    def committed(self, stage: str) -> dict[int, Commit]:
        """What ``stage`` has committed and need not do again, by unit: what this run itself makes, not what it reads.

        Units whose files somebody has deleted are none of it; their records go, so that no one looks for the files.
        With the config's ``again`` nothing is.
        """
        commits = self.store.commits(stage)
        missing = self.store.without_files(commits.values())
        if missing:
            unit = min(missing)
            log.warning(
                "%s: files of %d units are missing (%s first); these units are done again",
                stage,
                len(missing),
                self.store.uri(missing[unit]),
            )
            list(map_in_threads(self.store.drop, [commits.pop(unit) for unit in missing]))
        return {} if self.again else commits

    def progress(self, what: str, total: int | None, *, done: int = 0, rows: int = 0) -> Progress:
        """A progress display for ``total`` pieces of work named ``what`` (units, steps, shards).

        Args:
            what: Name of the pieces.
            total: How many there are; None when that is not known.
            done: How many an earlier run has done.
            rows: Their rows.
        """
        self._record_start()
        tell = partial(self._metrics.pieces, what, total=total) if self._metrics else None
        return Progress(self.stage, what, total, done=done, rows=rows, tell=tell)

    def __enter__(self) -> Self:
        set_up_logging(self.run_id, self.stage, self._config.log_format)
        usage.take()  # of what came before
        self._lease.__enter__()
        try:
            self._start()
        except BaseException:
            self._lease.__exit__()
            raise
        return self

    def _start(self) -> None:
        from biomedica_ray.metrics import RunMetrics  # noqa: PLC0415 - Ray, which reading records of runs needs not

        self._metrics = RunMetrics(self.stage, self.run_id)
        if self.store.exists():
            self._record_start()
        log.info("%s: store %s", self.stage, self.store.root)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            self._end(error)
        finally:
            self._lease.__exit__()

    def _end(self, error: BaseException | None) -> None:
        self._count_usage()
        self.results["usage"] = usage.rounded(self._usage)
        lost = lost_rows(self.counts)
        status, failure = ("failed", lost) if lost else ("done", None)
        if isinstance(error, KeyboardInterrupt):
            status, failure = "stopped", None
        elif error is not None:
            status, failure = "failed", f"{type(cause(error)).__name__}: {cause(error)}"
        if self._recorded:
            self._record(status, failure, "".join(traceback.format_exception(error)) if failure and error else None)
        for name, flow in self.counts.items():
            log.info("%s: %s: %s", self.stage, name, flow)
        seconds = time.monotonic() - self._clock
        log.log(logging.ERROR if failure else logging.INFO, "%s: %s after %.1f s", self.stage, status, seconds)
        if error is None and lost:
            raise LostRowsError(f"{self.stage}: {lost}")

    def _record_start(self) -> None:
        """Record that the run has begun.

        Where there is no store yet this waits for its first work, so that a start that fails leaves nothing behind.
        """
        if not self._recorded:
            self._recorded = True
            self._record("running")

    def _record(self, status: str, failure: str | None = None, trace: str | None = None) -> None:
        record = {
            "run_id": self.run_id,
            "stage": self.stage,
            "status": status,
            "failure": failure,
            "traceback": trace,
            "started": self._started.isoformat(timespec="microseconds"),
            "seconds": round(time.monotonic() - self._clock, 2),
            "counts": counts_to_json(self.counts),
            "before": counts_to_json(self.before),
            "results": self.results,
            "config": self._config.model_dump(mode="json"),
            "versions": _versions(),
            "git_commit": git_commit(Path(__file__)),
            "command": sys.argv,
        }
        self.store.write_json(f"runs/{self.run_id}/run.json", record)


def cause(error: BaseException) -> BaseException:
    """What went wrong in a Ray task, without the traceback that Ray wraps it in; other errors as they are."""
    found = getattr(error, "cause", None)
    return found if isinstance(found, BaseException) else error


def read_runs(store: Store) -> list[dict[str, Any]]:
    """Every run's record, oldest first; dry runs, which did nothing, are left out."""
    records = map_in_threads(partial(_read_run, store), store.folders("runs"))
    done = (record for record in records if record is not None and "dry_run" not in record["results"])
    return sorted(done, key=lambda record: str(record["started"]))


def _read_run(store: Store, name: str) -> dict[str, Any] | None:
    """A run's record; None of a folder that has none, as what copies or cleans stores leaves them behind."""
    try:
        record: dict[str, Any] = store.read_json(f"runs/{name}/run.json")
    except FileNotFoundError:
        log.debug("%s: no record of a run", store.uri(f"runs/{name}"))
        return None
    return record


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in _RECORDED_PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def git_commit(file: Path) -> str | None:
    """The commit of the checkout that a file is tracked in, with '+' if the checkout has changes; None without one.

    A repository that merely surrounds the environment in which the package is installed says nothing about it.
    """
    git = ["git", "-C", str(file.parent)]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", file.name], capture_output=True, check=True, timeout=10)
        found = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True, timeout=10)
        dirty = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() + ("+" if dirty.stdout.strip() else "")
