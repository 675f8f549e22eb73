"""Margins of one grey value around an image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

_TOLERANCE = 24
"""Most that a grey value of a margin is from the median of its outermost line, as JPEG rings beside what it adjoins."""


def content_box(image: Image.Image) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of an image without the lines of one grey value around it; all of a blank one.

    Each side may have a grey value of its own.
    """
    grey = np.asarray(image.convert("L"), np.int16)
    top, bottom = _inside(grey)
    left, right = _inside(grey[top:bottom].T)
    top, bottom = _inside(grey[:, left:right])  # a line that is of one grey value only without the sides
    return left, top, right, bottom


def _inside(lines: npt.NDArray[np.int16]) -> tuple[int, int]:
    """The first of the lines (n, m) that is not of a margin, and one behind the last."""
    before, after = _uniform(lines), _uniform(lines[::-1])
    n = len(lines)
    return (before, n - after) if before + after < n else (0, n)


def _uniform(lines: npt.NDArray[np.int16]) -> int:
    """How many of the first lines have the grey value of the first one all over."""
    differs = np.abs(lines - np.median(lines[0])).max(axis=1) > _TOLERANCE
    return int(differs.argmax()) if differs.any() else len(lines)
