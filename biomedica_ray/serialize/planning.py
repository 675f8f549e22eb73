"""Planning the shards: from what was chosen in all units to what each shard holds."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.plan_table import Plan, read_plan, write_plan
from biomedica_ray.serialize.shard_plan import KINDS, PLACES, Cut, Flags, Samples, Shard, concatenated, recut
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import AsJson, fingerprint, pmcid_of, stable_hash

VERSION = 9
"""Raise it when the same input gives other samples or shards."""

_PLAN_GB, _PLAN_BYTES = 0.5, 150
"""Memory of the task that plans the shards: GB of any, and bytes for each sample."""

SELECTION_KEYS = {
    "selection",
    "pairs",
    "min_confidence",
    "license_groups",
    "min_side",
    "keep_duplicates",
    "keep_boilerplate",
    "keep_against",
    "keep_retracted",
    "keep_third_party",
    "keep_thumbnails",
    "validation_fraction",
    "test_fraction",
}
"""Settings that decide which figures are chosen."""

_Pieces = tuple[Samples, Flags]
"""A unit's samples of one kind, and of each whether no figure of its article is withheld."""


class UnitContents(NamedTuple):
    """What a unit's samples are made of.

    Attributes:
        written: Changes when the files of extract do.
        labels: Changes when its labels do; None where there are none.
        image_labels: Changes when the labels of its images do; None where there are none.
        panels: Changes when its panels do; None where there are none.
        pubmed: Changes when its PubMed records do; None where there are none.
    """

    written: str
    labels: str | None = None
    image_labels: str | None = None
    panels: str | None = None
    pubmed: str | None = None


@dataclass(frozen=True)
class Planned:
    """The plan of the shards, as far as the driver needs it.

    Attributes:
        shards: The shards by number.
        marks: Their fingerprints: a shard is written again only if its own samples change.
        outdated: Samples of earlier versions of their articles that stay for now.
        waiting: Samples of the later versions that wait until those go.
        units: Those that shards which are not there, or have to be written anew, have samples of.
    """

    shards: dict[int, Shard]
    marks: dict[int, str]
    outdated: int
    waiting: int
    units: frozenset[int]


def plan_gb(n_samples: int) -> float:
    """GB of memory that planning the shards of so many figures and panels takes."""
    return _PLAN_GB + _PLAN_BYTES * n_samples / 2**30


def plan_shards(
    store: Store,
    contents: Mapping[int, UnitContents],
    config: SerializeConfig,
    committed: Mapping[int, str],
    selected: Mapping[int, Commit] | None = None,
) -> Planned:
    """Cut what has been selected into shards and store the plan; runs as a task, as it reads the samples of all units.

    Args:
        store: The store, with selections of all units.
        contents: What is in each unit.
        config: Shard size and quality, and how much may be outdated.
        committed: Number -> fingerprint of the shards that are there.
        selected: Unit -> commit of its samples; None: they are asked for.
    """
    place = config.place
    settings = fingerprint(VERSION, config.samples_per_shard, config.model_dump(include=SELECTION_KEYS))
    before = _to_go_on_from(read_plan(store, place), settings, again=config.again)
    old_marks = {shard.number: mark for shard, mark in _marks(before, config).items()}
    there = {number for number, mark in committed.items() if old_marks.get(number) == mark}
    stale = [unit for unit, mark in before.written.items() if unit not in contents or contents[unit].written != mark]
    commits = store.commits(place.stage) if selected is None else selected
    wanted: list[list[_Pieces]] = [[] for _ in KINDS]
    for kinds in map_in_threads(lambda commit: _wanted(store, commit, contents[commit.unit]), commits.values()):
        for pieces, of_unit in zip(wanted, kinds, strict=True):
            pieces.append(of_unit)
    done = [
        recut(
            concatenated([samples for samples, _ in pieces]),
            cut,
            valid=~np.isin(cut.samples.unit, stale),
            whole=np.concatenate([np.empty(0, np.bool_), *(whole for _, whole in pieces)]),
            written=[shard // len(KINDS) for shard in there if shard % len(KINDS) == kind],
            samples_per_shard=config.samples_per_shard,
            max_outdated=config.max_outdated,
        )
        for kind, (pieces, cut) in enumerate(zip(wanted, before.cuts, strict=True))
    ]
    plan = Plan(settings, tuple(each.cut for each in done), {unit: each.written for unit, each in contents.items()})
    write_plan(store, place, plan)
    marks = _marks(plan, config)
    return Planned(
        {shard.number: shard for shard in marks},
        {shard.number: mark for shard, mark in marks.items()},
        sum(each.outdated for each in done),
        sum(each.waiting for each in done),
        _units(plan, {shard.number for shard, mark in marks.items() if committed.get(shard.number) != mark}),
    )


def _units(plan: Plan, numbers: Collection[int]) -> frozenset[int]:
    """The units that shards have samples of."""
    units: set[int] = set()
    for kind, cut in enumerate(plan.cuts):
        of_kind = [number // len(KINDS) for number in numbers if number % len(KINDS) == kind]
        units.update(np.unique(cut.samples.unit[np.isin(cut.shard, of_kind)]).tolist())
    return frozenset(units)


def _to_go_on_from(before: Plan | None, settings: str, *, again: bool) -> Plan:
    """The plan of before, where its shards may be kept; else one without shards.

    Their numbers are not given again then either: what is another file has another name, for whoever reads the old one.
    """
    if before is not None and before.settings == settings and not again:
        return before
    numbers = [cut.next_index for cut in before.cuts] if before else [0] * len(KINDS)
    cuts = tuple(Cut(concatenated([]), np.empty(0, np.int32), number) for number in numbers)
    return Plan(settings, cuts, {})


def _wanted(store: Store, commit: Commit, content: UnitContents) -> list[_Pieces]:
    """A unit's samples of each kind, by row; and of each whether no figure of its article is withheld."""
    table = store.read(commit, "samples").sort_by([("row", "ascending"), ("panel", "ascending")])
    ids = table["article_id"].dictionary_encode().combine_chunks()
    hashes = [stable_hash(pmcid_of(article_id)) for article_id in ids.dictionary.to_pylist()]
    articles = np.array(hashes, np.uint64)[ids.indices.to_numpy()]
    of_unit = stable_hash(AsJson.of(content))
    states = np.full(len(table), of_unit, np.uint64)
    captions = table["also_captioned"]
    for row in np.flatnonzero(pc.list_value_length(captions).to_numpy() > 0).tolist():
        states[row] = stable_hash(AsJson.of([of_unit, captions[row].as_py()]))
    samples = Samples(
        np.full(len(table), commit.unit, np.int32),
        table["row"].to_numpy() * np.int32(PLACES) + table["panel"].to_numpy(),
        states,
        articles.astype(np.uint64),
    )
    whole = table["article_whole"].to_numpy()
    kinds = []
    for group, split in KINDS:
        own = pc.and_(pc.equal(table["license_group"], group), pc.equal(table["split"], split)).to_numpy()
        kinds.append((samples.take(own), whole[own]))
    return kinds


def _marks(plan: Plan, config: SerializeConfig) -> dict[Shard, str]:
    """Each shard's fingerprint."""
    how = asdict(config.made)
    marks = {}
    for kind, cut in zip(KINDS, plan.cuts, strict=True):
        indices, starts, sizes = np.unique(cut.shard, return_index=True, return_counts=True)
        for index, start, size in zip(indices.tolist(), starts.tolist(), sizes.tolist(), strict=True):
            its = cut.samples.take(np.arange(start, start + size))
            what = [hashlib.sha256(values.tobytes()).hexdigest() for values in (its.unit, its.row, its.state)]
            marks[Shard(*kind, index, size)] = fingerprint(VERSION, how, kind, index, what)
    return marks
