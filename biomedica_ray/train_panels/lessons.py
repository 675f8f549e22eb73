"""What the networks learn from: composed figures, as inputs and targets of both of them, without end.

A figure teaches the detector in three positions, as it is, mirrored and turned, since composing it is what takes long;
and its patches of ink teach the reader, mixed with those of figures before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from biomedica_ray.panels.compose import Composed, compose, lettered_grid
from biomedica_ray.panels.drawn import any_kind
from biomedica_ray.panels.layouts import shipped_layouts
from biomedica_ray.panels.letters import LETTERS, Candidate, candidates, crops, reduced
from biomedica_ray.panels.model import SIDE, detector_input, places
from biomedica_ray.panels.seen import overlap

DRAWN = 300
"""Drawn pictures that panels are filled with, beside ones that are drawn anew."""
_SINGLE, _GRIDS = 0.25, 0.2
"""Shares of figures of one panel, and of grids of small lettered panels."""
_STORED = 0.6
"""Share of the panels that show a picture of the store's, where there are any."""
_OTHERS = 15
"""Patches of a figure that are no letters of panels, of which there are many more, that the reader learns from."""
_POOL = 20_000
"""Patches from which the reader's batches are drawn."""
_SAME = 0.4
"""IoU from which a patch is the printed letter."""

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Lesson:
    """A step's inputs and targets.

    Attributes:
        images: (n, 3, SIDE, SIDE) uint8.
        panels: For each image its boxes (k, 4) in pixels of it.
        crops: (m, 2, CROP, CROP), what the reader sees.
        places: (m, 3).
        letters: (m,), the classes.
    """

    images: npt.NDArray[np.uint8]
    panels: tuple[Floats, ...]
    crops: Floats
    places: Floats
    letters: npt.NDArray[np.int64]


def lessons(seed: int, pictures: Sequence[Image.Image], figures: int, patches: int, first: int = 0) -> Iterator[Lesson]:
    """Lessons without end; the same arguments give the same ones.

    Args:
        seed: Draws everything.
        pictures: Of one panel, from a store; there may be none.
        figures: That the detector sees a step, a multiple of 3.
        patches: That the reader sees a step.
        first: Number of the first step.
    """
    rng = np.random.default_rng([seed, 0])
    drawn = [any_kind(rng)(rng, *(int(side) for side in rng.integers(140, 480, 2))) for _ in range(DRAWN)]
    pool = _Pool()
    step = first
    while True:
        rng = np.random.default_rng([seed, 1, step])
        images: list[npt.NDArray[np.uint8]] = []
        panels: list[Floats] = []
        while len(images) < figures or not len(pool.letters):
            figure = _figure(rng, drawn, pictures)
            for image, boxes in _positions(figure):
                images.append(image)
                panels.append(boxes)
            pool.add(*_patches(rng, figure))
        chosen = rng.integers(0, len(pool.letters), patches)
        stacked = np.stack(images[:figures]).transpose(0, 3, 1, 2)
        seen = pool.crops[chosen].astype(np.float32) / np.float32(255)
        yield Lesson(
            np.ascontiguousarray(stacked), tuple(panels[:figures]), seen, pool.places[chosen], pool.letters[chosen]
        )
        step += 1


def _figure(rng: np.random.Generator, drawn: Sequence[Image.Image], pictures: Sequence[Image.Image]) -> Composed:
    kind = rng.random()
    if kind < _SINGLE:
        return compose(rng, None, pictures if rng.random() < _STORED else (), share=1.0)
    layouts = shipped_layouts()
    layout = lettered_grid(rng) if kind < _SINGLE + _GRIDS else layouts[int(rng.integers(len(layouts)))]
    from_store = len(pictures) and rng.random() < _STORED
    return compose(rng, layout, pictures if from_store else drawn, share=0.85)


def _positions(figure: Composed) -> Iterator[tuple[npt.NDArray[np.uint8], Floats]]:
    """The figure on a square of paper, with its boxes: as it is, mirrored, and turned by a quarter."""
    small, scale = detector_input(Image.fromarray(figure.pixels))
    page = np.full((SIDE, SIDE, 3), 255, np.uint8)
    page[: small.shape[0], : small.shape[1]] = small
    boxes = np.array(figure.panels, np.float32) / scale
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    left, top, right, bottom = boxes.T
    yield page, boxes
    yield page[:, ::-1], np.stack([SIDE - right, top, SIDE - left, bottom], axis=1)
    yield page.transpose(1, 0, 2)[::-1], np.stack([top, SIDE - right, bottom, SIDE - left], axis=1)


def _patches(rng: np.random.Generator, figure: Composed) -> tuple[npt.NDArray[np.uint8], Floats, npt.NDArray[np.int64]]:
    small, scale = reduced(Image.fromarray(figure.pixels))
    pixels = np.asarray(small)
    found = candidates(pixels)
    classes = np.array([_letter(each, figure, scale) for each in found], np.int64)
    others = np.flatnonzero(classes == len(LETTERS))
    kept = np.concatenate([np.flatnonzero(classes < len(LETTERS)), rng.permutation(others)[:_OTHERS]])
    chosen = [found[n] for n in kept]
    seen = (crops(pixels, chosen) * 255).astype(np.uint8)
    return seen, places(chosen, small.width, small.height), classes[kept]


def _letter(patch: Candidate, figure: Composed, scale: float) -> int:
    for letter, box in figure.letters:
        if letter in LETTERS and overlap(patch[:4], [side / scale for side in box]) > _SAME:
            return LETTERS.index(letter)
    return len(LETTERS)


class _Pool:
    """The last patches."""

    def __init__(self) -> None:
        self.crops: npt.NDArray[np.uint8] = np.empty((0, 2, 32, 32), np.uint8)
        self.places: Floats = np.empty((0, 3), np.float32)
        self.letters: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def add(self, seen: npt.NDArray[np.uint8], where: Floats, letters: npt.NDArray[np.int64]) -> None:
        self.crops = np.concatenate([self.crops, seen])[-_POOL:]
        self.places = np.concatenate([self.places, where])[-_POOL:]
        self.letters = np.concatenate([self.letters, letters])[-_POOL:]
