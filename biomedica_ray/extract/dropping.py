"""Articles that leave a unit whose other articles stay as they are: its commit says so, and its files stay."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray.extract.reasons import reasons_of_tables
from biomedica_ray.store import Commit, Store
from biomedica_ray.store.known import write_record
from biomedica_ray.units import Flow, LostRowsError, lost_rows

MOST_DROPPED = 0.1
"""A unit that more than this share of its articles have left is written anew, as every stage reads all of it."""


def may_drop(before: Commit, had: Collection[str], gone: Collection[str]) -> bool:
    """Whether articles may leave a unit without its files being written anew.

    Args:
        before: The unit's commit of extract.
        had: The article versions that count in it.
        gone: Those of them that leave.
    """
    return len(before.dropped) + len(gone) <= MOST_DROPPED * (len(before.dropped) + len(had))


def drop_articles(
    store: Store, before: Commit, gone: Collection[str], *, n_listed: int, mark: str, run_id: str
) -> Commit:
    """Commit that some articles of a unit no longer count.

    Args:
        store: The store.
        before: The unit's commit of extract.
        gone: The article versions that leave.
        n_listed: How many stay.
        mark: The unit's new fingerprint.
        run_id: The run.

    Raises:
        LostRowsError: The rows that stay are not those of what is listed; nothing is committed then.
    """
    figures, errors = (store.read(before, name, columns) for name, columns in _COLUMNS.items())
    lost_figures = errors.filter(pc.field("entity") == "figure")
    images_gone = sum(_count(table, gone) for table in (figures, lost_figures))
    after = replace(
        before,
        fingerprint=mark,
        written_as=before.written,
        dropped=sorted({*before.dropped, *gone}),
        run_id=run_id,
        complete=True,
    )
    figures, errors = (store.read(after, name, columns) for name, columns in _COLUMNS.items())
    articles = store.read(after, "articles", ["article_id"])
    skipped = store.read(after, "catalog", ["skipped"])["skipped"]
    n_errors = {entity: pc.sum(pc.equal(errors["entity"], entity), min_count=0).as_py() for entity in _ENTITIES}
    counts = {
        "articles": Flow(n_listed, len(articles), n_errors["article"], len(skipped) - skipped.null_count),
        "figures": Flow(before.counts["figures"].rows_in - images_gone, len(figures), n_errors["figure"]),
    }
    if lost := lost_rows(counts):
        raise LostRowsError(f"extract, unit {before.unit}: {lost}")
    after = replace(after, counts=counts, reasons=reasons_of_tables(store, after))
    write_record(store, after)
    return after


_COLUMNS = {"figures": ["article_id"], "errors": ["article_id", "entity"]}
_ENTITIES = ("article", "figure")


def _count(table: pa.Table, articles: Collection[str]) -> int:
    """How many rows are of these articles."""
    of_them = pc.is_in(table["article_id"], value_set=pa.array(sorted(articles), pa.string()))
    return int(pc.sum(of_them, min_count=0).as_py())
