"""The Ray cluster: joining or starting one, and running the units of a stage in tasks or on actors."""

from __future__ import annotations

import json
import logging
import os
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import ray
import ray.data
from ray._private import worker  # the only place that knows how often a task was begun

from biomedica_ray import head_node, usage
from biomedica_ray.ahead import map_in_threads
from biomedica_ray.config import ConfigError
from biomedica_ray.head_node import ClusterError
from biomedica_ray.messages import last_line, one_line
from biomedica_ray.runs import Run, UnitsOf, cause
from biomedica_ray.stopping import terminable
from biomedica_ray.store import Commit, Store, StoreError
from biomedica_ray.store.known import as_text, knowing
from biomedica_ray.units import Counts, Flow
from biomedica_ray.usage import Usage

log = logging.getLogger(__name__)

RETRIES = 3
"""How often a unit is tried again after its worker died; a unit that kills workers must not do so forever."""

MOST_TASKS = 4_000
"""Tasks of a run of units: each costs the driver some 25 ms of a processor, and 25,000 of them ten minutes."""

TRIES_MORE = 2
"""How often units that failed are tried again, after all others are done."""
_ALL = 8
"""Where more units than this are to be done and every one fails, they are not tried again."""
_NAMED = 20
"""Failed units that a message names."""

T = TypeVar("T")
Row = dict[str, Any]
Records = Mapping[str, Mapping[int, Commit]]
"""Stage -> unit -> commit."""

_LOST = "its worker died"


class StageFailedError(Exception):
    """A stage could not do its work; the message says why in one line."""


class UnitsFailedError(StageFailedError):
    """Some units of a stage failed; the others are committed and a rerun tries only the failed ones."""


class UnitWorker(Protocol):
    """Does and commits one unit of a stage; made once in each process."""

    def __call__(self, unit: int, fingerprint: str, /) -> Counts:
        """Do the unit and commit it under ``fingerprint``; returns the counts of the commit."""
        ...


@contextmanager
def connect(address: str) -> Iterator[None]:
    """Join the cluster at ``address``, or the one whose job this process is, or start one here; leave it at the end.

    Inside a Ray job, ``RAY_ADDRESS`` names the cluster and takes precedence over ``address``. SIGTERM, which Ray would
    otherwise answer with a crash, raises :class:`Terminated` in the block.

    Raises:
        ConfigError: The address is not one of a cluster.
        ClusterError: Nobody answers at the address, or Ray cannot start here.
    """
    if ray.is_initialized():
        yield
        return
    # An error is raised where a result is read; of a task with two of them, Ray would print that of the other as well.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    in_environment = os.environ.get("RAY_ADDRESS")
    address = in_environment or address
    if address == "local":
        # It listens on this machine only, and ends with this process.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    elif address != "auto":
        head_node.find(address, "RAY_ADDRESS" if in_environment else "ray_address")
    try:
        ray.init(
            address=address,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.WARNING,
        )
    except Exception as error:  # Ray raises whatever it met: a full disk, a port in use, a process that ended
        what = (
            "Ray cannot start here" if address == "local" else f"cannot join a Ray cluster with ray_address {address}"
        )
        raise ClusterError(f"{what}: {one_line(error)}") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False  # ours counts rows and errors
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)  # says that the bars are off
    try:
        with terminable():
            yield
    finally:
        ray.shutdown()


def cluster_resource(name: str) -> float:
    """How much of a resource (CPU, GPU) the cluster has now."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return float(resources.get(name, 0))


def on_a_worker(
    work: Callable[[], T], *, num_cpus: float = 1, num_gpus: float = 0, memory_gb: float | None = None
) -> T:
    """``work()`` in one task, as the driver may be a small machine; raises what it raises, without Ray's wrapping.

    Args:
        work: Module-level function, or a partial of one.
        num_cpus: CPUs of the task.
        num_gpus: GPUs of the task.
        memory_gb: Memory that it reserves; None reserves none.
    """
    task: Any = ray.remote(with_usage)
    memory = int(memory_gb * 2**30) if memory_gb is not None else None
    options = {"num_cpus": num_cpus, "num_gpus": num_gpus, "memory": memory, "max_retries": RETRIES}
    try:
        result: T
        result, used = ray.get(task.options(**options).remote(work))
    except ray.exceptions.RayTaskError as error:
        raise cause(error) from error
    usage.add(used)
    return result


def with_usage(work: Callable[..., T], *arguments: Any, **keys: Any) -> tuple[T, Usage]:
    """``work(...)`` in a task of its own, and what it has taken, which whoever asked for it adds to what they took."""
    return work(*arguments, **keys), usage.take_work()


def run_units(
    run: Run,
    stage: str,
    units: Mapping[int, str],
    make_worker: Callable[[], UnitWorker],
    *,
    num_cpus: float = 1,
    num_gpus: float = 0,
    memory_gb: float,
    max_actors: int | None = None,
    inputs: Records | None = None,
    repeatable: bool = True,
) -> dict[int, Commit]:
    """Do what is missing of ``units`` in tasks, and drop what the stage made of units that no longer exist.

    Ray Data sizes blocks by bytes, so rows that are small and mean much work end up in one block and one task; here
    each unit is a block and a task of its own, or few neighbours are where there would be more than
    :data:`MOST_TASKS`. A unit is done when its commit has the wanted fingerprint. A task that dies is tried again
    :data:`RETRIES` times; units that shared it are then done each apart from the others.

    Args:
        run: The run; counts of all units, done now or before, are added to it.
        stage: Name under which units are committed.
        units: Unit -> fingerprint of its inputs and settings.
        make_worker: Called once in each process that does units of this run and stage.
        num_cpus: CPUs of a task.
        num_gpus: GPUs of a task.
        memory_gb: Memory that a task reserves.
        max_actors: Most tasks at a time; None: as many as the cluster has room for, as it grows.
        inputs: Stage -> unit -> commit of what a unit is made of, which its task need not ask for then.
        repeatable: Whether a unit that is done again has the same rows. Its task is then told what was committed
            before; else it asks, as an attempt that lost its worker may have committed something else.

    Returns:
        The commits of all units, done now or before, in order.

    Raises:
        UnitsFailedError: Units failed, after all others have been done.
    """
    todo, done, before = missing_units(run, stage, units)
    if not todo:
        return done
    known = dict(inputs or {})
    if repeatable and before is not None:
        known[stage] = before
    work = partial(_in_this_process, of=run.units_of, stage=stage, make_worker=make_worker)
    resources: dict[str, Any] = {"num_cpus": num_cpus, "memory": int(memory_gb * 2**30)}
    if num_gpus:
        resources["num_gpus"] = num_gpus

    def in_tasks(rows: ray.data.Dataset) -> ray.data.Dataset:
        with retries_allowed():
            return rows.map(work, compute=ray.data.TaskPoolStrategy(max_actors), max_retries=RETRIES, **resources)

    share = len(todo) > MOST_TASKS
    rows = partial(unit_rows, run.store, units, known=known, most_blocks=MOST_TASKS)
    made = collect_units(run, stage, todo, rows, do=in_tasks, do_apart=in_tasks if share else None)
    return dict(sorted({**done, **made}.items()))


_workers: dict[str, UnitWorker] = {}
"""The worker that this process made last, by run and stage: its models and tables are read once a process."""


def _in_this_process(row: Row, of: UnitsOf, stage: str, make_worker: Callable[[], UnitWorker]) -> Row:
    key = f"{of.run_id} {stage}"

    def work() -> Counts:
        if key not in _workers:
            _workers.clear()
            _workers[key] = make_worker()
        return _workers[key](row["unit"], row["fingerprint"])

    return unit_row(of, stage, row, work)


def run_units_on_actors(
    run: Run,
    stage: str,
    units: Mapping[int, str],
    make_worker: Callable[[], UnitWorker],
    *,
    memory_gb: float,
    max_actors: int,
    at_a_time: int,
    inputs: Records | None = None,
) -> dict[int, Commit]:
    """As :func:`run_units`, on actors, for workers that keep connections open and do several units at a time.

    Args:
        run: The run.
        stage: Name under which units are committed.
        units: Unit -> fingerprint of its inputs and settings.
        make_worker: Called on each actor.
        memory_gb: Memory that an actor reserves.
        max_actors: Most actors at a time; there are fewer while the cluster has no room for them.
        at_a_time: Units that an actor does at a time, in threads.
        inputs: As of :func:`run_units`; what was committed before, tasks ask for.

    Returns:
        The commits of all units, done now or before, in order.

    Raises:
        UnitsFailedError: Units failed, after all others have been done.
        StageFailedError: No actor can start.
    """
    todo, done, _ = missing_units(run, stage, units)
    if not todo:
        return done
    most = min(max_actors, len(todo))
    pool = ray.data.ActorPoolStrategy(
        min_size=int(max(1, min(cluster_resource("CPU"), most))),
        max_size=most,
        max_concurrent_calls_per_actor=at_a_time,
        enable_true_multi_threading=at_a_time > 1,
    )
    actors = Actors(_UnitActor, (run.units_of, stage, make_worker), pool, num_cpus=1, memory_gb=memory_gb)
    rows = partial(unit_rows, run.store, units, known=inputs)
    made = collect_units(run, stage, todo, rows, do=actors.map, do_apart=actors.map_apart)
    return dict(sorted({**done, **made}.items()))


def missing_units(
    run: Run, stage: str, units: Mapping[int, str]
) -> tuple[list[int], dict[int, Commit], dict[int, Commit] | None]:
    """The units that are still to be done; drops what the stage made of units that no longer exist.

    Args:
        run: The run; counts of units that were done before are added to it.
        stage: Name under which units are committed.
        units: Unit -> fingerprint of its inputs and settings.

    Returns:
        The units to do, the commits of the others, and all that the stage has committed before; None where everything
        is done again.
    """
    commits = run.committed(stage)
    there = run.store.commits(stage) if run.again else commits
    list(map_in_threads(run.store.drop, [there.pop(unit) for unit in there.keys() - units.keys()]))
    done = {unit: c for unit, c in commits.items() if c.complete and units.get(unit) == c.fingerprint}
    for commit in done.values():
        run.add(commit.counts, before=True)
    log.info("%s: %d units, %d done before", stage, len(units), len(done))
    return [unit for unit in units if unit not in done], done, None if run.again else commits


@contextmanager
def retries_allowed() -> Iterator[None]:
    """Within it Ray Data takes ``max_retries`` and the like, which 2.60 warns of without naming anything else."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        yield


def unit_rows(
    store: Store,
    units: Mapping[int, str],
    todo: list[int],
    *,
    known: Records | None = None,
    most_blocks: int | None = None,
) -> ray.data.Dataset:
    """One row (unit, fingerprint, records) for each unit to do.

    Args:
        store: The store.
        units: Unit -> fingerprint.
        todo: The units to do.
        known: Stage -> unit -> commit of what the tasks need not ask for; a unit that is missing is not committed.
        most_blocks: How many blocks there may be; None: one for each row.
    """
    rows = [
        {
            "unit": unit,
            "fingerprint": units[unit],
            "records": as_text(store, unit, {stage: commits.get(unit) for stage, commits in (known or {}).items()}),
        }
        for unit in todo
    ]
    return ray.data.from_items(rows, override_num_blocks=min(len(rows), most_blocks or len(rows)))


@dataclass(frozen=True)
class Actors:
    """A pool of actors that does one row at a time.

    Attributes:
        actor: Class of callables from row to row.
        arguments: Its constructor's.
        pool: How many actors.
        num_cpus: CPUs of an actor.
        num_gpus: GPUs of an actor.
        memory_gb: Memory that an actor reserves.
    """

    actor: Callable[..., Callable[[Row], Row]]
    arguments: tuple[Any, ...]
    pool: ray.data.ActorPoolStrategy
    num_cpus: float
    memory_gb: float
    num_gpus: float = 0

    def map(self, dataset: ray.data.Dataset) -> ray.data.Dataset:
        """Each row through an actor; a row whose actor died is tried again :data:`RETRIES` times."""
        options = {"max_restarts": -1, "max_task_retries": RETRIES}
        return self._map(dataset, self.actor, options, fn_constructor_args=self.arguments, compute=self.pool)

    def map_apart(self, dataset: ray.data.Dataset) -> ray.data.Dataset:
        """Each row once, in a task with an actor's work to itself, so that no row suffers from what another does."""
        alone = {"actor": self.actor, "arguments": self.arguments}
        return self._map(dataset, _alone, {"max_retries": 0}, fn_kwargs=alone)

    def _map(self, dataset: ray.data.Dataset, work: Any, options: dict[str, Any], **how: Any) -> ray.data.Dataset:
        resources: dict[str, Any] = {"num_cpus": self.num_cpus, "num_gpus": self.num_gpus}
        with retries_allowed():
            return dataset.map(work, memory=int(self.memory_gb * 2**30), **resources, **options, **how)


def _alone(row: Row, actor: Callable[..., Callable[[Row], Row]], arguments: tuple[Any, ...]) -> Row:
    return actor(*arguments)(row)


def collect_units(
    run: Run,
    stage: str,
    todo: list[int],
    rows: Callable[[list[int]], ray.data.Dataset],
    *,
    do: Callable[[ray.data.Dataset], ray.data.Dataset],
    do_apart: Callable[[ray.data.Dataset], ray.data.Dataset] | None = None,
) -> dict[int, Commit]:
    """Do units, each of which gives one row (unit, and its commit or a failure); shows progress and adds up counts.

    Args:
        run: The run.
        stage: Name under which units are committed.
        todo: The units.
        rows: What the work takes, of some of the units.
        do: Does and commits a unit a row.
        do_apart: The same for units that lost their worker, where units that wait for it share its fate: each apart
            from others.

    Returns:
        Unit -> what was committed.

    Raises:
        UnitsFailedError: As in :func:`run_units`.
        StageFailedError: No actor can start.
    """
    made: dict[int, Commit] = {}
    failures = _collect(run, stage, do(rows(todo)), todo, made)
    lost = [unit for unit, reason in failures.items() if reason == _LOST]
    if lost and do_apart:
        log.warning("%s: %d units lost their workers; each is tried once more, apart from others", stage, len(lost))
        failures = {unit: reason for unit, reason in failures.items() if reason != _LOST}
        failures |= _collect(run, stage, do_apart(rows(lost)), lost, made)
    for attempt in range(1, TRIES_MORE + 1):
        # Those that lost their workers were tried again each time; where all fail, no unit is to blame.
        failed = [unit for unit, reason in failures.items() if reason != _LOST]
        if not failed or len(failed) == len(todo) > _ALL:
            break
        log.warning("%s: %d units failed; they are tried again (%d of %d)", stage, len(failed), attempt, TRIES_MORE)
        failures = {unit: reason for unit, reason in failures.items() if reason == _LOST}
        failures |= _collect(run, stage, do(rows(failed)), failed, made)
    if failures:
        run.results["failed_units"] = {f"{stage} {unit}": last_line(reason) for unit, reason in failures.items()}
        unit, *others = sorted(failures)
        also = f", then {', '.join(map(str, others[:_NAMED]))}" if others else ""
        also += f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
        reason = last_line(failures[unit])
        raise UnitsFailedError(f"{len(failures)} of {len(todo)} units failed, unit {unit} first{also}: {reason}")
    run.store.keep_commits(stage, made.values())
    return made


def _collect(
    run: Run, stage: str, dataset: ray.data.Dataset, todo: list[int], made: dict[int, Commit]
) -> dict[int, str]:
    """Unit -> why it failed, of those that did; the commits of the others are added to ``made``."""
    dataset.context.max_errored_blocks = -1
    dataset.context.actor_init_retry_on_errors = True
    dataset.context.actor_init_max_retries = RETRIES
    failures = dict.fromkeys(todo, _LOST)
    told = set[str]()
    with run.progress("units", len(todo)) as progress:
        try:
            for row in dataset.iter_rows():
                usage.add(json.loads(row["usage"]))
                if row["failure"]:
                    if (reason := last_line(row["failure"])) not in told:
                        log.error("%s: unit %d failed: %s", stage, row["unit"], row["failure"])
                        told.add(reason)
                    failures[row["unit"]] = row["failure"]
                    continue
                del failures[row["unit"]]
                commit = made[row["unit"]] = Commit.from_json(json.loads(row["commit"]))
                run.add(commit.counts)
                total = sum(commit.counts.values(), Flow())
                progress.update(rows=total.rows_out, errors=total.errors)
        except ray.exceptions.RayError as error:
            raise StageFailedError(f"no worker can start: {last_line(cause(error))}") from error
    return failures


def unit_row(of: UnitsOf, stage: str, row: Row, work: Callable[[], object]) -> Row:
    """The row that :func:`collect_units` reads.

    Args:
        of: The run.
        stage: Name under which the unit is committed.
        row: A row of :func:`unit_rows`.
        work: Does the unit and commits it.
    """
    if _was_begun_before():
        usage.count("again", stage)
    try:
        with knowing(row["records"]) as known, of.unit(stage, row["unit"]):
            work()
        if not known.made:
            raise RuntimeError(f"{stage}: unit {row['unit']} was done, and not committed")
        usage.count("units", stage)
        commit = json.dumps(known.made[-1].to_json())
        return {"unit": row["unit"], "commit": commit, "failure": "", "usage": json.dumps(usage.take_work())}
    except (ConfigError, StoreError, OSError) as error:
        failure = f"{type(error).__name__}: {' '.join(str(error).split())}"
    except Exception:  # noqa: BLE001 - whatever goes wrong in one unit, the others go on and the driver tells
        failure = traceback.format_exc()
    return failed_row(row, failure, json.dumps(usage.take_work()))


def failed_row(row: Row, failure: str, used: str) -> Row:
    """The row that :func:`collect_units` reads of a unit that failed, and of what it took, as JSON."""
    return {"unit": row["unit"], "commit": "", "failure": failure, "usage": used}


def _was_begun_before() -> bool:
    """Whether Ray has given this task to a worker before, which was lost."""
    process: Any = worker.global_worker
    return bool(process.connected and process.core_worker.get_current_task_attempt_number())


class _UnitActor:
    def __init__(self, of: UnitsOf, stage: str, make_worker: Callable[[], UnitWorker]) -> None:
        self._of, self._stage, self._worker = of, stage, make_worker()

    def __call__(self, row: Row) -> Row:
        return unit_row(self._of, self._stage, row, lambda: self._worker(row["unit"], row["fingerprint"]))
