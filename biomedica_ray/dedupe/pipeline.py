"""Deduplication: one actor compares the slim columns of all units; then each unit gets its duplicates."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import ray

from biomedica_ray import schema
from biomedica_ray.cluster import run_units
from biomedica_ray.config import DedupeConfig
from biomedica_ray.dedupe.articles import article_duplicates, in_order
from biomedica_ray.dedupe.figures import Candidates, figure_duplicates, find_candidates
from biomedica_ray.dedupe.slim import figure_error, read_slim
from biomedica_ray.dedupe.thumbnails import SIDE, thumbnail
from biomedica_ray.images import ImageError, decode
from biomedica_ray.runs import Run
from biomedica_ray.store import Commit, Store, StoreError
from biomedica_ray.units import Counts, Flow, fingerprint

log = logging.getLogger(__name__)

VERSION = 1
"""Raise it when the same input would give other rows."""

_WORKER_GB = 0.5
"""Memory of a task that reads one unit's images, or writes one unit's duplicates."""
_PARALLEL_READS = 16

Row = dict[str, Any]


def run(config: DedupeConfig, run: Run) -> None:
    """Compare all articles and figures of the store; commits duplicates and errors unit by unit.

    Every unit depends on all others, so they share one fingerprint, and any change compares everything again.

    Raises:
        StoreError: Nothing has been extracted yet.
        UnitsFailedError: Units could not be written; all others are done.
    """
    extracted = run.store.commits("extract")
    if not extracted:
        raise StoreError(f"{run.store.root}: nothing extracted yet; run `biomedica extract` first")
    contents = {unit: commit.content for unit, commit in extracted.items()}
    mark = fingerprint(VERSION, config.max_distance, config.min_correlation, contents)
    committed = run.store.commits("dedupe")
    comparison: Any = None  # stays so when every unit is done and no worker will ask it
    if any(unit not in committed or committed[unit].fingerprint != mark for unit in extracted):
        # It waits while the units are written: that takes memory, but no CPU.
        actor = ray.remote(Comparison).options(num_cpus=0, memory=int(config.memory_gb * 2**30))
        comparison = actor.remote(run.store, extracted, config)
        log.info("dedupe: %s", ray.get(comparison.compare.remote()))
    run_units(
        run,
        "dedupe",
        dict.fromkeys(extracted, mark),
        partial(DedupeWorker, run.store, run.run_id, comparison),
        memory_gb=_WORKER_GB,
        max_actors=config.max_actors,
    )


class DedupeWorker:
    """Writes what the comparison found in a unit; lives on an actor."""

    def __init__(self, store: Store, run_id: str, comparison: Any) -> None:
        self._store, self._run_id, self._comparison = store, run_id, comparison

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit the duplicates and errors of one unit; returns its counts of articles and figures."""
        counts: Counts
        duplicates, errors, counts = ray.get(self._comparison.found_in.remote(unit))
        with self._store.write_unit("dedupe", unit, mark, self._run_id) as writer:
            writer.table("duplicates", schema.DUPLICATES).write(duplicates)
            writer.table("errors", schema.ERRORS, directory="errors/dedupe").write(errors)
            writer.commit(counts)
        return counts


class Comparison:
    """Compares everything, and holds what it found until each unit has it; is an actor."""

    def __init__(self, store: Store, extracted: Mapping[int, Commit], config: DedupeConfig) -> None:
        self._store, self._extracted, self._config = store, extracted, config
        self._duplicates = pa.table({})
        self._errors: dict[int, list[Row]] = defaultdict(list)
        self._counts: dict[int, Counts] = {}

    def compare(self) -> str:
        """Find all duplicates; returns what was found, in a line."""
        with ThreadPoolExecutor(_PARALLEL_READS) as pool:
            slim = list(pool.map(partial(read_slim, self._store), self._extracted.values()))
        for unit, columns in zip(self._extracted, slim, strict=True):
            self._counts[unit] = columns.counts
            self._errors[unit] += columns.errors
        articles = in_order(pa.concat_tables(columns.articles for columns in slim))
        figures = pa.concat_tables(columns.figures for columns in slim)
        del slim

        repeated = article_duplicates(articles)
        place = pc.index_in(figures["article_id"], articles["article_id"].combine_chunks())
        follows = pc.is_in(figures["article_id"], repeated["id"].combine_chunks())
        compared = figures.append_column("article", place).filter(pc.invert(follows))
        candidates = find_candidates(compared, self._config.max_distance)
        repeats = figure_duplicates(candidates, self._thumbnails(candidates), self._config.min_correlation)
        self._duplicates = pa.concat_tables(
            [_with_unit(repeated, articles, "article_id"), _with_unit(repeats, figures, "figure_id")]
        )
        return (
            f"{repeated.num_rows:,} of {articles.num_rows:,} articles and {repeats.num_rows:,} of "
            f"{compared.num_rows:,} figures compared repeat others; {len(candidates.rows):,} were looked at twice"
        )

    def found_in(self, unit: int) -> tuple[pa.Table, list[Row], Counts]:
        """The duplicates, the errors and the counts of one unit."""
        duplicates = self._duplicates.filter(pc.field("unit") == unit).drop_columns(["unit"])
        return duplicates, self._errors[unit], self._counts[unit]

    def _thumbnails(self, candidates: Candidates) -> npt.NDArray[np.uint8]:
        """Thumbnails (k, 1024) of the candidates, made unit by unit wherever there is room.

        A figure that does not decode becomes an error; its thumbnail stays blank, which is like no other.
        """
        chosen = candidates.figures.take(pa.array(candidates.rows))
        units, rows = chosen["unit"].to_numpy(), chosen["row"].to_numpy()
        result = np.zeros((len(rows), SIDE * SIDE), np.uint8)
        task = ray.remote(_unit_thumbnails).options(num_cpus=1, memory=int(_WORKER_GB * 2**30), max_retries=3)
        pending: dict[ray.ObjectRef[Any], tuple[int, npt.NDArray[np.int64]]] = {}
        for unit in np.unique(units).tolist():
            members = np.flatnonzero(units == unit)
            members = members[np.argsort(rows[members])]
            pending[task.remote(self._store, self._extracted[unit], rows[members])] = (unit, members)
        while pending:
            done, _ = ray.wait(list(pending), num_returns=1)
            unit, members = pending.pop(done[0])
            result[members], errors = ray.get(done[0])
            self._errors[unit] += errors
            self._counts[unit]["figures"] += Flow(0, -len(errors), len(errors))
        return result


def _with_unit(duplicates: pa.Table, rows: pa.Table, key: str) -> pa.Table:
    units = rows["unit"].take(pc.index_in(duplicates["id"], rows[key].combine_chunks()))
    return duplicates.add_column(0, "unit", units)


def _unit_thumbnails(
    store: Store, commit: Commit, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint8], list[Row]]:
    """Thumbnails of the figures at ``rows`` of a unit, and error rows for those that do not decode."""
    thumbnails = np.zeros((len(rows), SIDE * SIDE), np.uint8)
    errors: list[Row] = []
    for index, figure in enumerate(store.rows(commit, "figures", rows.tolist(), ["figure_id", "image"])):
        try:
            thumbnails[index] = thumbnail(decode(figure["image"]))
        except ImageError as error:
            errors.append(figure_error(figure["figure_id"], error.kind, str(error)))
    return thumbnails, errors
