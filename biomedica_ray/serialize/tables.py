"""Tables of a unit whose stage may not have run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from biomedica_ray.store import Store

Row = dict[str, Any]


def read_pubmed(store: Store, unit: int, columns: Sequence[str]) -> dict[str, Row]:
    """PubMed's records of a unit's articles, by article_id, with these columns beside it."""
    (rows,) = read_rows(store, "enrich", unit, "pubmed", columns=["article_id", *columns])
    return {row["article_id"]: row for row in rows}


def read_rows(
    store: Store, stage: str, unit: int, *tables: str, columns: Sequence[str] | None = None
) -> list[list[Row]]:
    """The rows of tables of a unit; none where the stage has not done the unit, or had no such table yet."""
    try:
        commit = store.commit(stage, unit)
    except FileNotFoundError:
        return [[] for _ in tables]
    return [store.read(commit, table, columns).to_pylist() if table in commit.files else [] for table in tables]
