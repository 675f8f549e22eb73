"""Where in figures pictures of another set may be, by thumbnails: crops, turned ones, panels, with margins or without.

Of the pictures, the fewer, everything is prepared once: thumbnails with their margins and without, turned back from all
eight orientations, and of windows of each. Of each figure and each panel of one, the thumbnail's windows are looked up
among them. What is found is a guess with a place, which :mod:`biomedica_ray.dedupe.alignment` then looks at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from biomedica_ray.dedupe.alignment import FINEST, Window, align, size_within
from biomedica_ray.dedupe.lookup import HashIndex, build_index, nearest
from biomedica_ray.dedupe.windows import (
    COARSE,
    CROPS,
    PARTS,
    TURNS,
    WHOLE,
    Interval,
    Thumbnails,
    turned_back,
    window_hashes,
)
from biomedica_ray.images.margins import content_box
from biomedica_ray.images.thumbnails import SIDE, thumbnail

MAX_DISTANCE = 8
"""Bits in which the hashes of a window and of a picture may differ. It only makes candidates."""
MIN_SCORE = 0.4
"""Least correlation of their thumbnails, once laid over one another. It only makes candidates."""
LEAST_SOUGHT = 48
"""Pixels of the shorter side below which a picture is not sought, nor found in less of a figure: there is too little in
it to be certain. X-rays of one kind are alike but for details."""
_BLANK = 4.0
"""Standard deviation of the grey values of a thumbnail in which there is next to nothing."""
MOST_PLACES = 64
"""Places of a figure or panel that are compared by thumbnails, those with the nearest hashes: thousands of X-rays may
hash alike."""
_LOOKS_TURNED = 4096
_CHUNK = 32
"""Figures and panels that are looked up at a time: 9 bytes for each of them and each look, with 100,000 pictures of
two looks 58 MB."""

Grey = npt.NDArray[np.uint8]


class Look(NamedTuple):
    """A picture that is sought, with its margins or without.

    Attributes:
        trimmed: Whether it is without margins.
        thumbnail: (1024,) grey values of 32 x 32 boxes.
        grey: Its grey values (h, w), reduced to as many pixels as it is compared with last.
    """

    trimmed: bool
    thumbnail: Thumbnails
    grey: Grey


class Sought(NamedTuple):
    """The looks of all pictures that are sought, (n,) each.

    Attributes:
        pictures: Which picture each is of.
        trimmed: Whether it is without margins.
        thumbnails: (n, 1024).
        turned: Hashes of the looks turned back, eight each.
        windows: Hashes of windows of the looks, for pictures in which a figure is.
    """

    pictures: npt.NDArray[np.int32]
    trimmed: npt.NDArray[np.bool_]
    thumbnails: Thumbnails
    turned: HashIndex
    windows: HashIndex


class Candidate(NamedTuple):
    """A guess that a picture is in a region, or a region in a picture.

    Attributes:
        region: Which region.
        look: Which look of :class:`Sought`.
        turn: Which of :data:`~biomedica_ray.dedupe.windows.TURNS`.
        larger: Whether the region is in the picture rather than the picture in the region.
        window: Where, in shares of the one that has the other.
        score: Correlation of the thumbnails.
    """

    region: int
    look: int
    turn: int
    larger: bool
    window: Window
    score: float


def looks_of(image: Image.Image) -> list[Look]:
    """How a picture is sought: as it is, and without margins if it has some; not at all if it is small or blank.

    Args:
        image: RGB, upright.
    """
    box = content_box(image)
    views = [(False, image)] if box == (0, 0, *image.size) else [(False, image), (True, image.crop(box))]
    looks = [Look(trimmed, thumbnail(view), _grey(view)) for trimmed, view in views if min(view.size) >= LEAST_SOUGHT]
    return [look for look in looks if look.thumbnail.std() >= _BLANK]


def _grey(image: Image.Image) -> Grey:
    return np.asarray(image.convert("L").resize(size_within(image.size, FINEST), Image.Resampling.BILINEAR), np.uint8)


def build_sought(pictures: npt.NDArray[np.int32], trimmed: npt.NDArray[np.bool_], thumbnails: Thumbnails) -> Sought:
    """Everything that figures are looked up in; arguments as in :class:`Sought`."""
    pieces = [thumbnails[start : start + _LOOKS_TURNED] for start in range(0, len(thumbnails), _LOOKS_TURNED)]
    hashed = [window_hashes(turned_back(piece).reshape(-1, SIDE * SIDE), WHOLE).reshape(-1) for piece in pieces]
    turned = build_index(np.concatenate(hashed), MAX_DISTANCE)
    windows = build_index(window_hashes(thumbnails, COARSE).reshape(-1), MAX_DISTANCE)
    return Sought(pictures, trimmed, thumbnails, turned, windows)


def find_candidates(sought: Sought, regions: Thumbnails) -> list[Candidate]:
    """Where the pictures may be in these figures and panels: of each region and look the place that fits best.

    Args:
        sought: The pictures.
        regions: Thumbnails (n, 1024) of figures and panels.
    """
    found: list[Candidate] = []
    for start in range(0, len(regions), _CHUNK):
        chosen = start + np.flatnonzero(regions[start : start + _CHUNK].std(axis=1) >= _BLANK)
        if not len(chosen):
            continue
        best: dict[tuple[int, int], Candidate] = {}
        for place in _places(sought, regions[chosen]):
            candidate = _scored(sought, regions, int(chosen[place["region"]]), place)
            pair = candidate.region, candidate.look
            if candidate.score > max(MIN_SCORE, best[pair].score if pair in best else 0.0):
                best[pair] = candidate
        found += best.values()
    return found


_PLACE = np.dtype(
    [("region", "i4"), ("look", "i4"), ("turn", "i1"), ("larger", "?"), ("bits", "i1"), ("window", "f4", 4)]
)


def _places(sought: Sought, regions: Thumbnails) -> npt.NDArray[np.void]:
    """Where the hashes are near: a few places of each region, the nearest.

    A picture may have several: with its margins it seems to be in one place, without in another, and one is wrong.
    """
    found = np.concatenate(
        [*(_in_regions(sought, regions, each) for each in (CROPS, PARTS)), _in_pictures(sought, regions)]
    )
    found = found[np.lexsort((found["look"], found["bits"], found["region"]))]
    return found[np.arange(len(found)) - np.searchsorted(found["region"], found["region"]) < MOST_PLACES]


def _in_regions(sought: Sought, regions: Thumbnails, intervals: Sequence[Interval]) -> npt.NDArray[np.void]:
    """Windows of regions that hash as a picture does."""
    queries = window_hashes(regions, intervals).reshape(len(regions), -1)
    owners = np.repeat(np.arange(len(sought.pictures), dtype=np.int32), len(TURNS))
    region, window, found, bits = nearest(sought.turned, queries, owners, MOST_PLACES).T
    look, turn = np.divmod(found, len(TURNS))
    return _as_places(region, look, turn, bits, _windows(window, intervals), larger=False)


def _in_pictures(sought: Sought, regions: Thumbnails) -> npt.NDArray[np.void]:
    """Windows of pictures that hash as a region does."""
    turned = turned_back(regions).reshape(-1, SIDE * SIDE)
    queries = window_hashes(turned, WHOLE).reshape(len(regions), -1)
    owners = np.repeat(np.arange(len(sought.pictures), dtype=np.int32), len(COARSE) ** 2)
    region, turn, found, bits = nearest(sought.windows, queries, owners, MOST_PLACES).T
    look, window = np.divmod(found, len(COARSE) ** 2)
    return _as_places(region, look, turn, bits, _windows(window, COARSE), larger=True)


def _windows(number: npt.NDArray[np.int32], intervals: Sequence[Interval]) -> npt.NDArray[np.float32]:
    """(k, 4) left, top, right and bottom of windows by their numbers (k,), which count rows first."""
    edges = np.array(intervals, np.float32)
    rows, columns = (edges[each] for each in np.divmod(number, len(intervals)))
    return np.stack([columns[:, 0], rows[:, 0], columns[:, 1], rows[:, 1]], axis=1)


def _as_places(
    region: npt.NDArray[np.int32],
    look: npt.NDArray[np.int32],
    turn: npt.NDArray[np.int32],
    bits: npt.NDArray[np.int32],
    window: npt.NDArray[np.float32],
    *,
    larger: bool,
) -> npt.NDArray[np.void]:
    places = np.empty(len(region), _PLACE)
    columns = {"region": region, "look": look, "turn": turn, "bits": bits, "window": window, "larger": larger}
    for name, values in columns.items():
        places[name] = values
    return places


def _scored(sought: Sought, regions: Thumbnails, region: int, place: np.void) -> Candidate:
    look, turn, larger = int(place["look"]), int(place["turn"]), bool(place["larger"])
    ours, theirs = (_as_image(each) for each in (regions[region], sought.thumbnails[look]))
    window = tuple(float(edge) for edge in place["window"])
    left, top, right, bottom = (edge * SIDE for edge in window)
    container, image = (theirs, turn_back(ours, turn)) if larger else (ours, turn_back(theirs, turn))
    aligned = align(container, image, (left, top, right, bottom), (SIDE,))
    left, top, right, bottom = (edge / SIDE for edge in aligned.window)
    return Candidate(region, look, turn, larger, (left, top, right, bottom), aligned.correlation)


def _as_image(look: Thumbnails) -> Image.Image:
    return Image.fromarray(look.reshape(SIDE, SIDE))


def turn_back(image: Image.Image, turn: int) -> Image.Image:
    """An image turned back from one of :data:`~biomedica_ray.dedupe.windows.TURNS`."""
    _, back = TURNS[turn]
    return image if back is None else image.transpose(back)
