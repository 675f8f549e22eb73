"""The panels of real figures as people see them: boxes.tsv, which README.md explains."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

BOXES = Path(__file__).with_name("boxes.tsv")

Rectangle = tuple[int, int, int, int]


class LabelledPanel(NamedTuple):
    """A panel: ``image[top:bottom, left:right]``, in pixels.

    Attributes:
        letter: As it is printed in the image; empty where none is.
        letter_box: Left, top, right and bottom of that letter; None where none is printed.
    """

    left: int
    top: int
    right: int
    bottom: int
    letter: str
    letter_box: Rectangle | None


def labelled_panels() -> dict[str, list[LabelledPanel]]:
    """File of a figure, relative to packages/ -> its panels, in the order of their letters, else in reading order."""
    panels: dict[str, list[LabelledPanel]] = {}
    with BOXES.open() as file:
        for name, left, top, right, bottom, letter, *letter_box in list(csv.reader(file, delimiter="\t"))[1:]:
            box = _rectangle(left, top, right, bottom)
            panel = LabelledPanel(*box, letter, _rectangle(*letter_box) if letter else None)
            panels.setdefault(name, []).append(panel)
    return panels


def _rectangle(left: str, top: str, right: str, bottom: str) -> Rectangle:
    return int(left), int(top), int(right), int(bottom)
