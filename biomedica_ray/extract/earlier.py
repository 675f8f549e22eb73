"""What an earlier run extracted of a unit: articles that have not changed are copied instead of fetched again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray import schema
from biomedica_ray.sources.base import Listed
from biomedica_ray.sources.filters import Filters
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import Flow

TABLES = ("catalog", "articles", "figures", "images", "errors")
COMPARED = ("source_uri", "etag", "license_code", "is_retracted", "is_open_access")
"""Columns of the listing, null where the source does not say; the article is extracted again when one changes."""
_FACTS = ["article_id", *COMPARED]
_BATCH_ROWS = 16
"""Figures that are held in memory at a time."""


class Earlier:
    """The rows of those articles of a unit that can be kept; each row is read once, in order.

    Attributes:
        had: The article versions that the unit has.
        kept: Those of them that are listed and have not changed.

    Args:
        store: The store.
        commit: The unit's commit of extract, made by the version that runs now, if there is one.
        listed: The unit's article versions as they are listed now, in order.
        filters: What is left out now; None if that has not changed.
    """

    def __init__(
        self, store: Store, commit: Commit | None, listed: Sequence[Listed], filters: Filters | None = None
    ) -> None:
        self._store, self._commit = store, commit
        self.had: frozenset[str] = frozenset()
        self.kept: frozenset[str] = frozenset()
        if commit is not None:
            before = {row["article_id"]: row for row in store.read(commit, "catalog", _FACTS).to_pylist()}
            unchanged = _unchanged(store, commit, listed, before)
            self.had, self.kept = frozenset(before), frozenset(unchanged - _judged_anew(store, commit, filters))

    @cached_property
    def _readers(self) -> dict[str, _Reader]:
        if self._commit is None:
            return {}
        return {
            name: _Reader(self._store.batches(self._commit, name, batch_size=_BATCH_ROWS), self.kept) for name in TABLES
        }

    @cached_property
    def _images(self) -> Counter[str]:
        return _count_images(self._store, self._commit) if self._commit else Counter()

    def take(self, article_id: str) -> dict[str, pa.Table]:
        """The rows of a kept article by table; articles must be asked for in order."""
        return {
            name: pa.Table.from_batches(reader.take(article_id), schema.TABLES[name])
            for name, reader in self._readers.items()
        }

    def flows(self, article_id: str, tables: Mapping[str, pa.Table]) -> tuple[Flow, Flow]:
        """What became of a kept article, and of the images that its XML names, from its rows."""
        lost = tables["errors"]["entity"].to_pylist()
        skipped = tables["catalog"].num_rows - tables["catalog"]["skipped"].null_count
        return (
            Flow(1, tables["articles"].num_rows, lost.count("article"), skipped),
            Flow(self._images[article_id], tables["figures"].num_rows, lost.count("figure")),
        )


def reasons(store: Store, commit: Commit, filters: Filters) -> dict[str, tuple[str | None, str | None]]:
    """Article version -> why it was left out when it was extracted, and why ``filters`` leaves it out, or None."""
    facts = ["article_id", "license_code", "is_retracted"]
    read = {row["article_id"]: row for row in store.read(commit, "articles", facts).to_pylist()}
    found = {}
    for row in store.read(commit, "catalog", [*facts, "is_open_access", "skipped"]).to_pylist():
        now = filters.reason(row["license_code"], row["is_retracted"], row["is_open_access"])
        if now is None and (article := read.get(row["article_id"])):
            now = filters.reason(article["license_code"], article["is_retracted"])
        found[row["article_id"]] = row["skipped"], now
    return found


def _count_images(store: Store, commit: Commit) -> Counter[str]:
    """Article version -> the images that its XML names: those that were read, and those that are errors."""
    errors = store.read(commit, "errors", ["article_id", "entity"])
    counts = Counter(errors.filter(pc.field("entity") == "figure")["article_id"].to_pylist())
    counts.update(store.read(commit, "figures", ["article_id"])["article_id"].to_pylist())
    return counts


def _judged_anew(store: Store, commit: Commit, filters: Filters | None) -> set[str]:
    """The article versions that new filters treat differently."""
    if filters is None:
        return set()
    return {article_id for article_id, (then, now) in reasons(store, commit, filters).items() if then != now}


def _unchanged(
    store: Store, commit: Commit, listed: Iterable[Listed], before: Mapping[str, Mapping[str, Any]]
) -> set[str]:
    """The article versions whose listing has not changed and that had no error that a retry may cure."""
    errors = store.read(commit, "errors", ["article_id", "retryable"])
    again = set(errors.filter(pc.fill_null(errors["retryable"], False))["article_id"].to_pylist())
    return {
        now.article_id
        for now in listed
        if (then := before.get(now.article_id)) is not None
        and now.article_id not in again
        and all(getattr(now, column) in {None, then[column]} for column in COMPARED)
    }


class _Reader:
    """The rows of one table, article by article, a batch in memory at a time."""

    def __init__(self, batches: Iterator[pa.RecordBatch], kept: frozenset[str]) -> None:
        self._pieces = ((id_, piece) for batch in batches for id_, piece in _by_article(batch) if id_ in kept)
        self._next = next(self._pieces, None)

    def take(self, article_id: str) -> list[pa.RecordBatch]:
        """The rows of an article, if it has any here."""
        found = []
        while self._next is not None and self._next[0] == article_id:
            found.append(self._next[1])
            self._next = next(self._pieces, None)
        return found


def _by_article(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of each article; they are in two pieces where a batch ends between them."""
    start = 0
    for article_id, rows in groupby(batch["article_id"].to_pylist()):
        n = len(list(rows))
        yield article_id, batch.slice(start, n)
        start += n
