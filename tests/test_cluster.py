from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from biomedica_ray.cluster import (
    RETRIES,
    TRIES_MORE,
    StageFailedError,
    UnitsFailedError,
    run_units,
    run_units_on_actors,
)
from biomedica_ray.dedupe.config import DedupeConfig
from biomedica_ray.runs import Run, read_runs
from biomedica_ray.store import Store, StoreError
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.units import Counts, Flow, LostRowsError

SCHEMA = pa.schema([("unit", pa.int32())])


class Worker:
    """Writes one row a unit; fails, dies or waits for a second worker where a file in the store's folder says so."""

    def __init__(self, store: Store) -> None:
        root = Path(store.root)
        with (root / "made").open("a") as file:
            file.write(f"{os.getpid()}\n")
        if (root / "no-weights").exists() or len((root / "made").read_text().split()) <= (root / "bad-starts").exists():
            raise OSError(f"{root}/weights: no such file")
        self._store = store
        self._running = 0

    def __call__(self, unit: int, fingerprint: str) -> Counts:
        root = Path(self._store.root)
        if (fails := root / f"fail-{unit}").exists():
            left = int(fails.read_text())
            fails.write_text(str(left - 1)) if left > 1 else fails.unlink()
            raise ValueError(f"unit {unit} is spoiled")
        if (root / f"die-once-{unit}").exists():
            (root / f"die-once-{unit}").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        if (root / f"die-{unit}").exists():
            with (root / f"die-{unit}").open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        self._running += 1
        (root / f"worker-{os.getpid()}").touch()
        deadline = time.monotonic() + 60
        while (root / "wait-for-two").exists() and len([*root.glob("worker-*")]) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(0.2)
        (root / f"{self._running}-at-a-time").touch()
        self._running -= 1
        with self._store.write_unit("stage", unit, fingerprint) as writer:
            writer.table("rows", SCHEMA).write([{"unit": unit}])
            return writer.commit({"rows": Flow(1, 1, 0)}).counts


def start(root: Path, units: dict[int, str], *, again: bool = False) -> Run:
    with Run("dedupe", DedupeConfig(store=str(root), again=again)) as run:
        run_units(run, "stage", units, partial(Worker, run.store), memory_gb=0.1)
    return run


def start_on_actors(root: Path, units: dict[int, str], at_a_time: int = 1) -> Run:
    with Run("dedupe", DedupeConfig(store=str(root))) as run:
        worker = partial(Worker, run.store)
        run_units_on_actors(run, "stage", units, worker, memory_gb=0.1, max_actors=2, at_a_time=at_a_time)
    return run


@pytest.mark.cluster
def test_units_are_done_once_by_all_workers_and_only_what_changed_again(ray_cluster: None, tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    (tmp_path / "wait-for-two").touch()
    assert start(tmp_path, dict.fromkeys(range(12), "aa")).counts == {"rows": Flow(12, 12, 0)}
    first = store.commits("stage")
    workers = {commit.worker for commit in first.values()}
    assert len(workers) == 2
    assert len((tmp_path / "made").read_text().split()) == len(workers)  # and not once a unit
    assert start(tmp_path, dict.fromkeys(range(12), "aa")).counts == {"rows": Flow(12, 12, 0)}
    assert store.commits("stage") == first
    start(tmp_path, {0: "aa", 1: "bb"})
    after = store.commits("stage")
    assert sorted(after) == [0, 1]
    assert after[0] == first[0]
    assert after[1].fingerprint == "bb"


@pytest.mark.cluster
def test_a_worker_does_as_many_units_at_a_time_as_it_may(ray_cluster: None, tmp_path: Path) -> None:
    (tmp_path / "wait-for-two").touch()
    run = start_on_actors(tmp_path, dict.fromkeys(range(40), "aa"), at_a_time=2)
    assert run.counts == {"rows": Flow(40, 40, 0)}
    assert len({commit.worker for commit in run.store.commits("stage").values()}) == 2
    assert (tmp_path / "2-at-a-time").exists()
    assert not (tmp_path / "3-at-a-time").exists()


@pytest.mark.cluster
def test_one_bad_unit_costs_no_other(ray_cluster: None, tmp_path: Path) -> None:
    for unit, times in {1: TRIES_MORE, 3: 9, 4: 9}.items():
        (tmp_path / f"fail-{unit}").write_text(str(times))
    message = r"2 of 6 units failed, unit 3 first, then 4: ValueError: unit 3 is spoiled"
    with pytest.raises(UnitsFailedError, match=message):
        start(tmp_path, dict.fromkeys(range(6), "aa"))
    store = Store(str(tmp_path))
    assert sorted(store.commits("stage")) == [0, 1, 2, 5]
    (run,) = read_runs(store)
    assert run["status"] == "failed"
    assert run["results"]["failed_units"] == {f"stage {n}": f"ValueError: unit {n} is spoiled" for n in (3, 4)}
    for unit in (3, 4):
        assert (tmp_path / f"fail-{unit}").read_text() == str(9 - 1 - TRIES_MORE)
        (tmp_path / f"fail-{unit}").unlink()
    start(tmp_path, dict.fromkeys(range(6), "aa"))
    assert sorted(store.commits("stage")) == [0, 1, 2, 3, 4, 5]


@pytest.mark.cluster
def test_units_that_all_fail_are_not_tried_again(ray_cluster: None, tmp_path: Path) -> None:
    for unit in range(10):
        (tmp_path / f"fail-{unit}").write_text("9")
    with pytest.raises(UnitsFailedError, match="10 of 10 units failed, unit 0 first, then 1, 2"):
        start(tmp_path, dict.fromkeys(range(10), "aa"))
    assert (tmp_path / "fail-0").read_text() == "8"


@pytest.mark.cluster
@pytest.mark.parametrize("deleted", ["rows", "rows/000002-aa.parquet"])
def test_what_somebody_deleted_is_made_again(ray_cluster: None, tmp_path: Path, deleted: str) -> None:
    units = dict.fromkeys(range(4), "aa")
    start(tmp_path, units)
    whole = tmp_path / deleted
    shutil.rmtree(whole) if whole.is_dir() else whole.unlink()
    run = start(tmp_path, units)
    assert run.counts == {"rows": Flow(4, 4)}
    assert run.before.get("rows", Flow()).rows_out == (0 if deleted == "rows" else 3)
    assert Store(str(tmp_path)).dataset("stage", "rows").to_table().num_rows == 4


@pytest.mark.cluster
def test_again_does_what_is_done(ray_cluster: None, tmp_path: Path) -> None:
    units = dict.fromkeys(range(3), "aa")
    start(tmp_path, units)
    assert start(tmp_path, units).before == {"rows": Flow(3, 3)}
    again = start(tmp_path, units, again=True)
    assert (again.counts, again.before) == ({"rows": Flow(3, 3)}, {})
    start(tmp_path, {unit: mark for unit, mark in units.items() if unit != max(units)}, again=True)
    assert set(again.store.commits("stage")) == units.keys() - {max(units)}  # what is no longer there is dropped


def test_a_store_of_another_format_is_refused_by_every_stage(tmp_path: Path) -> None:
    Store(str(tmp_path)).write_json("store.json", {"format": 99, "units": 1})
    with pytest.raises(StoreError, match=r"store.json: format 99, expected 2; use the version"), start_empty(tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"store.json", ".unfinished"}


def test_two_runs_of_a_stage_do_not_write_to_a_store_at_once(tmp_path: Path) -> None:
    with start_empty(tmp_path) as first:
        with pytest.raises(StoreError, match=f"dedupe is held by {first.run_id}"), start_empty(tmp_path):
            pass
        with Run("train", TrainConfig(store=str(tmp_path), name="one")):
            pass


@pytest.mark.cluster
@pytest.mark.parametrize("run", [start, start_on_actors])
def test_a_killed_worker_is_replaced_and_its_unit_done(
    ray_cluster: None, tmp_path: Path, run: Callable[..., Run]
) -> None:
    for unit in (1, 4):
        (tmp_path / f"die-once-{unit}").touch()
    assert run(tmp_path, dict.fromkeys(range(6), "aa")).counts == {"rows": Flow(6, 6, 0)}


@pytest.mark.cluster
@pytest.mark.parametrize(("run", "most_tries"), [(start, 1 + RETRIES), (start_on_actors, 1 + RETRIES + 1)])
def test_a_unit_that_kills_its_worker_each_time_is_given_up(
    ray_cluster: None, tmp_path: Path, run: Callable[..., Run], most_tries: int
) -> None:
    """And no unit that waited for the same worker is."""
    (tmp_path / "die-2").touch()
    with pytest.raises(UnitsFailedError, match="1 of 4 units failed, unit 2 first: its worker died"):
        run(tmp_path, dict.fromkeys(range(4), "aa"))
    assert sorted(Store(str(tmp_path)).commits("stage")) == [0, 1, 3]
    assert len((tmp_path / "die-2").read_text()) <= most_tries


@pytest.mark.cluster
def test_units_that_share_a_task_do_not_share_its_end(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biomedica_ray.cluster.MOST_TASKS", 3)
    (tmp_path / "die-4").touch()
    with pytest.raises(UnitsFailedError, match="1 of 8 units failed, unit 4 first: its worker died"):
        start(tmp_path, dict.fromkeys(range(8), "aa"))
    assert sorted(Store(str(tmp_path)).commits("stage")) == [0, 1, 2, 3, 5, 6, 7]
    (tmp_path / "die-4").unlink()
    assert start(tmp_path, dict.fromkeys(range(8), "aa")).counts == {"rows": Flow(8, 8, 0)}


@pytest.mark.cluster
@pytest.mark.parametrize(("run", "failure"), [(start, UnitsFailedError), (start_on_actors, StageFailedError)])
def test_a_worker_that_cannot_start_is_one_line(
    ray_cluster: None, tmp_path: Path, run: Callable[..., Run], failure: type[Exception]
) -> None:
    (tmp_path / "no-weights").touch()
    with pytest.raises(failure, match=r"^[^\n]*OSError: [^\n]*weights: no such file$"):
        run(tmp_path, dict.fromkeys(range(2), "aa"))


@pytest.mark.cluster
def test_an_actor_whose_start_fails_once_is_tried_again(ray_cluster: None, tmp_path: Path) -> None:
    (tmp_path / "bad-starts").touch()
    assert start_on_actors(tmp_path, dict.fromkeys(range(4), "aa")).counts == {"rows": Flow(4, 4, 0)}


def test_lost_rows_fail_the_run(tmp_path: Path) -> None:
    with pytest.raises(LostRowsError, match="dedupe: rows lost: figures: 3 in but 1 out"), start_empty(tmp_path) as run:
        run.add({"figures": Flow(3, 1, 1)})
    assert read_runs(Store(str(tmp_path)))[0]["failure"] == "rows lost: figures: 3 in but 1 out + 1 errors"


def start_empty(root: Path) -> Run:
    return Run("dedupe", DedupeConfig(store=str(root)))
