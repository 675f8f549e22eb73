"""Serialization: select figures unit by unit, cut them into shards, write each shard as WebDataset and Parquet."""

from __future__ import annotations

import importlib.metadata
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pyarrow.compute as pc

from biomedica_ray import schema
from biomedica_ray.cluster import on_a_worker, run_units
from biomedica_ray.config import ConfigError
from biomedica_ray.images import ImageError
from biomedica_ray.reading.place import Place
from biomedica_ray.runs import Run
from biomedica_ray.select.pipeline import selected_ids, stage_of
from biomedica_ray.serialize import left_out as selection
from biomedica_ray.serialize import samples
from biomedica_ray.serialize.attribution import AttributionWorker
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.dataset import publish, withdraw
from biomedica_ray.serialize.jpeg import as_jpeg
from biomedica_ray.serialize.plan_table import read_shard
from biomedica_ray.serialize.planning import (
    PLAN_BYTES,
    PLAN_GB,
    SELECTION_KEYS,
    VERSION,
    Planned,
    UnitContents,
    plan_shards,
)
from biomedica_ray.serialize.shard_plan import Integers, Shard
from biomedica_ray.serialize.shards import ShardWriter
from biomedica_ray.serialize.twins import TwinWriter
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import Counts, Flow, LostRowsError, fingerprint

log = logging.getLogger(__name__)

_FORMS = 2
"""A shard is written as a tar and as Parquet; they go to the store when both are complete."""

Row = dict[str, Any]
_Member = tuple[Row, samples.ArticleFields, Row | None, list[str]]
"""A figure, what it shares with its article's others, its label, and other captions of the same picture."""


def run(config: SerializeConfig, record: Run) -> None:
    """Write the dataset; shards that would not change are not written again.

    Raises:
        ConfigError: There is no such selection.
        StoreError: Nothing has been extracted yet.
        UnitsFailedError: Units or shards failed; all others are done, and there is no dataset.json.
        LostRowsError: The shards do not hold every figure that was chosen; there is no dataset.json then either.
    """
    store, place = record.store, Place(config.selection)
    extracted = store.extracted()
    deduped, labelled, enriched = (_contents(store, stage) for stage in ("dedupe", "label", "enrich"))
    if missing := extracted.keys() - deduped.keys():
        log.warning(
            "serialize: %d of %d units are not deduplicated: their repeats stay in", len(missing), len(extracted)
        )
    if missing := extracted.keys() - labelled.keys():
        log.info("serialize: %d of %d units have no labels yet: these stay empty", len(missing), len(extracted))

    wanted = _selection(store, config.selection, len(extracted)) if config.selection else {}

    keys = config.model_dump(include=SELECTION_KEYS)
    marks = {
        unit: fingerprint(VERSION, keys, commit.content, deduped.get(unit), enriched.get(unit), wanted.get(unit))
        for unit, commit in extracted.items()
    }
    select = partial(SelectionWorker, store, record.run_id, config)
    run_units(record, place.stage, marks, select, memory_gb=config.memory_gb, max_actors=config.max_actors)

    contents = {
        unit: UnitContents(commit.written, labelled.get(unit), enriched.get(unit)) for unit, commit in extracted.items()
    }
    committed = record.committed(place.shards_stage)
    n_figures = sum(commit.counts["figures"].rows_out for commit in extracted.values())
    planned = on_a_worker(
        partial(plan_shards, store, contents, config, {n: c.fingerprint for n, c in committed.items()}),
        memory_gb=max(config.memory_gb, PLAN_GB + PLAN_BYTES * n_figures / 2**30),
    )
    if {number: commit.fingerprint for number, commit in committed.items()} != planned.marks:
        withdraw(store, place)
    _check_plan(record.counts["figures"].rows_out, planned)
    _tell_plan(planned, record)
    largest = max((shard.size for shard in planned.shards.values()), default=0)
    disk_bytes = int(bytes_of_a_figure(store, extracted) * _FORMS * largest)
    log.info("serialize: %d shards; each worker needs %.2g GB of disk", len(planned.shards), disk_bytes / 1e9)
    record.results["disk_bytes_per_worker"] = disk_bytes
    write = partial(ShardWorker, store, record.run_id, config, planned.shards, disk_bytes)
    run_units(
        record, place.shards_stage, planned.marks, write, memory_gb=config.memory_gb, max_actors=config.max_actors
    )

    rows = store.dataset(place.shards_stage, "shards").to_table().sort_by("path").to_pylist() if planned.shards else []
    if not rows:
        log.warning("serialize: no figure was chosen: the dataset is empty")
    credits_mark = fingerprint(VERSION, [row["sha256"] for row in rows])
    run_units(
        record,
        place.attribution_stage,
        {0: credits_mark},
        partial(AttributionWorker, store, record.run_id, place, rows),
        memory_gb=config.memory_gb,
    )
    settings = config.model_dump(
        include={"samples_per_shard", "max_outdated", "jpeg_quality", "keep_metadata", *SELECTION_KEYS}
    )
    settings |= {"version": importlib.metadata.version("biomedica_ray"), "outdated": planned.outdated}
    if config.selection:
        chosen = store.read_json(f"selections/{config.selection}.json")
        settings["query"] = {key: chosen[key] for key in ("where", "balance", "cap", "seed")}
    publish(store, place, rows, settings)
    record.results["dataset"] = store.uri(place.folder("dataset"))
    record.results["shards"] = len(rows)


def _check_plan(chosen: int, planned: Planned) -> None:
    """Fail where the plan of the shards has not all figures that were chosen, or some of them twice."""
    in_plan = sum(shard.size for shard in planned.shards.values())
    in_plan += planned.waiting - planned.outdated
    if chosen != in_plan:
        raise LostRowsError(f"rows lost: {chosen:,} figures chosen, but {in_plan:,} in the plan of the shards")


def _tell_plan(planned: Planned, record: Run) -> None:
    record.results |= {"outdated": planned.outdated, "waiting": planned.waiting}
    if planned.outdated:
        log.info(
            "serialize: %d samples of earlier versions of articles stay in shards that would have to be written anew "
            "for few of them; %d of the later versions wait. --max_outdated 0 writes all as of now",
            planned.outdated,
            planned.waiting,
        )


def _selection(store: Store, name: str, n_units: int) -> dict[int, str]:
    """What changes, unit by unit, when a selection does."""
    try:
        store.read_json(f"selections/{name}.json")
    except FileNotFoundError:
        raise ConfigError(
            f"selection: {name}: no such selection in {store.root}; run `biomedica select` first"
        ) from None
    contents = _contents(store, stage_of(name))
    if len(contents) < n_units:
        log.warning("serialize: %d of %d units are not in selection %s", n_units - len(contents), n_units, name)
    return contents


def _contents(store: Store, stage: str) -> dict[int, str]:
    return {unit: commit.content for unit, commit in store.commits(stage).items()}


class SelectionWorker:
    """Decides for each figure of a unit whether and where it is written."""

    def __init__(self, store: Store, run_id: str, config: SerializeConfig) -> None:
        self._store, self._run_id, self._config = store, run_id, config
        self._place = Place(config.selection)

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit the samples of one unit, and an error for each figure that is left out; returns the counts.

        Figures that are not in the selection are counted as skipped.
        """
        extracted = self._store.commit("extract", unit)
        articles = self._store.read(extracted, "articles", selection.ARTICLE_COLUMNS).to_pylist()
        figures = self._store.read(extracted, "figures", selection.FIGURE_COLUMNS, row="row").to_pylist()
        repeats, others = _rows(self._store, "dedupe", unit, "duplicates", "captions")
        duplicates, captions = _grouped(repeats, "id"), _grouped(others, "figure_id")
        pubmed = _pubmed(self._store, unit)
        name = self._config.selection
        selected = selected_ids(self._store, name, unit) if name else None
        by_id = {article["article_id"]: article for article in articles}
        for article_id in by_id.keys() & pubmed.keys():  # PubMed knows of retractions that the XML does not mention
            by_id[article_id]["is_retracted"] |= pubmed[article_id]["is_retracted"]
        chosen: list[Row] = []
        left_out, withheld, skipped = [], set(), 0
        for figure in figures:
            if selected is not None and figure["figure_id"] not in selected:
                skipped += 1
                continue
            article = by_id[figure["article_id"]]
            reason = selection.reason_left_out(figure, article, duplicates, self._config)
            if reason:
                left_out.append(_error(figure["figure_id"], reason.kind, reason.message))
                if reason.kind in selection.WITHHELD:
                    withheld.add(figure["article_id"])
                continue
            fractions = self._config.validation_fraction, self._config.test_fraction
            split = selection.split_of(article["article_id"], duplicates, *fractions)
            group = selection.group_of(figure, article)
            also_captioned = [each["caption"] for each in captions.get(figure["figure_id"], ())]
            sample = {name: figure[name] for name in ("row", "figure_id", "article_id")}
            chosen.append({**sample, "license_group": group, "split": split, "also_captioned": also_captioned})
        for sample in chosen:
            sample["article_whole"] = sample["article_id"] not in withheld
        place = self._place
        with self._store.write_unit(place.stage, unit, mark, self._run_id) as writer:
            written = writer.table("samples", schema.SAMPLES, directory=place.folder("samples"))
            written.write(chosen)
            errors = writer.table("errors", schema.ERRORS, directory=place.folder("errors/serialize"))
            errors.write(left_out)
            flow = Flow(extracted.counts["figures"].rows_out, written.rows, errors.rows, skipped)
            return writer.commit({"figures": flow}).counts


def bytes_of_a_figure(store: Store, extracted: Mapping[int, Commit]) -> float:
    """How large a figure is on average, with its row, as extract stored it; 0 of an empty store."""
    figures = sum(commit.counts["figures"].rows_out for commit in extracted.values())
    stored = store.total_bytes("figures") + store.total_bytes("images")
    return stored / figures if figures else 0.0


class ShardWorker:
    """Writes shards, sample by sample.

    Args:
        store: The store.
        run_id: The run.
        config: The stage's.
        shards: All shards by number.
        disk_bytes: What the largest of them takes on this machine's disk until it is in the store.

    Raises:
        StoreError: The disk has less room than that.
    """

    def __init__(
        self, store: Store, run_id: str, config: SerializeConfig, shards: Mapping[int, Shard], disk_bytes: int
    ) -> None:
        self._store, self._run_id, self._shards = store, run_id, shards
        self._config, self._place = config, Place(config.selection)
        store.check_room(disk_bytes, "samples_per_shard")

    def __call__(self, number: int, mark: str) -> Counts:
        """Write and commit one shard; returns the counts of its samples."""
        shard, lost = self._shards[number], []
        path, parquet = shard.path("webdataset", "tar"), shard.path("parquet", "parquet")
        quality, keep_metadata = self._config.jpeg_quality, self._config.keep_metadata
        place, folder = self._place, self._place.folder("dataset")
        with self._store.write_unit(place.shards_stage, number, mark, self._run_id) as writer:
            with (
                ShardWriter(writer.file("webdataset", f"{folder}/{path}")) as tar,
                TwinWriter(writer.file("parquet", f"{folder}/{parquet}")) as twin,
            ):
                for figure, shared, label, also_captioned in self._members(shard):
                    try:
                        jpg, size = as_jpeg(figure, quality, keep_metadata=keep_metadata)
                    except ImageError as error:
                        lost.append(_error(figure["figure_id"], error.kind, str(error)))
                        continue
                    key, caption = samples.sample_key(figure["figure_id"]), figure["caption"]
                    fields = samples.sample_fields(figure, shared, label, size, also_captioned)
                    tar.write(key, jpg, caption, fields)
                    twin.write(samples.parquet_row(key, jpg, caption, fields))
            row = {
                "path": path,
                "parquet": parquet,
                "license_group": shard.license_group,
                "split": shard.split,
                "samples": tar.samples,
                "bytes": tar.size,
                "sha256": tar.sha256,
                "parquet_bytes": twin.size,
                "parquet_sha256": twin.sha256,
            }
            writer.table("shards", schema.SHARDS, directory=place.folder("shards")).write([row])
            errors = writer.table("errors", schema.ERRORS, directory=place.folder("errors/serialize-shards"))
            errors.write(lost)
            in_both_forms = min(tar.samples, twin.samples)
            return writer.commit({"samples": Flow(shard.size, in_both_forms, errors.rows)}).counts

    def _members(self, shard: Shard) -> Iterator[_Member]:
        planned = read_shard(self._store, self._place, shard)
        for unit in np.unique(planned.unit).tolist():
            yield from self._members_of_unit(unit, planned.row[planned.unit == unit])

    def _members_of_unit(self, unit: int, rows: Integers) -> Iterator[_Member]:
        """The figures of a shard that are in a unit, with what goes with each."""
        chosen = self._store.read(self._store.commit(self._place.stage, unit), "samples", ["row", "also_captioned"])
        captions = dict(zip(chosen["row"].to_pylist(), chosen["also_captioned"].to_pylist(), strict=True))
        extracted = self._store.commit("extract", unit)
        articles = self._store.read(extracted, "articles", samples.ARTICLE_COLUMNS)
        sets = self._store.read(extracted, "figures", samples.SET_COLUMNS)
        (labelled,) = _rows(self._store, "label", unit, "labels")
        labels = {row["figure_id"]: row for row in labelled}
        pubmed = _pubmed(self._store, unit)
        shared: samples.ArticleFields | None = None
        figures = self._store.rows(extracted, "figures", rows.tolist(), samples.FIGURE_COLUMNS)
        for row, figure in zip(rows.tolist(), figures, strict=True):
            if shared is None or shared.article["article_id"] != figure["article_id"]:
                own = pc.field("article_id") == figure["article_id"]
                article = articles.filter(own).to_pylist()[0]
                its_set = tuple(sets.filter(own).to_pylist())
                shared = samples.ArticleFields(article, its_set, pubmed.get(article["article_id"]))
            yield figure, shared, labels.get(figure["figure_id"]), captions[row]


def _pubmed(store: Store, unit: int) -> dict[str, Row]:
    """PubMed's records of a unit's articles, by article_id."""
    (rows,) = _rows(store, "enrich", unit, "pubmed")
    return {row["article_id"]: row for row in rows}


def _rows(store: Store, stage: str, unit: int, *tables: str) -> list[list[Row]]:
    """The rows of tables of a unit; none where the stage has not done the unit, or had no such table yet."""
    try:
        commit = store.commit(stage, unit)
    except FileNotFoundError:
        return [[] for _ in tables]
    return [store.read(commit, table).to_pylist() if table in commit.files else [] for table in tables]


def _grouped(rows: Iterable[Row], key: str) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return groups


def _error(figure_id: str, kind: str, message: str) -> Row:
    return schema.error_row("serialize", figure_id, kind, message)
