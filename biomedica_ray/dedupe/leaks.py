"""Which pictures of other sets are among the figures of a store: one pass over its units for all sets together; on Ray.

What is known of the pictures goes to every task. A unit's task looks its figures and panels up, by hashes and by
thumbnails, and commits what it finds; the best places of pictures that no hash has found are then compared pixel by
pixel, as :mod:`biomedica_ray.dedupe.copies` does. What comes out is committed for each set: it counts until the set or
the store changes, and until then the figures are not read again. After a change of the store, units that have not
changed are not searched again for the same sets: what was sought together is sought together again.

Only a figure that a model was trained on settles a picture: one that is found in others alone, as they are held out or
left out, is sought on, and figures of training come first wherever some have to be chosen. Which they are is asked when
all units have been searched, so that another dataset means no other search of units.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.cluster import run_units
from biomedica_ray.dedupe.columns import Rows, grouped
from biomedica_ray.dedupe.config import SEARCH_GB
from biomedica_ray.dedupe.copies import (
    CANDIDATES,
    COPIES,
    MOST_CANDIDATES,
    MOST_IN_PART,
    MOST_PICTURES,
    best_candidates,
    candidates_in,
    fetch_and_look,
    gather_best,
    regions_in,
)
from biomedica_ray.dedupe.panels import read_panels
from biomedica_ray.dedupe.seen import (
    MATCHES,
    Known,
    Overview,
    PictureSet,
    best_matches,
    join,
    look_at,
    not_found,
    same_by_hash,
)
from biomedica_ray.dedupe.slim import HASHES, usable_hashes, what_is_wrong
from biomedica_ray.dedupe.tasks import WORKER_GB, refs_in_tasks
from biomedica_ray.reading.trained import datasets_mark, trained_figures
from biomedica_ray.runs import Run, UnitsOf
from biomedica_ray.schema import ERRORS, error_row
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import Counts, Flow, fingerprint, stable_hash

log = logging.getLogger(__name__)

VERSION = 2
"""Raise it when the same pictures and figures would give other rows."""

_TRAINED = pa.field("trained", pa.bool_())
"""Whether a model was trained on the figure; null where there is no dataset that says so."""
LEAKS = pa.schema([("row", pa.int64()), *(field for field in MATCHES if field.name != "picture"), _TRAINED])
"""A picture of a set by its row there, and the rest of :data:`~biomedica_ray.dedupe.seen.MATCHES`."""
_PLACES = pa.schema([*CANDIDATES, ("figure_id", pa.string())])

_SETS = 10**12
"""Sets are numbered by a hash of their names, as those of one run do not know of those of another."""


@dataclass(frozen=True)
class Searched:
    """A store in which pictures are sought, as it is now.

    Attributes:
        store: The store.
        extracted: Unit -> commit of extract.
        panelled: Unit -> commit of panels, where it has been run.
        datasets: Changes when models may have been trained on other figures.
    """

    store: Store
    extracted: Mapping[int, Commit]
    panelled: Mapping[int, Commit]
    datasets: str

    @classmethod
    def now(cls, store: Store) -> Searched:
        """What is in a store now; raises StoreError where nothing has been extracted."""
        extracted = store.extracted()
        panelled = {unit: commit for unit, commit in store.commits("panels").items() if unit in extracted}
        return cls(store, extracted, panelled, datasets_mark(store))

    def content(self, unit: int) -> str:
        """Changes when the figures or panels of a unit may have changed."""
        panelled = self.panelled.get(unit)
        return fingerprint(VERSION, self.extracted[unit].content, panelled and panelled.content)

    @cached_property
    def state(self) -> str:
        """Changes when any of them, or what models were trained on, may have changed."""
        return fingerprint({unit: self.content(unit) for unit in self.extracted}, self.datasets)

    @property
    def folder(self) -> str:
        """Below which everything of searches of this store is."""
        name = re.sub(r"[^\w.-]+", "-", self.store.root.rstrip("/").rpartition("/")[2]).strip("-.")
        return f"leaks/{name}-{fingerprint(self.store.root)[:8]}"

    def stage(self, part: str) -> str:
        """Under which a part of the search of this store is committed."""
        return f"{self.folder}/{part}"


def find_leaks(record: Run, searched: Searched, sets: Sequence[PictureSet], memory_gb: float) -> dict[str, Commit]:
    """Seek the pictures of sets among the figures of a store, and their panels; what is known already is not sought.

    Args:
        record: The run, in whose store the findings are committed.
        searched: The store that is searched.
        sets: The sets.
        memory_gb: Memory of a task that knows all pictures, or all places where they may be.

    Returns:
        Name of a set -> the commit of its findings, for :func:`read_leaks`.

    Raises:
        UnitsFailedError: Units could not be searched; the others need not be searched again.
    """
    stage = searched.stage("sets")
    marks = {_number(each): fingerprint(VERSION, each.name, each.content, searched.state) for each in sets}
    before = record.committed(stage)
    done = {unit: c for unit, c in before.items() if c.complete and marks.get(unit) == _mark_and_search(c)[0]}
    for commit in done.values():
        record.add(commit.counts, before=True)
    searches = sought_together([each for each in sets if _number(each) not in done], before)
    for search, together in searches.items():
        as_found = {each.name: f"{marks[_number(each)]}-{search}" for each in together}
        for commit in _search(record, searched, together, search, as_found, memory_gb):
            record.add(commit.counts)
            done[commit.unit] = commit
    if searches:
        _drop_searches(record.store, searched)
    return {each.name: done[_number(each)] for each in sets}


def read_leaks(store: Store, commit: Commit) -> pa.Table:
    """Rows of :data:`LEAKS`, in order of the set's rows; of each the figures of training first, then the surest."""
    return store.read(commit, "leaks", LEAKS.names)


def sought_together(sets: Sequence[PictureSet], before: Mapping[int, Commit]) -> dict[str, list[PictureSet]]:
    """Name of a search -> the sets that it is for, by name.

    Sets that were sought together, and are all to be sought again with the same content, are so by the search of that
    time, whose units need not all be searched again. All others are sought by one of their own.

    Args:
        sets: The sets.
        before: Number of a set -> the commit of what was found of it.
    """
    earlier: dict[str, list[PictureSet]] = defaultdict(list)
    for each in sorted(sets, key=attrgetter("name")):
        commit = before.get(_number(each))
        earlier[_mark_and_search(commit)[1] if commit else ""].append(each)
    searches = {search: together for search, together in earlier.items() if search == _name_of(together)}
    again = {each.name for together in searches.values() for each in together}
    if others := sorted((each for each in sets if each.name not in again), key=attrgetter("name")):
        searches[_name_of(others)] = others
    return searches


def _name_of(sets: Sequence[PictureSet]) -> str:
    return fingerprint([(each.name, each.content) for each in sets])[:8]


def _mark_and_search(commit: Commit) -> tuple[str, str]:
    """What a set and the store were when its findings were committed, and the search by which it was found."""
    mark, _, search = commit.fingerprint.rpartition("-")
    return mark, search


def _drop_searches(store: Store, searched: Searched) -> None:
    """Remove what searches have left by which no set was found last: the records first, so that nobody reads it."""
    last = {_mark_and_search(commit)[1] for commit in store.commits(searched.stage("sets")).values()}
    kept = {"sets", *(f"{part}-{search}" for part in ("units", "places") for search in last)}
    for folder in (f"commits/{searched.folder}", searched.folder, f"errors/{searched.folder}"):
        for name in set(store.folders(folder)) - kept:
            store.delete_folder(f"{folder}/{name}")


def _number(pictures: PictureSet) -> int:
    return stable_hash(pictures.name) % _SETS


def _search(  # noqa: PLR0917 - has one caller
    record: Run,
    searched: Searched,
    sets: Sequence[PictureSet],
    search: str,
    marks: Mapping[str, str],
    memory_gb: float,
) -> list[Commit]:
    n_pictures = sum(each.n for each in sets)
    in_parts = n_pictures <= MOST_PICTURES
    if not in_parts:
        log.warning(
            "%s pictures are too many to look for crops and turned ones (at most %s); only hashes are compared",
            f"{n_pictures:,}",
            f"{MOST_PICTURES:,}",
        )
    pieces = [
        (number, range(start, min(start + MOST_IN_PART, each.n)))
        for number, each in enumerate(sets)
        for start in range(0, each.n, MOST_IN_PART)
    ]
    calls = {place: (sets[number], rows) for place, (number, rows) in enumerate(pieces)}
    parts: dict[int, list[Any]] = {}
    with record.progress("pictures sought", n_pictures) as progress:
        for place, refs in refs_in_tasks(partial(look_at, in_parts=in_parts), calls, 2, SEARCH_GB):
            parts[place] = refs
            progress.update(len(pieces[place][1]))
    looked, greys = ([parts[place][which] for place in sorted(parts)] for which in (0, 1))
    [(_, (known, overview))] = refs_in_tasks(join, {0: ([number for number, _ in pieces], *looked)}, 2, memory_gb)
    units = {unit: fingerprint(search, searched.content(unit)) for unit in searched.extracted}
    same = searched.store.root == record.store.root
    inputs = {"extract": searched.extracted, "panels": searched.panelled} if same else None
    of_units, of_places = (searched.stage(f"{part}-{search}") for part in ("units", "places"))
    lookup = partial(LookupWorker, record.units_of, searched.store, of_units, known)
    found = run_units(record, of_units, units, lookup, memory_gb=WORKER_GB, inputs=inputs)
    gather = partial(_gather, record.store, searched.store)
    [(_, (gathered, marks_there))] = refs_in_tasks(gather, {0: (list(found.values()), overview, units)}, 2, memory_gb)
    looker = partial(PlaceWorker, record.units_of, searched.store, of_places, gathered, greys)
    places = run_units(record, of_places, ray.get(marks_there), looker, memory_gb=SEARCH_GB, inputs=inputs)
    conclude = partial(_conclude, record.units_of, searched.stage("sets"), marks)
    [(_, [commits])] = refs_in_tasks(conclude, {0: (list(places.values()), gathered, overview)}, 1, memory_gb)
    made: list[Commit] = ray.get(commits)
    return made


class LookupWorker:
    """Looks up the figures of a unit among the pictures, by hashes and by thumbnails."""

    def __init__(self, of: UnitsOf, searched: Store, stage: str, known: ray.ObjectRef[Known | None]) -> None:
        self._of, self._searched, self._stage = of, searched, stage
        self._known = ray.get(known)

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit what a unit has of the pictures, and where it may have more; returns its count of figures."""
        commit, panelled = self._searched.commit("extract", unit), self._panels(unit)
        figures = self._searched.read(commit, "figures", ["figure_id", *HASHES], row="row")
        usable = usable_hashes(figures)
        errors = [
            error_row("evaluate", row["figure_id"], "bad-hash", what_is_wrong(row))
            for row in figures.filter(pc.invert(usable)).to_pylist()
        ]
        n, figures = figures.num_rows, figures.filter(usable)
        matches, candidates = MATCHES.empty_table(), _PLACES.empty_table()
        if self._known is not None and figures.num_rows:
            regions, thumbnails = regions_in(self._searched, commit, panelled, figures["row"].to_numpy())
            hashes = _hashes_of_panels(self._searched, panelled) if panelled else {}
            matches = same_by_hash(self._known, figures, regions, thumbnails, panel_hashes=hashes)
            if self._known.sought is not None:
                candidates = candidates_in(self._known.sought, regions, thumbnails, unit)
                candidates = _elsewhere(candidates, matches, figures)
        with self._of.store.write_unit(self._stage, unit, mark, self._of.run_id) as writer:
            for name, table in (("matches", matches), ("candidates", candidates)):
                writer.table(name, table.schema, directory=f"{self._stage}/{name}").write(table)
            writer.table("errors", ERRORS, directory=f"errors/{self._stage}").write(errors)
            return writer.commit({"figures": Flow(n, figures.num_rows, len(errors))}).counts

    def _panels(self, unit: int) -> Commit | None:
        try:
            return self._searched.commit("panels", unit)
        except FileNotFoundError:
            return None


def _elsewhere(candidates: pa.Table, matches: pa.Table, figures: pa.Table) -> pa.Table:
    """Candidates with the names of their figures, but for those in which a hash has found the picture."""
    names = figures["figure_id"].take(pc.index_in(candidates["row"], value_set=figures["row"].combine_chunks()))
    candidates = candidates.append_column("figure_id", names).cast(_PLACES)
    found = set(zip(matches["picture"].to_pylist(), matches["figure_id"].to_pylist(), strict=True))
    pairs = zip(candidates["picture"].to_pylist(), candidates["figure_id"].to_pylist(), strict=True)
    return candidates.filter(pa.array([pair not in found for pair in pairs], pa.bool_()))


def _hashes_of_panels(store: Store, panelled: Commit) -> dict[tuple[str, int], int]:
    """Figure and number of a panel -> its perceptual hash."""
    columns = (read_panels(store, panelled)[name].to_pylist() for name in ("figure_id", "number", "phash"))
    return {(figure_id, number): phash for figure_id, number, phash in zip(*columns, strict=True)}


class Gathered(NamedTuple):
    """What all units have.

    Attributes:
        matches: What hashes have found, rows of MATCHES with ``trained``.
        candidates: The best places of all pictures that these have not found in figures of training, rows of CANDIDATES
            with ``trimmed``, and ``part``: the part of the pictures that each look is of.
        starts: Number of the first look of each part.
        trained: Figures of training among those in which pictures are or may be; None where nobody says which they are.
    """

    matches: pa.Table
    candidates: pa.Table
    starts: Rows
    trained: pa.Array | None


def _gather(
    store: Store, searched: Store, commits: Sequence[Commit], overview: Overview, units: Mapping[int, str]
) -> tuple[Gathered, dict[int, str]]:
    """What hashes have found, the best places of all other pictures, and a fingerprint of each unit that has some."""

    def names(commit: Commit) -> set[str]:
        columns = (store.read(commit, table, ["figure_id"])["figure_id"] for table in ("matches", "candidates"))
        return {name for column in columns for name in column.unique().to_pylist()}

    asked: set[str] = set()
    for each in map_in_threads(names, commits):
        asked |= each
    known = trained_figures(searched, asked)
    trained = None if known is None else pa.array(sorted(known), pa.string())

    def read(commit: Commit, table: str) -> pa.Table:
        return _and_trained(store.read(commit, table), trained)

    tables = map_in_threads(lambda commit: read(commit, "matches"), commits)
    matches = gather_best(chain([_and_trained(MATCHES.empty_table(), trained)], tables), best=best_matches)
    n = len(overview.rows)
    settled = matches.filter(pc.fill_null(matches["trained"], True))
    places = map_in_threads(lambda commit: not_found(read(commit, "candidates"), settled, n), commits)
    none = _and_trained(_PLACES.empty_table(), trained)
    candidates = gather_best(chain([none], places), best=best_candidates).select(CANDIDATES.names)
    looks = candidates["look"].to_numpy()
    part = np.searchsorted(overview.starts, looks, side="right") - 1
    candidates = candidates.append_column("trimmed", pa.array(overview.trimmed[looks], pa.bool_()))
    candidates = candidates.append_column("part", pa.array(part, pa.int32()))
    rows = grouped(candidates["unit"].to_numpy(), np.arange(candidates.num_rows))
    marks = {unit: fingerprint(units[unit], candidates.take(pa.array(own)).to_pylist()) for unit, own in rows.items()}
    return Gathered(matches, candidates, overview.starts, trained), marks


def _and_trained(table: pa.Table, trained: pa.Array | None) -> pa.Table:
    """A table that has ``figure_id`` with ``trained``."""
    figures = table["figure_id"]
    known = pa.nulls(len(figures), pa.bool_()) if trained is None else pc.is_in(figures, value_set=trained)
    return table.append_column(_TRAINED, known)


class PlaceWorker:
    """Looks at the pixels where pictures may be in the figures of a unit."""

    def __init__(
        self, of: UnitsOf, searched: Store, stage: str, gathered: ray.ObjectRef[Gathered], greys: list[Any]
    ) -> None:
        self._of, self._searched, self._stage, self._greys = of, searched, stage, greys
        self._gathered = ray.get(gathered)

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit which of the places are copies; returns how many were looked at."""
        candidates = self._gathered.candidates
        guesses = candidates.filter(pc.equal(candidates["unit"], unit))
        needed = np.unique(guesses["part"].to_numpy()).tolist()
        starts, greys = self._gathered.starts[needed], [self._greys[part] for part in needed]
        copies = fetch_and_look(self._searched, self._searched.commit("extract", unit), guesses, starts, greys)
        with self._of.store.write_unit(self._stage, unit, mark, self._of.run_id) as writer:
            writer.table("copies", COPIES, directory=self._stage).write(copies)
            return writer.commit({"places": Flow(guesses.num_rows, guesses.num_rows)}).counts


def _conclude(  # noqa: PLR0917 - is a task
    of: UnitsOf,
    stage: str,
    marks: Mapping[str, str],
    places: Sequence[Commit],
    gathered: Gathered,
    overview: Overview,
) -> list[Commit]:
    """Commit the findings of each set, with an error for each of its pictures that cannot be read.

    Args:
        of: The run.
        stage: Under which they are committed.
        marks: Name of each set, in order -> its fingerprint.
        places: Commits of what pixels have found.
        gathered: What hashes have found.
        overview: Of the pictures.
    """
    copies = [COPIES.empty_table(), *map_in_threads(lambda commit: of.store.read(commit, "copies"), places)]
    by_pixels = (_and_trained(_as_matches(each), gathered.trained) for each in copies)
    found = best_matches(pa.concat_tables([gathered.matches, *by_pixels]), MOST_CANDIDATES)
    pictures = found["picture"].to_numpy()
    found = found.drop_columns(["picture"]).add_column(0, "row", pa.array(overview.rows[pictures], pa.int64()))
    commits = []
    for number, (name, mark) in enumerate(marks.items()):
        own = found.filter(pa.array(overview.sets[pictures] == number, pa.bool_())).cast(LEAKS)
        unreadable = overview.unreadable[number]
        errors = [
            error_row("evaluate", f"{name}: {each.what or row}", each.kind, each.message, entity="picture")
            for row, each in unreadable
        ]
        n = overview.read[number]
        with of.store.write_unit(stage, stable_hash(name) % _SETS, mark, of.run_id) as writer:
            writer.table("leaks", LEAKS, directory=stage).write(own)
            writer.table("errors", ERRORS, directory=f"errors/{stage}").write(errors)
            commits.append(writer.commit({"pictures sought": Flow(n + len(errors), n, len(errors))}))
    return commits


def _as_matches(copies: pa.Table) -> pa.Table:
    columns = {
        "picture": copies["picture"],
        "figure_id": copies["figure_id"],
        "number": pa.array(np.zeros(copies.num_rows, np.int32)),
        "how": copies["how"],
        "correlation": pc.subtract(pa.scalar(1, pa.float32()), copies["distance"]),
    }
    return pa.table(columns, schema=MATCHES)
