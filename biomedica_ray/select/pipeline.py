"""Selection: find the figures that meet a query unit by unit, then take at most a given number of each group."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray import schema
from biomedica_ray.ahead import map_in_threads
from biomedica_ray.cluster import on_a_worker, run_units
from biomedica_ray.runs import Run
from biomedica_ray.select import balance
from biomedica_ray.select.columns import (
    KEYS,
    PANEL_LABELS_OF,
    RECKONED,
    TABLES,
    Column,
    find_column,
    is_texts,
    join,
    of_panels,
    of_whole_figures,
)
from biomedica_ray.select.config import SelectConfig
from biomedica_ray.select.where import Condition, parse
from biomedica_ray.store import Commit, Store, StoreError
from biomedica_ray.units import AsJson, Counts, Flow, fingerprint

log = logging.getLogger(__name__)

VERSION = 1
"""Raise it when the same query finds other figures."""

_STAGES = {
    "figures": "extract",
    "articles": "extract",
    "labels": "label",
    "image_labels": "classify",
    "panel_labels": "classify",
    "panels": "panels",
    "duplicates": "dedupe",
}
"""The stage that makes each table."""


def stage_of(name: str) -> str:
    """The stage under which a selection is committed."""
    return f"select/{name}"


def run(config: SelectConfig, record: Run) -> None:
    """Write the selection: its figures unit by unit, and last ``selections/<name>.json``, with query and counts.

    Raises:
        StoreError: Nothing has been extracted yet, or a stage whose columns the query names has not run.
        UnitsFailedError: Units failed; all others are done, and there is no ``selections/<name>.json``.
    """
    store, stage = record.store, stage_of(config.name)
    query = Query(config)
    stages = {table: _STAGES[table] for table in ["figures", *query.others]}
    inputs = {made_by: store.commits(made_by) for made_by in dict.fromkeys(stages.values())}
    for table, made_by in stages.items():
        if not inputs[made_by]:
            raise StoreError(f"{store.root}: no {table} yet; run `biomedica {made_by}` first")
    keys = config.model_dump(include={"name", "where", "balance", "seed"})
    marks = {
        unit: fingerprint(VERSION, keys, {name: _content(of.get(unit)) for name, of in inputs.items()})
        for unit in inputs["extract"]
    }
    options: dict[str, Any] = {"memory_gb": config.memory_gb, "max_actors": config.max_actors}
    match = partial(MatchWorker, store, record.run_id, config)
    found = run_units(record, f"{stage}/matching", marks, match, inputs=inputs, **options)

    count = partial(count_groups, store, list(found.values()), config.cap)
    matching, highest = on_a_worker(count, memory_gb=config.memory_gb)
    ranks = AsJson.of(highest)
    marks = {unit: fingerprint(mark, config.cap, ranks) for unit, mark in marks.items()}
    if {unit: commit.fingerprint for unit, commit in record.committed(stage).items()} != marks:
        store.delete(f"selections/{config.name}.json")
    take = partial(TakeWorker, store, record.run_id, config.name, highest)
    chosen = run_units(record, stage, marks, take, inputs={f"{stage}/matching": found}, **options)

    count = partial(count_groups, store, list(chosen.values()), None)
    taken, _ = on_a_worker(count, memory_gb=config.memory_gb)
    document = {
        **config.model_dump(include={"name", "where", "balance", "cap", "seed"}),
        "figures": record.counts["figures"].rows_in,
        "matching": record.counts["figures"].rows_out,
        "selected": record.counts["matching"].rows_out,
        "groups": {group: {"matching": n, "selected": taken.get(group, 0)} for group, n in matching.items()},
    }
    if not document["selected"]:
        log.warning("select: no figure of %d meets where: %s", document["figures"], config.where)
    store.write_json(f"selections/{config.name}.json", document)
    record.results |= {"selection": store.uri(f"selections/{config.name}.json"), "selected": document["selected"]}


def _content(commit: Commit | None) -> str | None:
    return commit.content if commit else None


class Query:
    """What is asked of each unit."""

    def __init__(self, config: SelectConfig) -> None:
        self.condition: Condition | None = parse(config.where) if config.where else None
        self.balanced: Column | None = find_column(config.balance) if config.balance else None
        columns = set(self.condition.columns) if self.condition else set()
        self.columns: set[Column] = columns | {self.balanced} if self.balanced else columns

    @property
    def others(self) -> list[str]:
        """The tables that it needs beside the figures."""
        return sorted({column.table for column in self.columns} - {"figures"})

    def names(self, table: str) -> list[str]:
        """The columns of a table that have to be read."""
        keys = {"figures": {"figure_id", "article_id"}, "duplicates": {"id", "kind"}}.get(table, {KEYS[table]})
        own = {column.name for column in self.columns if column.own_first} if table == "figures" else set()
        wanted = {column.name for column in self.columns if column.table == table}
        reckoned = wanted & RECKONED.keys() if table == "figures" else set()
        stored = {name for column in reckoned for name in RECKONED[column].of}
        return sorted(keys | own | wanted - reckoned | stored)


class MatchWorker:
    """Finds the figures of a unit that meet the query."""

    def __init__(self, store: Store, run_id: str, config: SelectConfig) -> None:
        self._store, self._run_id, self._config = store, run_id, config
        self._query = Query(config)

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit the figures of one unit that meet the query, with rank and groups; returns the counts."""
        query, seed = self._query, self._config.seed
        extracted = self._store.commit("extract", unit)
        figures = self._store.read(extracted, "figures", query.names("figures"))
        others = (self._read(unit, table) for table in query.others)
        joined = join(figures, dict(zip(query.others, others, strict=True)), query.columns)
        chosen = figures.append_column("row", pa.array(range(len(figures))))
        skipped = 0
        if query.condition:
            met = query.condition.met(joined)
            chosen, skipped = chosen.filter(met), pc.sum(pc.invert(met), min_count=0).as_py()
        ids = chosen["figure_id"].to_pylist()
        groups = [[""]] * len(ids)
        if query.balanced:
            groups = groups_of(joined[str(query.balanced)].take(chosen["row"]))
        n_extracted = extracted.counts["figures"].rows_out
        name = self._config.name
        with self._store.write_unit(f"{stage_of(name)}/matching", unit, mark, self._run_id) as writer:
            table = pa.table([pa.array(ids, pa.string()), balance.ranks(ids, seed), groups], schema=schema.SELECTIONS)
            written = writer.table("selections", schema.SELECTIONS, directory=f"selections/{name}/matching")
            written.write(table)
            return writer.commit({"figures": Flow(n_extracted, written.rows, skipped=skipped)}).counts

    def _read(self, unit: int, table: str) -> pa.Table:
        """The columns that are needed; without rows where the stage has not done the unit."""
        columns = self._query.names(table)
        try:
            commit = self._store.commit(_STAGES[table], unit)
        except FileNotFoundError:
            return TABLES[table].empty_table().select(columns)
        if table == "panel_labels":
            return of_panels(self._store.read(commit, "image_labels", PANEL_LABELS_OF))
        if table == "image_labels":
            return of_whole_figures(self._store.read(commit, table, sorted({*columns, "panel"})))
        return self._store.read(commit, table, columns)


def groups_of(values: pa.ChunkedArray) -> list[list[str]]:
    """The groups of each figure: its values in a column, as text; one empty text where it has none."""
    if is_texts(values.type):
        return [list(dict.fromkeys(each)) if each else [""] for each in values.to_pylist()]
    return [[""] if value is None else [str(value)] for value in values.to_pylist()]


class TakeWorker:
    """Takes at most a given number of each group."""

    def __init__(self, store: Store, run_id: str, name: str, highest: Mapping[str, int]) -> None:
        self._store, self._run_id, self._name, self._highest = store, run_id, name, highest

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit the selected figures of one unit; returns the counts."""
        stage = stage_of(self._name)
        found = self._store.commit(f"{stage}/matching", unit)
        matching = self._store.read(found, "selections")
        pairs = zip(matching["rank"].to_pylist(), matching["groups"].to_pylist(), strict=True)
        mask = pa.array([balance.taken(rank, groups, self._highest) for rank, groups in pairs], pa.bool_())
        with self._store.write_unit(stage, unit, mark, self._run_id) as writer:
            written = writer.table("selections", schema.SELECTIONS, directory=f"selections/{self._name}")
            written.write(matching.filter(mask))
            flow = Flow(found.counts["figures"].rows_out, written.rows, skipped=mask.false_count)
            return writer.commit({"matching": flow}).counts


def count_groups(store: Store, commits: Sequence[Commit], cap: int | None) -> tuple[dict[str, int], dict[str, int]]:
    """Figures of each group, largest first, and with a cap the highest rank that is taken of those that exceed it.

    Runs as a task, as it reads ranks and groups of all units.
    """
    numbers: dict[str, int] = {}
    pieces = [(np.empty(0, np.int32), np.empty(0, np.uint64))]
    for table in map_in_threads(lambda commit: store.read(commit, "selections", ["rank", "groups"]), commits):
        lists = table["groups"].combine_chunks()
        values = pc.list_flatten(lists).dictionary_encode()
        known = [numbers.setdefault(group, len(numbers)) for group in values.dictionary.to_pylist()]
        its_groups = np.array(known, np.int32)[values.indices.to_numpy()]
        pieces.append((its_groups, table["rank"].to_numpy()[pc.list_parent_indices(lists).to_numpy()]))
    groups, ranks = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
    sizes = dict(zip(numbers, np.bincount(groups, minlength=len(numbers)).tolist(), strict=True))
    ordered = dict(sorted(sizes.items(), key=lambda item: (-item[1], item[0])))
    if not cap:
        return ordered, {}
    names = list(numbers)
    return ordered, {names[group]: rank for group, rank in balance.highest_ranks(groups, ranks, cap).items()}


def selected_ids(store: Store, name: str, unit: int) -> frozenset[str]:
    """The figure_ids of a selection in a unit; none where the unit did not exist when the selection was made."""
    try:
        commit = store.commit(stage_of(name), unit)
    except FileNotFoundError:
        return frozenset()
    return frozenset(store.read(commit, "selections", ["figure_id"])["figure_id"].to_pylist())
