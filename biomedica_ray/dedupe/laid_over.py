"""A second look at a guess that a picture is in a figure: with the pixels of both, and in words."""

from __future__ import annotations

import math

from PIL import Image

from biomedica_ray.dedupe.alignment import FINEST, Aligned, Window, align, size_within
from biomedica_ray.dedupe.sought import LEAST_SOUGHT, Grey, turn_back
from biomedica_ray.dedupe.windows import TURNS

Box = tuple[int, int, int, int]

_WHOLE_SHARE, _CROP_SHARE = 0.98, 0.5
"""Shares of a figure from which on a picture in it is all of it, or a crop rather than a part."""
_INVERSE = {4: 5, 5: 4}
"""Turns that others undo; the rest undo themselves."""


def is_small(box: Box, window: Window, *, larger: bool) -> bool:
    """Whether what would be laid over a picture is so small a part of a figure that nothing is certain of it.

    Args:
        box: The part of the figure that the guess is about, in its pixels.
        window: About where the picture is in it, in shares; for ``larger`` it is all of the part.
        larger: Whether the part is in the picture, rather than the picture in the figure.
    """
    left, top, right, bottom = box if larger else _in_pixels(window, box)
    return min(right - left, bottom - top) < LEAST_SOUGHT


def lay_over(
    figure: Image.Image, box: Box, grey: Grey, turn: int, window: Window, *, larger: bool
) -> tuple[Aligned, float]:
    """Lay a picture over a figure, or a part of the figure over the picture.

    Args:
        figure: The figure, mode L, upright.
        box: The part of it that the guess is about, in its pixels: a panel, or all of it.
        grey: Grey values (h, w) of the picture.
        turn: Which of the turns the picture has undergone, or would have to for ``larger``.
        window: About where, in shares of the part, or of the picture for ``larger``.
        larger: Whether the part is in the picture, rather than the picture in the figure.

    Returns:
        How well it fits, and the share of the figure that the picture takes, or of the picture that the part takes.
    """
    picture = Image.fromarray(grey)
    if larger:
        part = figure.crop(box)
        part = part.resize(size_within(part.size, FINEST), Image.Resampling.BILINEAR)
        aligned = align(picture, turn_back(part, turn), _in_pixels(window, (0, 0, *picture.size)))
        return aligned, _share(aligned.window, picture)
    place = _in_pixels(window, box)
    scale = min(1.0, 2 * FINEST / math.sqrt((place[2] - place[0]) * (place[3] - place[1])))
    reduced = figure.resize((round(figure.width * scale), round(figure.height * scale)), Image.Resampling.BOX)
    across, down = reduced.width / figure.width, reduced.height / figure.height
    left, top, right, bottom = place
    place = left * across, top * down, right * across, bottom * down
    aligned = align(reduced, turn_back(picture, turn), place)
    return aligned, _share(aligned.window, reduced)


def _share(window: Window, image: Image.Image) -> float:
    left, top, right, bottom = window
    return (right - left) * (bottom - top) / (image.width * image.height)


def _in_pixels(window: Window, box: Box | Window) -> Window:
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    return left + window[0] * width, top + window[1] * height, left + window[2] * width, top + window[3] * height


def in_words(share: float, turn: int, *, larger: bool, trimmed: bool) -> str:
    """How a picture occurs in a figure: what of the figure it shows, and what else was done to it.

    Args:
        share: Of the figure's area the picture shows; for ``larger``, of the picture's area the figure takes.
        turn: Which of the turns.
        larger: Whether the figure is in the picture.
        trimmed: Whether the picture has margins.

    Returns:
        ``altered`` (all of it, in other colours or sizes), ``crop``, ``part`` (less than half) or ``larger``, and the
        turn and ``margins`` where there are some: ``crop, rotated by 90``.
    """
    shown = "altered" if share >= _WHOLE_SHARE else "larger" if larger else "crop" if share >= _CROP_SHARE else "part"
    how, _ = TURNS[_INVERSE.get(turn, turn) if larger else turn]
    return ", ".join(word for word in (shown, how, "margins" if trimmed else "") if word)
