"""Which unit each article is in: where it was while it does not change, so that an update costs what changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray.extract.earlier import COMPARED
from biomedica_ray.units import ARTICLES_PER_UNIT, unit_of

HELD_COLUMNS = ["article_id", "pmcid", *COMPARED]
"""Columns of the listing by which an article version that the store holds is known to be the same."""

WRITTEN_ANEW_FROM = 0.1
"""A unit takes the articles that are new or have changed if they are at least this share of those that it holds."""

_MOST_ARTICLES = 2 * ARTICLES_PER_UNIT
"""A unit does not grow beyond this many; new articles go to a later generation then."""

Units = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Assignment:
    """Where articles go.

    Attributes:
        units: (n,) the unit of each row of the listing.
        generations: How many units each generation has; one more than before where a generation has to be added.
    """

    units: Units
    generations: list[int]


def assign(taken: pa.Table, held: pa.Table, generations: Sequence[int]) -> Assignment:
    """Choose the unit of each article version.

    What the store holds and has not changed stays where it is. All else, new or changed, belongs to the unit of its
    article, or to that of its pmcid's hash in the first generation. A unit takes what belongs to it where that is a
    large part of it; the rest goes to units of the latest generation, and where these are full, to a further one. An
    article is only ever in the unit of its pmcid's hash in some generation.

    Args:
        taken: Columns :data:`HELD_COLUMNS` of the listing as it is now.
        held: The same and ``unit``, of what the store holds; each article version once.
        generations: How many units each generation has.
    """
    at = pc.index_in(taken["article_id"], held["article_id"].combine_chunks())
    before = held.take(at.fill_null(0)) if held.num_rows else None
    units = np.full(taken.num_rows, -1, np.int64)
    if before is not None:
        same = at.is_valid()
        for name in COMPARED:
            equal = pc.fill_null(pc.equal(taken[name], before[name]), False)
            same = pc.and_(same, pc.or_(taken[name].is_null(), equal))
        stays = same.to_numpy()
        units[stays] = before["unit"].to_numpy()[stays]
    arrivals = np.flatnonzero(units < 0)
    pmcids = taken["pmcid"].take(pa.array(arrivals)).to_pylist()
    at_home = pc.index_in(pa.array(pmcids, pa.string()), held["pmcid"].combine_chunks())
    homes = _homes(pmcids, at_home, held, generations[0])
    n_units = sum(generations)
    staying = np.bincount(units[units >= 0], minlength=n_units)
    arriving = np.bincount(homes, minlength=n_units)
    new = np.bincount(homes[at_home.is_null().to_numpy(zero_copy_only=False)], minlength=n_units)
    n_held = np.bincount(held["unit"].to_numpy(), minlength=n_units)
    takes = arriving >= WRITTEN_ANEW_FROM * n_held
    if held.num_rows:
        takes &= (staying + arriving <= _MOST_ARTICLES) | (new == 0)
    later = ~takes[homes]
    units[arrivals[~later]] = homes[~later]
    if not later.any():
        return Assignment(units, list(generations))
    wanted = [pmcid for pmcid, goes in zip(pmcids, later, strict=True) if goes]
    n_wanted, latest = len(set(wanted)), generations[-1]
    in_latest = int(n_held[n_units - latest :].sum()) if len(generations) > 1 else latest * ARTICLES_PER_UNIT
    if in_latest + n_wanted > latest * ARTICLES_PER_UNIT:
        generations = [*generations, -(-n_wanted // ARTICLES_PER_UNIT)]
    start, n = sum(generations[:-1]), generations[-1]
    units[arrivals[later]] = [start + unit_of(pmcid, n) for pmcid in wanted]
    return Assignment(units, list(generations))


def _homes(pmcids: Sequence[str], at: pa.Array, held: pa.Table, n_units: int) -> Units:
    """The unit of each article that the store holds in some version, else that of its hash in the first generation."""
    units = held["unit"].to_numpy()
    pairs = zip(pmcids, at.to_pylist(), strict=True)
    return np.array([unit_of(pmcid, n_units) if row is None else units[row] for pmcid, row in pairs], np.int64)
