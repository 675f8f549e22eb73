"""The panels of an image from all that speaks of them: printed letters, gutters, and a detector.

The rule, in its order (docs/panels.md has what each step is worth):

1. Letters that run on from A say what is a panel: the figure is cut so that each part has one
   (:mod:`biomedica_ray.panels.by_letters`).
2. Without letters the gutters say it, with their exact edges, and a detector only overrules them: where it is sure of
   one panel that is the whole, the figure is one; where gutters give one panel and it is sure of several, its boxes
   count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from biomedica_ray.panels.boxes import Box, gutter_confidence, reading_order, split_figure, working_ink
from biomedica_ray.panels.by_letters import cut_by_letters, to_ink
from biomedica_ray.panels.found import FoundPanel
from biomedica_ray.panels.letters import LETTERS, Letter
from biomedica_ray.panels.seen import Seen, overlap

SURE = 0.6
"""Confidence of the detector in a panel from which it overrules gutters."""
_ALL = 0.5
"""IoU of two boxes of the same panel."""

Pixels = npt.NDArray[np.uint8]


def find_panels(
    rgb: Pixels, expected: int | None = None, letters: Sequence[Letter] = (), seen: Sequence[Seen] | None = None
) -> list[FoundPanel]:
    """The panels of an image in reading order; one box around everything where it is not compound.

    Args:
        rgb: Pixels (height, width, 3).
        expected: How many panels the caption names, where it does.
        letters: Letters of panels that were read in the image.
        seen: What a detector sees; None where there is none.
    """
    if len(letters) > 1:
        return _by_letters(rgb, letters, seen or ())
    boxes = split_figure(rgb, expected)
    if seen is not None:
        boxes = _overruled(rgb, boxes, seen)
    return [FoundPanel(box, _confidence(box, seen or ())) for box in boxes]


def _by_letters(rgb: Pixels, letters: Sequence[Letter], seen: Sequence[Seen]) -> list[FoundPanel]:
    height, width = rgb.shape[:2]
    ink, step = working_ink(rgb)
    small = {each._replace(**{side: getattr(each, side) / step for side in Box._fields[:4]}): each for each in letters}
    panels: dict[Box, Letter | None] = {}
    for part in (to_ink(ink, each) for each in cut_by_letters(ink, list(small))):
        left, top, right, bottom = (value * step for value in part.box)
        confidence = gutter_confidence(part.gutter * step, max(width, height))
        panels[Box(left, top, min(right, width), min(bottom, height), confidence)] = small[part.letters[0]]
    _add_unread(rgb, panels, letters)
    found = []
    for box in reading_order(list(panels)):
        letter, sure = panels[box], _confidence(box, seen)
        if letter:
            sure = max(sure or 0.0, letter.confidence)
            found.append(FoundPanel(box, sure, letter.letter, letter.confidence))
        else:
            found.append(FoundPanel(box, sure))
    return found


def _add_unread(rgb: Pixels, panels: dict[Box, Letter | None], letters: Sequence[Letter]) -> None:
    """Divide the one part in which gutters give as many panels more as letters were not read; none if not just one."""
    unread = LETTERS.index(max(each.letter for each in letters)) + 1 - len(letters)
    if not unread:
        return
    parts = [(box, split_figure(rgb[box.top : box.bottom, box.left : box.right], unread + 1)) for box in panels]
    fitting = [(box, inner) for box, inner in parts if len(inner) == unread + 1]
    if len(fitting) == 1:
        (box, inner), letter = fitting[0], panels.pop(fitting[0][0])
        for each in inner:
            moved = Box(
                each.left + box.left, each.top + box.top, each.right + box.left, each.bottom + box.top, each.confidence
            )
            panels[moved] = letter if letter and _holds(moved, letter) else None


def _holds(box: Box, letter: Letter) -> bool:
    x, y = (letter.left + letter.right) / 2, (letter.top + letter.bottom) / 2
    return box.left <= x < box.right and box.top <= y < box.bottom


def _overruled(rgb: Pixels, boxes: list[Box], seen: Sequence[Seen]) -> list[Box]:
    height, width = rgb.shape[:2]
    whole = Box(0, 0, width, height, 1)
    sure = [each for each in seen if each.confidence >= SURE]
    if len(boxes) > 1 and len(sure) == 1 and overlap(sure[0].box, whole) > 0.7:
        return [_around(boxes)]
    if len(boxes) == 1 and len(sure) > 1:
        return reading_order([Box(*each.box, 0.0) for each in sure])
    return boxes


def _around(boxes: Sequence[Box]) -> Box:
    low = min(each.left for each in boxes), min(each.top for each in boxes)
    high = max(each.right for each in boxes), max(each.bottom for each in boxes)
    return Box(*low, *high, 1.0)


def _confidence(box: Box, seen: Sequence[Seen]) -> float | None:
    """That of what the detector sees there."""
    same = [each.confidence for each in seen if overlap(each.box, box) >= _ALL]
    return max(same, default=None)
