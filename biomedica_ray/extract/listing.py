"""The listing: what a source has, and which part of it a run takes, cut into units."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray import schema
from biomedica_ray.ahead import map_in_threads
from biomedica_ray.config import ConfigError
from biomedica_ray.extract.assignment import HELD_COLUMNS, assign
from biomedica_ray.extract.config import ExtractConfig
from biomedica_ray.extract.guard import newly_skipped, refuse_to_drop
from biomedica_ray.sample import PACKAGES
from biomedica_ray.sources.base import Source
from biomedica_ray.sources.filters import Filters, Selection, read_pmcids, select, split_by_unit, unknown_ids
from biomedica_ray.sources.packages import PackagesSource
from biomedica_ray.sources.pmc_cloud import PmcSource
from biomedica_ray.store import Commit, Store, StoreError, open_filesystem
from biomedica_ray.store.known import as_text, knowing
from biomedica_ray.units import fingerprint, unit_count

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listing:
    """What is to be extracted.

    Attributes:
        units: Unit -> fingerprint of its listing and of how it is extracted.
        commits: Unit -> commit of its listing.
        listed: Article versions that the source has.
        left_out: Reason -> how many of them the run leaves out.
        unknown: Ids that were asked for but that the source does not have.
        date: The day of the source's listing, ISO 8601; None where the source does not say.
    """

    units: dict[int, str]
    commits: dict[int, Commit]
    listed: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    date: str | None = None


def make_source(config: ExtractConfig) -> Source:
    """The source that the config names."""
    if config.source == "pmc":
        return PmcSource(config.bucket, config.source_endpoint_url, config.source_anonymous, config.fetches)
    root = str(PACKAGES) if config.source == "sample" else str(config.packages)
    return PackagesSource(root, config.source_endpoint_url, config.source_anonymous)


def make_filters(config: ExtractConfig) -> Filters:
    """Which articles the config leaves out, judged by their metadata."""
    licenses = None if config.licenses is None else tuple(sorted(config.licenses))
    return Filters(config.open_access_only, config.keep_retracted, licenses)


def make_selection(config: ExtractConfig) -> Selection:
    """Which part of the listing the config takes.

    Raises:
        ConfigError: The file of pmcids cannot be read, or has none.
    """
    pmcids = None if config.pmcids is None else _read_pmcids(config.pmcids, config.endpoint_url)
    return Selection(config.versions, pmcids, config.since, config.limit)


def write_listing(config: ExtractConfig, selection: Selection, rules: str, store: Store, run_id: str) -> Listing:
    """List the source, and write the part that is taken, one file per unit, for units that have changed.

    Args:
        config: The source, the filters, the number of units of a new store, and whether articles may be dropped.
        selection: Which part is taken, from :func:`make_selection`, which runs where the file of pmcids is.
        rules: The beginning of each fingerprint: how articles are extracted.
        store: The store.
        run_id: The run.

    Raises:
        ConfigError: Articles that the store holds would be dropped.
        SourceError: The source cannot be listed.
    """
    listing = make_source(config).list()
    date = (listing.schema.metadata or {}).get(b"date")
    listing = listing.replace_schema_metadata(None)
    commits = store.commits("listing")
    for unit in store.without_files(commits.values()):
        store.drop(commits.pop(unit))
    held = _held(store, commits)
    if commits and not config.allow_drop:
        changed = any(not commit.fingerprint.startswith(rules) for commit in commits.values())
        skipped = newly_skipped(store, store.commits("extract").values(), make_filters(config)) if changed else {}
        refuse_to_drop(held, listing, selection, skipped)
    taken, left_out = select(listing, selection, held["pmcid"])
    n_articles = pc.count_distinct(taken["pmcid"]).as_py()
    generations = store.open_or_create(config.units or unit_count(n_articles))
    assigned = assign(taken.select(HELD_COLUMNS), held, generations)
    if assigned.generations != generations:
        store.add_generation(assigned.generations[-1])
    units = split_by_unit(taken, assigned.units)
    marks = {
        unit: rules + fingerprint(rows.drop_columns(["last_modified"]).to_pylist()) for unit, rows in units.items()
    }

    def write(unit: int) -> Commit:
        known = as_text(store, unit, {"listing": commits.get(unit)})
        with knowing(known), store.write_unit("listing", unit, marks[unit], run_id) as writer:
            writer.table("listing", schema.LISTING).write(units[unit])
            return writer.commit({})

    gone = [commit for unit, commit in commits.items() if unit not in units]
    new = [unit for unit, mark in marks.items() if unit not in commits or commits[unit].fingerprint != mark]
    list(map_in_threads(store.drop, gone))
    now = {unit: commit for unit, commit in commits.items() if unit in units}
    now |= {commit.unit: commit for commit in map_in_threads(write, new)}
    unknown = [] if selection.pmcids is None else unknown_ids(listing, selection.pmcids)
    return Listing(marks, now, listing.num_rows, left_out, unknown, date.decode() if date else None)


def _held(store: Store, commits: Mapping[int, Commit]) -> pa.Table:
    """Every article version of the store's listing: columns :data:`HELD_COLUMNS`, and its unit.

    After a kill an article may be listed in the unit that it left and in the later one that it went to, which counts.
    """

    def read(commit: Commit) -> pa.Table:
        rows = store.read(commit, "listing", HELD_COLUMNS)
        return rows.append_column("unit", pa.array(np.full(rows.num_rows, commit.unit, np.int64)))

    empty = schema.LISTING.empty_table().select(HELD_COLUMNS)
    empty = empty.append_column("unit", pa.array([], pa.int64()))
    held = pa.concat_tables([empty, *map_in_threads(read, commits.values())])
    latest = held.group_by("article_id").aggregate([("unit", "max")])
    if len(latest) < len(held):
        at = pc.index_in(held["article_id"], latest["article_id"].combine_chunks())
        held = held.filter(pc.equal(held["unit"], latest["unit_max"].take(at)))
    return held


def retry_listing(store: Store, rules: str) -> Listing:
    """The units that have been extracted, so that only those are redone in which a retry may succeed.

    Raises:
        ConfigError: They were extracted by other rules, or somebody has deleted the listing.
        StoreError: Nothing has been extracted yet.
    """
    listed, extracted = store.commits("listing"), store.extracted()
    if missing := extracted.keys() - listed.keys():
        raise ConfigError(f"retry_errors: the listing of unit {min(missing)} is gone; run extract without it")
    units = {
        unit: commit.fingerprint if commit.complete else listed[unit].fingerprint for unit, commit in extracted.items()
    }
    if any(not mark.startswith(rules) for mark in units.values()):
        raise ConfigError(
            "retry_errors: the store was extracted with other filters or by another version; run extract without it"
        )
    return Listing(units, {unit: listed[unit] for unit in units})


def _read_pmcids(uri: str, endpoint_url: str | None) -> frozenset[str]:
    try:
        filesystem, path = open_filesystem(uri, endpoint_url)
        with filesystem.open_input_stream(path) as stream:
            ids = read_pmcids(stream.read().decode())
    except (OSError, StoreError, UnicodeDecodeError) as error:
        raise ConfigError(f"pmcids: expected a text file of PMC ids; {uri}: {error}") from None
    if not ids:
        raise ConfigError(f"pmcids: expected a text file of PMC ids; {uri} has none")
    return ids
