"""Units: how articles are cut into pieces of work, and how a piece knows whether it is done.

A unit is a few hundred articles chosen by a stable hash of pmcid. It is at once the unit of work, of commit,
of resume, of statistics and of joining: every table has the same units. Articles that come or change later go to
units of a later generation, so that those of before need not be written again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

ARTICLES_PER_UNIT = 250
"""About 1 GB of figures at PMC's averages (1.1 MB a figure, 4 figures an article)."""

MIN_UNITS = 16
"""Small collections are cut at least this fine, so that every core of a workstation has work."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What became of the rows of one kind: ``rows_in == rows_out + errors + skipped``, or rows were lost.

    For a loss to show, ``rows_in`` comes from where the rows do (the commit of the stage before, a plan), and the
    others are counted where rows are written or left out.
    """

    rows_in: int = 0
    rows_out: int = 0
    errors: int = 0
    skipped: int = 0
    """Left out because the config says so."""

    def __add__(self, other: Flow) -> Flow:
        return Flow(
            self.rows_in + other.rows_in,
            self.rows_out + other.rows_out,
            self.errors + other.errors,
            self.skipped + other.skipped,
        )

    @property
    def balanced(self) -> bool:
        """Whether every row that came in is accounted for."""
        return self.rows_in == self.rows_out + self.errors + self.skipped

    def __str__(self) -> str:
        equal = "=" if self.balanced else "but"
        text = f"{self.rows_in:,} in {equal} {self.rows_out:,} out + {self.errors:,} errors"
        return f"{text} + {self.skipped:,} skipped" if self.skipped else text


Counts = dict[str, Flow]
"""A flow for each kind of row (articles, figures, samples...)."""


class LostRowsError(Exception):
    """Rows came in that neither came out nor are in errors."""


def lost_rows(counts: Counts) -> str:
    """Where rows were lost, in one line; empty where none were."""
    lost = "; ".join(f"{kind}: {flow}" for kind, flow in counts.items() if not flow.balanced)
    return lost and f"rows lost: {lost}"


def add_counts(total: Counts, more: Counts) -> Counts:
    """Sum two counts, kind by kind."""
    return {kind: total.get(kind, Flow()) + more.get(kind, Flow()) for kind in {**total, **more}}


def counts_to_json(counts: Counts) -> dict[str, dict[str, int]]:
    """Counts as plain numbers, for a JSON file."""
    return {kind: asdict(flow) for kind, flow in counts.items()}


def counts_from_json(data: dict[str, dict[str, int]]) -> Counts:
    """The inverse of :func:`counts_to_json`."""
    return {kind: Flow(**flow) for kind, flow in data.items()}


def unit_count(n_articles: int) -> int:
    """How many units a new store gets for a collection of ``n_articles``."""
    return max(MIN_UNITS, -(-n_articles // ARTICLES_PER_UNIT))


def units_of(pmcid: str, generations: Sequence[int]) -> list[int]:
    """The units that an article may be in: one of each generation of units, which are numbered one after the other.

    Args:
        pmcid: The article's.
        generations: How many units each generation has, the first one first.
    """
    starts = accumulate(generations, initial=0)
    return [start + unit_of(pmcid, n) for start, n in zip(starts, generations, strict=False)]


def pmcid_of(id_: str) -> str:
    """The pmcid in an article_id or figure_id: ``PMC123`` of ``PMC123.2`` and of ``PMC123.2_007``."""
    return id_.rpartition(".")[0]


def unit_of(pmcid: str, n_units: int) -> int:
    """Which of ``n_units`` an article is in, in ``[0, n_units)``; the same on every machine, in every Python."""
    return stable_hash(pmcid) % n_units


def stable_hash(text: str) -> int:
    """A 64-bit hash of ``text`` that never changes (BLAKE2b, RFC 7693)."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


class AsJson(str):
    """A part of fingerprints that is JSON already: a large one that goes into many of them is put into words once."""

    @classmethod
    def of(cls, part: Any) -> AsJson:
        """What :func:`fingerprint` makes of a part."""
        return cls(json.dumps(part, sort_keys=True, default=str, separators=(",", ":")))


def fingerprint(*parts: Any) -> str:
    """16 hex digits that change when any of the JSON-serialisable ``parts`` changes.

    A unit whose committed fingerprint equals the one computed from its inputs and settings is done.
    """
    text = f"[{','.join(part if isinstance(part, AsJson) else AsJson.of(part) for part in parts)}]"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
