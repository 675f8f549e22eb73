"""Serialization: select figures unit by unit, cut them into shards, write each shard as WebDataset and Parquet."""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

from biomedica_ray import schema
from biomedica_ray.ahead import map_in_threads
from biomedica_ray.cluster import on_a_worker, run_units
from biomedica_ray.config import ConfigError
from biomedica_ray.dedupe.compared import read_compared
from biomedica_ray.images import ImageError
from biomedica_ray.runs import Run
from biomedica_ray.select.pipeline import stage_of
from biomedica_ray.serialize.choosing import SelectionWorker
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.dataset import previous, publish, withdraw
from biomedica_ray.serialize.gathered import GatheringWorker
from biomedica_ray.serialize.material import MaterialWorker, discard, paths
from biomedica_ray.serialize.members import made_samples, read_members
from biomedica_ray.serialize.origins import annotation, listing_date
from biomedica_ray.serialize.planning import (
    SELECTION_KEYS,
    VERSION,
    Planned,
    UnitContents,
    plan_gb,
    plan_shards,
)
from biomedica_ray.serialize.samples import parquet_row, sample_key
from biomedica_ray.serialize.shard_plan import Shard
from biomedica_ray.serialize.shards import ShardWriter
from biomedica_ray.serialize.twins import TwinWriter
from biomedica_ray.store import Commit, Store, StoreError
from biomedica_ray.units import Counts, Flow, LostRowsError, fingerprint

log = logging.getLogger(__name__)

_FORMS = 2
"""A shard is written as a tar and as Parquet; they go to the store when both are complete."""

Row = dict[str, Any]


def run(config: SerializeConfig, record: Run) -> None:
    """Write the dataset; shards that would not change are not written again.

    Raises:
        ConfigError: There is no such selection.
        StoreError: Nothing has been extracted yet, or panels are asked for and not there, or not compared by dedupe.
        UnitsFailedError: Units or shards failed; all others are done, and there is no dataset.json.
        LostRowsError: The shards do not hold every figure that was chosen; there is no dataset.json then either.
    """
    store, place = record.store, config.place
    extracted = store.extracted()
    stages = ("dedupe", "label", "classify", "enrich", "panels")
    inputs = {"extract": extracted, **{stage: store.commits(stage) for stage in stages}}
    deduped, labelled, classified, enriched, panelled = (_contents(inputs[stage]) for stage in stages)
    _tell_missing(len(extracted), len(extracted.keys() - deduped.keys()), len(extracted.keys() - labelled.keys()))
    with_panels = config.pairs != "figures"
    if with_panels:
        check_panels(store, config.pairs, extracted.keys(), deduped.keys(), panelled)

    wanted: dict[int, str] = {}
    if config.selection:
        inputs[stage_of(config.selection)] = chosen = _selection(store, config.selection, len(extracted))
        wanted = _contents(chosen)

    keys = config.model_dump(include=SELECTION_KEYS)
    marks = {
        unit: fingerprint(
            VERSION,
            keys,
            commit.content,
            *(stage.get(unit) for stage in (deduped, enriched, wanted, panelled if with_panels else {})),
        )
        for unit, commit in extracted.items()
    }
    select = partial(SelectionWorker, store, record.run_id, config)
    options: dict[str, Any] = {"memory_gb": config.memory_gb, "max_actors": config.max_actors}
    selected = run_units(record, place.stage, marks, select, inputs=inputs, **options)

    contents = {
        unit: UnitContents(commit.written, *(stage.get(unit) for stage in (labelled, classified, panelled, enriched)))
        for unit, commit in extracted.items()
    }
    committed = record.committed(place.shards_stage)
    n_chosen = n_samples(record.counts)
    planned = on_a_worker(
        partial(plan_shards, store, contents, config, {n: c.fingerprint for n, c in committed.items()}, selected),
        memory_gb=max(config.memory_gb, plan_gb(n_chosen)),
    )
    if {number: commit.fingerprint for number, commit in committed.items()} != planned.marks:
        withdraw(store, place)
    _check_plan(n_chosen, planned)
    _tell_plan(planned, record)
    largest = max((shard.size for shard in planned.shards.values()), default=0)
    disk_bytes = int(bytes_of_a_figure(store, extracted) * _FORMS * largest)
    log.info("serialize: %d shards; each worker needs %.2g GB of disk", len(planned.shards), disk_bytes / 1e9)
    record.results["disk_bytes_per_worker"] = disk_bytes
    gathered = run_units(
        record,
        place.material_stage,
        {unit: fingerprint(VERSION, contents[unit], selected[unit].content) for unit in sorted(planned.units)},
        partial(MaterialWorker, store, record.run_id, config),
        inputs={**inputs, place.stage: selected},
        **options,
    )
    needs: dict[str, Any] = {"material": paths(gathered), "disk_bytes": disk_bytes}
    write = partial(ShardWorker, store, record.run_id, config, planned.shards, **needs)
    written = run_units(record, place.shards_stage, planned.marks, write, **options)
    discard(store, place)

    tables = map_in_threads(lambda commit: store.read(commit, "shards").to_pylist(), written.values())
    rows = sorted((row for table in tables for row in table), key=lambda row: row["path"])
    if not rows:
        log.warning("serialize: no figure was chosen: the dataset is empty")
    listing = listing_date(store)
    dates = {"run": f"{datetime.now(UTC):%Y-%m-%d}", "listing": listing}
    credits_mark = fingerprint(VERSION, [row["sha256"] for row in rows])
    run_units(
        record,
        place.attribution_stage,
        {0: credits_mark},
        partial(GatheringWorker, store, record.run_id, place, rows, previous=previous(store, place), dates=dates),
        memory_gb=max(config.memory_gb, plan_gb(n_chosen)),
    )
    publish(store, place, rows, _settings(config, store, planned.outdated, listing))
    record.results["dataset"] = store.uri(place.folder("dataset"))
    record.results["shards"] = len(rows)


def _settings(config: SerializeConfig, store: Store, outdated: int, listing: str | None) -> Row:
    """What the dataset's index and card say of how it was made."""
    settings = config.model_dump(include={"profile", "samples_per_shard", "max_outdated", *SELECTION_KEYS})
    made = config.made
    settings |= {"longest_side": made.longest_side, "jpeg_quality": made.quality, "keep_metadata": made.keep_metadata}
    settings |= {"version": importlib.metadata.version("biomedica_ray"), "outdated": outdated}
    settings |= {"listing": listing, "annotation": annotation(store)}
    if config.selection:
        chosen = store.read_json(f"selections/{config.selection}.json")
        settings["query"] = {key: chosen[key] for key in ("where", "balance", "cap", "seed")}
    return settings


def check_panels(
    store: Store, pairs: str, extracted: Collection[int], deduped: Collection[int], panelled: Mapping[int, str]
) -> None:
    """Fail where panels are to be samples that are not there, or that dedupe has not compared though it has run.

    Args:
        store: The store.
        pairs: The key of the config, for messages.
        extracted: Units that have figures.
        deduped: Units that dedupe has done.
        panelled: Unit -> content of its panels.

    Raises:
        StoreError: Says which stage to run.
    """
    n = len(extracted)
    if missing := set(extracted) - panelled.keys():
        raise StoreError(f"pairs: {pairs}: {len(missing)} of {n} units have no panels; run `biomedica panels` first")
    compared = read_compared(store).panels
    if others := [unit for unit in extracted if unit in deduped and compared.get(unit) != panelled[unit]]:
        raise StoreError(
            f"pairs: {pairs}: dedupe has not compared the panels that {len(others)} of {n} units have now; "
            "run `biomedica dedupe` again"
        )


def n_samples(counts: Counts) -> int:
    """How many samples have been chosen: figures, and panels where these are samples too."""
    return sum(counts[kind].rows_out for kind in ("figures", "panels") if kind in counts)


def _check_plan(chosen: int, planned: Planned) -> None:
    """Fail where the plan of the shards has not all samples that were chosen, or some of them twice."""
    in_plan = sum(shard.size for shard in planned.shards.values())
    in_plan += planned.waiting - planned.outdated
    if chosen != in_plan:
        raise LostRowsError(f"rows lost: {chosen:,} samples chosen, but {in_plan:,} in the plan of the shards")


def _tell_plan(planned: Planned, record: Run) -> None:
    record.results |= {"outdated": planned.outdated, "waiting": planned.waiting}
    if planned.outdated:
        log.info(
            "serialize: %d samples of earlier versions of articles stay in shards that would have to be written anew "
            "for few of them; %d of the later versions wait. --max_outdated 0 writes all as of now",
            planned.outdated,
            planned.waiting,
        )


def _selection(store: Store, name: str, n_units: int) -> dict[int, Commit]:
    """The commits of a selection, by unit."""
    try:
        store.read_json(f"selections/{name}.json")
    except FileNotFoundError:
        raise ConfigError(
            f"selection: {name}: no such selection in {store.root}; run `biomedica select` first"
        ) from None
    commits = store.commits(stage_of(name))
    if len(commits) < n_units:
        log.warning("serialize: %d of %d units are not in selection %s", n_units - len(commits), n_units, name)
    return commits


def _tell_missing(n_units: int, not_deduped: int, not_labelled: int) -> None:
    if not_deduped:
        log.warning("serialize: %d of %d units are not deduplicated: their repeats stay in", not_deduped, n_units)
    if not_labelled:
        log.info("serialize: %d of %d units have no labels yet: these stay empty", not_labelled, n_units)


def _contents(commits: Mapping[int, Commit]) -> dict[int, str]:
    return {unit: commit.content for unit, commit in commits.items()}


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
        material: Unit -> path of its material, of the units that have samples in shards to be written.
        disk_bytes: What the largest of them takes on this machine's disk until it is in the store.

    Raises:
        StoreError: The disk has less room than that.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        config: SerializeConfig,
        shards: Mapping[int, Shard],
        *,
        material: Mapping[int, str],
        disk_bytes: int,
    ) -> None:
        self._store, self._run_id, self._shards, self._material = store, run_id, shards, material
        self._config, self._place = config, config.place
        store.check_room(disk_bytes, "samples_per_shard")

    def __call__(self, number: int, mark: str) -> Counts:
        """Write and commit one shard; returns the counts of its samples."""
        shard, lost = self._shards[number], []
        path, parquet = shard.path("webdataset", "tar"), shard.path("parquet", "parquet")
        place, folder, profile = self._place, self._place.folder("dataset"), self._config.made
        with self._store.write_unit(place.shards_stage, number, mark, self._run_id) as writer:
            with ShardWriter(writer.file("webdataset", f"{folder}/{path}")) as tar:
                for member in read_members(self._store, place, shard, self._material):
                    figure_id = member.figure["figure_id"]
                    for panel, made in made_samples(member, profile):
                        if isinstance(made, ImageError):
                            id_, entity = (
                                (schema.panel_id(figure_id, panel), "panel") if panel else (figure_id, "figure")
                            )
                            lost.append(schema.error_row("serialize", id_, made.kind, str(made), entity=entity))
                            continue
                        tar.write(sample_key(figure_id, panel), *made)
            with TwinWriter(writer.file("parquet", f"{folder}/{parquet}"), tar.offsets, profile.schema) as twin:
                for sample in tar.by_concept():
                    twin.write(parquet_row(*sample))
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
