"""Articles that a run would drop from a store although the source still has them, which has to be asked for."""

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
"""A source that lacks more than this share of what the store holds is probably another one, or listed incompletely."""

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
    """Fail if article versions that the store holds would be dropped, unless the source dropped or replaced them.

    Args:
        held: article_id of the store's listing.
        listing: What the source has now.
        selection: Which part of it is taken.
        skipped: Article version -> why the new filters leave it out, from :func:`newly_skipped`.

    Raises:
        ConfigError: Some would be; names the keys, and how many.
    """
    there = listing.filter(pc.is_in(listing["article_id"], value_set=held["article_id"].combine_chunks()))
    gone = held.num_rows - there.num_rows
    if gone > MOST_GONE * held.num_rows:
        _refuse("source", gone, held.num_rows)
    # Judged among what the store holds: an older version counts as one only if the store holds the later one too.
    taken, counts = select(there, selection, there["pmcid"])
    left_out = Counter(counts)
    left_out.update(skipped[article_id] for article_id in skipped.keys() & set(taken["article_id"].to_pylist()))
    if left_out:
        _refuse(", ".join(sorted({_KEYS[reason] for reason in left_out})), left_out.total(), held.num_rows)


def newly_skipped(store: Store, commits: Iterable[Commit], filters: Filters) -> dict[str, str]:
    """Article version -> reason, for those of extracted units that were taken and that ``filters`` would leave out."""
    units = map_in_threads(partial(reasons, store, filters=filters), commits)
    return {one: now for unit in units for one, (then, now) in unit.items() if now and then is None}


def _refuse(keys: str, n_dropped: int, n_held: int) -> None:
    raise ConfigError(
        f"{keys}: would drop {n_dropped:,} of the {n_held:,} article versions that the store holds; "
        "widen the selection, use another store, or set allow_drop: true"
    )
