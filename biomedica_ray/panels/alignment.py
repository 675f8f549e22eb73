"""Which part of a caption each panel of an image has: by its printed letter, by where it stands, or by reading order.

1. ``letter``: the letter that the image shows at a panel is one that the caption names. Without an exact match the
   caption's panels of that letter count (``A`` in the image, ``A1, A2`` or ``Ai`` in the caption). Of two panels with
   one letter the surer has it.
2. ``position``: the caption names places (left, top right, lower row) and the boxes stand in such rows and columns.
3. ``order``: the caption names as many panels as there are boxes; those without a letter get the rest in reading order,
   by rows or by columns, with which all letters that were seen have to agree; without letters by rows.

Otherwise a panel has no words. The confidence of an alignment is, from 0 to 1:

- letter: the letter reader's, times :data:`OUT_OF_ORDER` where the letters seen agree with neither order
- position: the least confidence of the figure's boxes, as a box that is missing moves all
- order: the same, times :data:`BY_ORDER`; for the one panel that letters in no order leave over, at most theirs, times
  :data:`OUT_OF_ORDER`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from biomedica_ray.panels.boxes import Box, reading_order
from biomedica_ray.panels.found import FoundPanel, surer

BY_ORDER = 0.92
"""Share of 509 panels of real figures that have their own letter by order alone, where all boxes are right."""
OUT_OF_ORDER = 0.8
"""What is left of a letter's confidence where the letters of its figure are in no order, as one of them is misread."""

How = Literal["letter", "position", "order", "none"]

_HORIZONTAL, _VERTICAL = (
    {"left": 0, "right": -1},
    {"top": 0, "upper": 0, "above": 0, "bottom": -1, "lower": -1, "below": -1},
)
_MIDDLE = {"middle", "center", "centre", "central"}
_NOUNS = ("panel", "image", "row", "column", "side", "plot", "graph", "figure", "picture", "photo", "half", "part")


@dataclass(frozen=True)
class Aligned:
    """What a panel has of the caption.

    Attributes:
        names: The caption's panels that it is, as the caption writes them; none where ``how`` is none.
        how: letter, position, order or none.
        confidence: 0 to 1; 0 where ``how`` is none.
    """

    names: tuple[str, ...] = ()
    how: How = "none"
    confidence: float = 0.0


def panel_names(labels: Sequence[str]) -> list[str]:
    """The panels that a caption's parts name, each once: in the order of letters and digits, words as they come.

    A caption may speak of panels together (A, C) before it comes to the one between them; panels stand in order.
    """
    names = list(dict.fromkeys(name for label in labels for name in label.split(", ")))
    return sorted(names) if all(len(name) == 1 for name in names) else names


def box_confidence(panel: FoundPanel) -> float:
    """How sure it is that a panel is there (:func:`~biomedica_ray.panels.found.surer`)."""
    return surer(panel.box.confidence, panel.model_confidence)


def align(panels: Sequence[FoundPanel], labels: Sequence[str]) -> list[Aligned]:
    """What each panel of an image has of the caption; nothing for an image of one panel, which has all of it.

    Args:
        panels: The panels of the image, in reading order.
        labels: The labels of the caption's parts: a panel, several joined by ", ", or a place.
    """
    names = panel_names(labels)
    nothing = [Aligned()] * len(panels)
    if len(panels) < 2 or not names:
        return nothing
    least = min(map(box_confidence, panels))
    if all(map(_is_place, names)):
        placed = _by_place([panel.box for panel in panels], names)
        return [Aligned((name,), "position", least) if name else Aligned() for name in placed]
    seen = _by_letter(panels, names)
    order = _agreeing_order(panels, seen, names)
    aligned = list(nothing)
    for number, its_names in seen.items():
        confidence = panels[number].printed_confidence or 0.0
        aligned[number] = Aligned(its_names, "letter", confidence * (1 if order is not None else OUT_OF_ORDER))
    if len(names) != len(panels):
        return aligned
    taken = {name for each in seen.values() for name in each}
    left = [name for name in names if name not in taken]
    without = [number for number in order or range(len(panels)) if number not in seen]
    if len(left) == len(without) and (order is not None or len(left) == 1):
        if order is None:  # what is left over is no surer than the letters that leave it
            least = min(least, *(panels[number].printed_confidence or 0.0 for number in seen)) * OUT_OF_ORDER
        for number, name in zip(without, left, strict=True):
            aligned[number] = Aligned((name,), "order", least * BY_ORDER)
    return aligned


def _by_letter(panels: Sequence[FoundPanel], names: Sequence[str]) -> dict[int, tuple[str, ...]]:
    """Number of a panel -> what the caption calls the letter that it shows, where the caption has it."""
    by_name: dict[str, list[str]] = {}
    for name in names:
        by_name.setdefault(name.casefold(), []).append(name)
    surest = sorted(
        (number for number, panel in enumerate(panels) if panel.printed),
        key=lambda number: -(panels[number].printed_confidence or 0.0),
    )
    found: dict[int, tuple[str, ...]] = {}
    taken: set[str] = set()
    for number in surest:
        printed = (panels[number].printed or "").casefold()
        its_names = by_name.get(printed) or _details(names, printed)
        its_names = [name for name in its_names if name not in taken]
        if its_names:
            found[number] = tuple(its_names)
            taken.update(its_names)
    return found


def _details(names: Sequence[str], letter: str) -> list[str]:
    """The caption's panels that are parts of one letter: A1 and A2, Ai and Aii of A; words are none."""
    return [name for name in names if name[:1].casefold() == letter and 1 < len(name) < 5 and not _is_place(name)]


def _agreeing_order(
    panels: Sequence[FoundPanel], seen: Mapping[int, tuple[str, ...]], names: Sequence[str]
) -> list[int] | None:
    """The panels' numbers by rows, or else by columns, where the letters seen come in the caption's order; or None."""
    places = {name: place for place, name in enumerate(names)}
    complete = len(names) == len(panels)
    for order in (list(range(len(panels))), _by_columns([panel.box for panel in panels])):
        met = [(rank, places[seen[number][0]]) for rank, number in enumerate(order) if number in seen]
        ascending = all(one < other for (_, one), (_, other) in pairwise(met))
        if ascending and (not complete or all(rank == place for rank, place in met)):
            return order
    return None


def _by_columns(boxes: Sequence[Box]) -> list[int]:
    """The boxes' numbers in reading order of columns: that of the figure with x and y exchanged."""
    turned = [Box(box.top, box.left, box.bottom, box.right, number) for number, box in enumerate(boxes)]
    return [int(box.confidence) for box in reading_order(turned)]


def _is_place(name: str) -> bool:
    words = _words(name)
    return bool(words) and all(word in _HORIZONTAL or word in _VERTICAL or word in _MIDDLE for word in words)


def _words(name: str) -> list[str]:
    words = name.casefold().replace("-", " ").replace("/", " ").split()
    return [word for word in words if word.rstrip("s") not in _NOUNS]


class _Place(NamedTuple):
    """A place in words: which row and which column, 0 for the first, -1 for the last, "middle", or None for any."""

    row: int | str | None
    column: int | str | None


def _by_place(boxes: Sequence[Box], names: Sequence[str]) -> list[str | None]:
    """For each box the one place that it is in; nothing at all where a place is empty, or a box is in several."""
    all_words = {word for name in names for word in _words(name)}
    across = bool(all_words & _HORIZONTAL.keys())
    found: list[str | None] = [None] * len(boxes)
    for name in names:
        inside = _in_place(boxes, _place(name, across=across))
        if not inside or any(found[number] is not None for number in inside):
            return [None] * len(boxes)
        for number in inside:
            found[number] = name
    return found


def _place(name: str, *, across: bool) -> _Place:
    row: int | str | None = None
    column: int | str | None = None
    for word in _words(name):
        if word in _HORIZONTAL:
            column = _HORIZONTAL[word]
        elif word in _VERTICAL:
            row = _VERTICAL[word]
    if any(word in _MIDDLE for word in _words(name)):
        if column is None and (across or row is not None):
            column = "middle"
        elif row is None:
            row = "middle"
    return _Place(row, column)


def _in_place(boxes: Sequence[Box], place: _Place) -> list[int]:
    numbers = list(range(len(boxes)))
    for axis, which in (("top", place.row), ("left", place.column)):
        if which is not None:
            groups = _lines(boxes, numbers, axis)
            if len(groups) < 2 or (which == "middle" and len(groups) % 2 == 0):
                return []
            numbers = groups[len(groups) // 2 if which == "middle" else int(which)]
    return numbers


def _lines(boxes: Sequence[Box], numbers: Sequence[int], axis: str) -> list[list[int]]:
    """Boxes in rows (axis top) or columns (left): those that share more than half of the lower one's extent."""
    start, end = (1, 3) if axis == "top" else (0, 2)
    groups: list[list[int]] = []
    for number in sorted(numbers, key=lambda n: boxes[n][start] + boxes[n][end]):
        last = boxes[groups[-1][-1]] if groups else None
        box = boxes[number]
        if last is not None:
            shared = min(last[end], box[end]) - max(last[start], box[start])
            if shared > min(last[end] - last[start], box[end] - box[start]) / 2:
                groups[-1].append(number)
                continue
        groups.append([number])
    return groups
