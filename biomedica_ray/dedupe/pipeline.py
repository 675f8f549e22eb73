"""Deduplication: one task compares the slim columns of all units; then the duplicates are written unit by unit."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import ray

from biomedica_ray import schema, usage
from biomedica_ray.annotate.vectors import model_slug
from biomedica_ray.cluster import RETRIES, run_units
from biomedica_ray.config import ConfigError
from biomedica_ray.dedupe.against import find_pieces
from biomedica_ray.dedupe.compared import DOCUMENT, read_compared, write_compared
from biomedica_ray.dedupe.comparison import ROWS_DIGITS, Found, Inputs, compare
from biomedica_ray.dedupe.config import DedupeConfig
from biomedica_ray.dedupe.tasks import WORKER_GB
from biomedica_ray.runs import Run
from biomedica_ray.store import Commit, Store
from biomedica_ray.store.known import write_record
from biomedica_ray.units import Counts, fingerprint

log = logging.getLogger(__name__)

VERSION = 6
"""Raise it when the same input gives other rows."""

_RULES = {"max_distance", "min_correlation", "boilerplate_articles", "semantic_model", "min_cosine"}
"""Settings that change the rows."""
_HASH = "phash"
"""The hash that extract stores; its name is part of the fingerprints of all stores."""


def run(config: DedupeConfig, record: Run) -> None:
    """Compare all articles and figures of the store; commits duplicates, captions and errors unit by unit.

    Every unit depends on all others, so any change compares everything again; but a unit in which the same is found as
    before is not written again, and later stages need not look at it. What was compared is in ``dedupe.json``.

    Raises:
        ConfigError: A set to look in has no pictures, or the semantic model has no embeddings.
        StoreError: Nothing has been extracted yet.
        UnitsFailedError: Units could not be written; all others are done.
    """
    store = record.store
    extracted = store.extracted()
    if store.root in config.against:
        raise ConfigError(f"against: {store.root}: is the store itself; expected another set")
    elsewhere = [find_pieces(uri, config.endpoint_url) for uri in config.against]
    embedded, clustering = _embeddings(store, config.semantic_model, extracted) if config.semantic_model else ({}, {})
    enriched, panelled = store.commits("enrich"), store.commits("panels")
    panelled = {unit: commit for unit, commit in panelled.items() if unit in extracted}
    inputs = Inputs(
        extracted,
        enriched,
        [piece for pieces, _ in elsewhere for piece in pieces],
        panelled,
        embedded,
        clustering.get("file", ""),
    )
    contents = [
        *(
            {unit: commit.content for unit, commit in stage.items()}
            for stage in (extracted, enriched, panelled, embedded)
        ),
        *(state for _, state in elsewhere),
        clustering.get("fingerprint"),
    ]
    compared = fingerprint(VERSION, {"hash": _HASH, **config.model_dump(include=_RULES)}, contents)
    committed = record.committed("dedupe")
    found: Any = None  # stays so when every unit is done and no worker will ask for it
    if committed.keys() == extracted.keys() and read_compared(store).inputs == compared:
        marks = {unit: commit.fingerprint for unit, commit in committed.items()}
    else:
        store.delete(DOCUMENT)  # until all units are written, it would stand for some of before
        task: Any = ray.remote(compare)
        options = {"num_cpus": config.num_cpus, "memory": int(config.memory_gb * 2**30), "max_retries": RETRIES}
        summary, marks, found, used = task.options(num_returns=4, **options).remote(store, inputs, config)
        log.info("dedupe: %s", ray.get(summary))
        marks = ray.get(marks)
        usage.add(ray.get(used))
    run_units(
        record,
        "dedupe",
        marks,
        partial(DedupeWorker, store, record.run_id, found, again=record.again),
        memory_gb=WORKER_GB,
        max_actors=config.max_actors,
    )
    if found is not None:
        write_compared(store, compared, {unit: commit.content for unit, commit in panelled.items()})


def _embeddings(store: Store, model: str, units: Iterable[int]) -> tuple[dict[int, Commit], dict[str, Any]]:
    """The commits of a model's embeddings, and the record of their clusters."""
    slug = model_slug(model)
    embedded = store.commits(f"embed/{slug}")
    try:
        clustering: dict[str, Any] = store.read_json(f"clusters/{slug}.json")
    except FileNotFoundError:
        clustering = {}
    if not clustering or set(units) - embedded.keys():
        raise ConfigError(
            f"semantic_model: {model}: needs its embeddings and clusters of all figures; "
            f"run `biomedica annotate --model {model}` first, then dedupe again"
        )
    return embedded, clustering


class DedupeWorker:
    """Writes what the comparison found in a unit."""

    def __init__(self, store: Store, run_id: str, found: ray.ObjectRef[Found], *, again: bool = False) -> None:
        self._store, self._run_id, self._again, self._found = store, run_id, again, ray.get(found)

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit the duplicates, captions and errors of one unit; returns its counts of articles and figures.

        Where the rows are those of before, as when articles have left the unit, their files stay.
        """
        tables, errors, counts = self._found.of(unit)
        before = None if self._again else self._commit_before(unit)
        if before and before.fingerprint[:ROWS_DIGITS] == mark[:ROWS_DIGITS]:
            after = replace(before, fingerprint=mark, written_as=before.written, counts=counts, run_id=self._run_id)
            write_record(self._store, after)
            return counts
        with self._store.write_unit("dedupe", unit, mark, self._run_id) as writer:
            for name, table in tables.items():
                writer.table(name, schema.TABLES[name]).write(table)
            writer.table("errors", schema.ERRORS, directory="errors/dedupe").write(errors)
            writer.commit(counts)
        return counts

    def _commit_before(self, unit: int) -> Commit | None:
        try:
            return self._store.commit("dedupe", unit)
        except FileNotFoundError:
            return None
