"""Layouts of real compound figures: where their panels and letters are.

The table ships with the package; ``benchmarks/panel_layouts.py`` says what it is made from and makes it.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

_SCALE = 1000
_PLACES = ("left", "top", "right", "bottom")


class Place(NamedTuple):
    """A rectangle as shares of the longer side of its figure."""

    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Spot:
    """A panel of a layout.

    Attributes:
        panel: Where the panel is.
        letter: Where its printed letter is; None where it has none.
        text: The letter, in the case that the figure has; empty where it has none.
    """

    panel: Place
    letter: Place | None
    text: str


Layout = tuple[Spot, ...]


@cache
def shipped_layouts() -> tuple[Layout, ...]:
    """The layouts of the package's table: of compound figures only, in the order of their names."""
    table = files("biomedica_ray.panels") / "data" / "layouts.csv.gz"
    with table.open("rb") as packed, gzip.open(packed, "rt", encoding="ascii") as file:
        rows = groupby(csv.DictReader(file), key=itemgetter("layout"))
        return tuple(tuple(map(_spot, panels)) for _, panels in rows)


def _spot(row: Mapping[str, str]) -> Spot:
    letter = _place(row, "letter_") if row["letter"] else None
    return Spot(_place(row, ""), letter, row["letter"])


def _place(row: Mapping[str, str], prefix: str) -> Place:
    return Place(*(int(row[prefix + place]) / _SCALE for place in _PLACES))
