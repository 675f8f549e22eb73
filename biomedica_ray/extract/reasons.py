"""Why articles were skipped, and articles and figures lost: counted while a unit is written, and kept in its commit."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.store import Commit, Store

Reasons = dict[str, dict[str, int]]
"""What happened ("articles skipped", "article errors", "retryable figure errors"...) -> kind -> how many."""


def count_reasons(store: Store, extracted: Iterable[Commit]) -> Reasons:
    """Why articles were skipped and rows lost, in all units that have been extracted."""

    def of(commit: Commit) -> Reasons:
        # Commits of earlier versions do not say; their tables do.
        return reasons_of_tables(store, commit) if commit.reasons is None else commit.reasons

    total: dict[str, Counter[str]] = defaultdict(Counter)
    for reasons in map_in_threads(of, extracted):
        for what, kinds in reasons.items():
            total[what].update(kinds)
    return {what: dict(kinds.most_common()) for what, kinds in sorted(total.items()) if kinds}


def reasons_of_tables(store: Store, commit: Commit) -> Reasons:
    """Why articles of a unit were skipped and rows lost, as its tables have it."""
    reasons = ReasonCounter()
    reasons.add("catalog", store.read(commit, "catalog", ["skipped"]))
    reasons.add("errors", store.read(commit, "errors", ["entity", "kind", "retryable"]))
    return reasons.counted()


class ReasonCounter:
    """Counts why articles are skipped and rows lost."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[str]] = defaultdict(Counter)

    def add(self, name: str, rows: Sequence[Mapping[str, Any]] | pa.Table) -> None:
        """Count rows of a table; tables other than catalog and errors have no reasons."""
        if name == "catalog":
            columns = rows.to_pylist() if isinstance(rows, pa.Table) else rows
            self._counts["articles skipped"].update(row["skipped"] for row in columns if row["skipped"])
        elif name == "errors":
            for row in rows.to_pylist() if isinstance(rows, pa.Table) else rows:
                self._counts[f"{row['entity']} errors"][row["kind"]] += 1
                if row["retryable"]:
                    self._counts[f"retryable {row['entity']} errors"][row["kind"]] += 1

    def counted(self) -> Reasons:
        """What has been counted."""
        return {what: dict(kinds) for what, kinds in sorted(self._counts.items())}
