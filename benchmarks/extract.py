"""Overhead of the extract stage: articles/s on Ray against a bare multiprocessing pool calling the same functions.

Packages are replicated, by links, until there is enough work. Each round measures, one after the other, the pool, the
Ray pipeline over the same packages, and the Ray pipeline over a bucket whose every answer comes late. The pool extracts
and writes nothing; the pipeline also writes its tables. Steady state: from the first commit that the slowest worker
makes to the last commit that all workers are still busy at; start-up is what comes before the first unit starts. The
bucket's server has the same cores, so the processor time that it takes for each article is told as well.

    python -m benchmarks.extract --articles 14000
    python -m benchmarks.extract memory --articles 20000
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests.fakes

from biomedica_ray.cluster import connect
from biomedica_ray.extract.config import ExtractConfig
from biomedica_ray.extract.listing import make_source, write_listing
from biomedica_ray.extract.pipeline import UNITS_AT_A_TIME, ExtractWorker, extract_article
from biomedica_ray.extract.pipeline import run as run_extract
from biomedica_ray.runs import Run
from biomedica_ray.sample import PACKAGES
from biomedica_ray.sources.base import Listed
from biomedica_ray.sources.filters import Filters, Selection
from biomedica_ray.sources.packages import PackagesSource
from biomedica_ray.store import Store
from biomedica_ray.units import ARTICLES_PER_UNIT
from tests.fakes.s3 import CREDENTIALS
from tests.fakes.served_bucket import served_bucket

WORKERS = 2


@dataclass(frozen=True)
class Speed:
    """Articles a second in steady state, seconds before it and of it, and what the server took for each article."""

    articles_per_s: float
    start_up_s: float
    seconds: float
    server_ms: float = 0


def replicate(packages: Path, root: Path, n: int) -> list[str]:
    """Make ``n`` packages out of the folders of ``packages``, by symbolic links; returns their names."""
    folders = sorted(path for path in packages.iterdir() if path.is_dir())
    names = []
    for i in range(n):
        folder = folders[i % len(folders)]
        names.append(f"PMC{10_000_000 + i}")
        for file in (path for path in folder.resolve().rglob("*") if path.is_file()):
            target = root / names[-1] / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(file)
    return names


def steady(ends: list[tuple[float, int, str]], started: float) -> Speed:
    """The rate while all workers are busy.

    Args:
        ends: When each piece of work ended, how many articles it was, and which worker did it.
        started: When everything was asked for.
    """
    by_worker: dict[str, list[tuple[float, int]]] = {}
    for when, n, worker in sorted(ends):
        by_worker.setdefault(worker, []).append((when, n))
    first = max(pieces[0][0] for pieces in by_worker.values())
    last = min(pieces[-1][0] for pieces in by_worker.values())
    # Each worker's own rate between its first and last end, so that no piece is cut.
    rates = [sum(n for _, n in pieces[1:]) / (pieces[-1][0] - pieces[0][0]) for pieces in by_worker.values()]
    if len(rates) != WORKERS or last <= first:
        raise SystemExit(f"{len(rates)} workers were never busy together; give more --articles")
    rate = sum(rates)
    done_before = sum(n for when, n, _ in ends if when <= first)
    return Speed(rate, max(0.0, first - started - done_before / rate), last - first)


_source: PackagesSource
_lock = contextlib.nullcontext()


def _open_source(packages: str) -> None:
    global _source  # noqa: PLW0603 - a pool's processes have no other place for it
    _source = PackagesSource(packages)


def _extract(listed: list[Listed]) -> tuple[float, int, str]:
    for one in listed:
        extract_article(_source, Filters(), _lock, one)
    return time.time(), len(listed), str(os.getpid())


def pool_speed(packages: Path) -> Speed:
    """A pool of processes, each calling ``extract_article`` on lists of articles."""
    listed = Listed.from_table(PackagesSource(str(packages)).list())
    pieces = [listed[i : i + ARTICLES_PER_UNIT] for i in range(0, len(listed), ARTICLES_PER_UNIT)]
    started = time.time()
    with multiprocessing.get_context("spawn").Pool(WORKERS, _open_source, (str(packages),)) as pool:
        return steady(list(pool.imap_unordered(_extract, pieces)), started)


def ray_speed(**source: object) -> Speed:
    """The extract stage, as ``biomedica extract`` runs it; units are told by their commits."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as root:
        values = {"store": root, "max_actors": WORKERS, **source}
        config = ExtractConfig.model_validate(values)
        started = time.time()
        with Run("extract", config) as run:
            run_extract(config, run)
        ends = []
        for commit in run.store.commits("extract").values():
            when = (Path(root) / f"commits/extract/{commit.unit:06d}.json").stat().st_mtime
            ends.append((when, commit.counts["articles"].rows_in, commit.worker))
        return steady(ends, started)


def bucket_speed(url: str, server: psutil.Process, n: int) -> Speed:
    """The extract stage over the bucket, and the processor time of the bucket's server."""
    before = sum(server.cpu_times()[:2])
    found = ray_speed(source="pmc", source_endpoint_url=url)
    return replace(found, server_ms=(sum(server.cpu_times()[:2]) - before) / n * 1000)


def speed(packages: Path, n: int, rounds: int, latency_s: float) -> None:
    """Print the table of speeds."""
    found: dict[str, list[Speed]] = {}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        replicate(packages, Path(folder), n)
        with connect("local"), served_bucket(Path(folder), latency_s) as (url, pid):
            ways: dict[str, Callable[[], Speed]] = {
                "multiprocessing pool, local": lambda: pool_speed(Path(folder)),
                "Ray, local": lambda: ray_speed(source="packages", packages=folder),
                f"Ray, bucket, {latency_s * 1000:.0f} ms": lambda: bucket_speed(url, psutil.Process(pid), n),
            }
            for _ in range(rounds):
                for name, measure in ways.items():
                    found.setdefault(name, []).append(measure())
    print("| way | articles/s (each round) | median | start-up, s | steady for, s ", end="")
    print("| server, CPU ms an article | ratio to the line above |")
    print("|---|---|---|---|---|---|---|")
    above: list[Speed] = []
    for name, speeds in found.items():
        each = ", ".join(f"{s.articles_per_s:.1f}" for s in speeds)
        median, start, length, server = (
            statistics.median(values) for values in zip(*map(astuple, speeds), strict=True)
        )
        ratios = [b.articles_per_s / a.articles_per_s for a, b in zip(above, speeds, strict=True)] if above else []
        ratio = f"{statistics.median(ratios):.2f}" if ratios else ""
        print(f"| {name} | {each} | {median:.1f} | {start:.1f} | {length:.0f} | {server:.1f} | {ratio} |")
        above = speeds


def memory(packages: Path, n: int) -> None:
    """Print the resident memory of one worker over ``n`` articles, unit after unit."""
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder, _quiet():
        base = Path(folder) / "packages"
        names = replicate(packages, base, min(n, 500))
        config = ExtractConfig(store=str(Path(folder) / "store"), source="packages", packages=str(base), units=2)
        store, source = Store(config.store), make_source(config)
        listing = write_listing(config, Selection(), "", store, "benchmark")
        worker = ExtractWorker(source, Filters(), store, "benchmark", 16)
        print("| articles | RSS, MiB |\n|---|---|")
        done, told = 0, 0
        with ThreadPoolExecutor(UNITS_AT_A_TIME) as pool:
            while done < n:
                marks = [f"{done:08x}"] * len(listing.units)
                done += sum(counts["articles"].rows_in for counts in pool.map(worker, listing.units, marks))
                if done >= told:
                    print(f"| {done:,} | {rss_mib():.0f} |", flush=True)
                    told += max(len(names), n // 10)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def rss_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("speed", "memory"), default="speed")
    parser.add_argument("--packages", type=Path, default=PACKAGES, help="folder of packages; default: the sample")
    parser.add_argument("--articles", type=int, default=14_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before each answer of the bucket")
    options = parser.parse_args()
    os.environ.update(CREDENTIALS)
    if options.what == "memory":
        memory(options.packages, options.articles)
    else:
        speed(options.packages, options.articles, options.rounds, options.latency)


if __name__ == "__main__":
    main()
