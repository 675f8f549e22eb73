"""What a run would take out of a store though the source still has it; that is not done unless it is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.config import ConfigError
from biomedica_ray.extract.earlier import reasons
from biomedica_ray.sources.filters import Filters, Selection, select
from biomedica_ray.store import Commit, Store

MOST_GONE = 0.5
"""A source that lacks a larger share of what the store holds is taken for another source, or for a broken listing."""

_KEYS = {
    "not-in-pmcids": "pmcids",
    "older-version": "versions",
    "over-limit": "limit",
    "license": "licenses",
    "retracted": "keep_retracted",
    "not-open-access": "open_access_only",
}
"""Reason -> the key of the config."""


def refuse_to_drop(held: pa.Table, listing: pa.Table, selection: Selection, skipped: Mapping[str, str]) -> None:
    """Fail where article versions that the store holds would go, unless the source has dropped or replaced them.

    Args:
        held: article_id of the store's listing.
        listing: What the source has now.
        selection: What is taken of it.
        skipped: Article version -> why new filters leave it out, from :func:`newly_skipped`.

    Raises:
        ConfigError: It names the keys, and how many articles would go.
    """
    there = listing.filter(pc.is_in(listing["article_id"], value_set=held["article_id"].combine_chunks()))
    gone = held.num_rows - there.num_rows
    if gone > MOST_GONE * held.num_rows:
        _refuse("source", gone, held.num_rows)
    # Of what is held alone: an older version counts if the store holds the later one as well.
    taken, counts = select(there, selection, there["pmcid"])
    left_out = Counter(counts)
    left_out.update(skipped[article_id] for article_id in skipped.keys() & set(taken["article_id"].to_pylist()))
    if left_out:
        _refuse(", ".join(sorted({_KEYS[reason] for reason in left_out})), left_out.total(), held.num_rows)


def newly_skipped(store: Store, commits: Iterable[Commit], filters: Filters) -> dict[str, str]:
    """Article version -> reason, of extracted units: what was taken, and ``filters`` would leave out."""
    units = map_in_threads(partial(reasons, store, filters=filters), commits)
    return {one: now for unit in units for one, (then, now) in unit.items() if now and then is None}


def _refuse(keys: str, n_dropped: int, n_held: int) -> None:
    raise ConfigError(
        f"{keys}: would drop {n_dropped:,} of the {n_held:,} article versions that the store holds; "
        "expected what takes them as well, another store, or allow_drop true"
    )
