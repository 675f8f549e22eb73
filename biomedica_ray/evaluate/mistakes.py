"""Mistakes of models, named by their images, and the worst of them as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from biomedica_ray.evaluate.layouts import BadDataError, MissingDataError
from biomedica_ray.evaluate.layouts.pixels import to_rgb
from biomedica_ray.evaluate.preparing import Images, Ready
from biomedica_ray.evaluate.statistics import Indices
from biomedica_ray.evaluate.task_scores import Mistake
from biomedica_ray.images import ImageError
from biomedica_ray.pages.pictures import Picture, thumbnail
from biomedica_ray.reading.shards import Unreadable
from biomedica_ray.store import StoreError

SIDE = 160
"""Longest side of a picture, in pixels."""


@dataclass(frozen=True)
class Shown:
    """A mistake with its image.

    Attributes:
        image: What the set calls it.
        mistake: What was said of it, and what is right.
        picture: None where it is not to be shown.
    """

    image: str
    mistake: Mistake
    picture: Picture | None = None


def show(ready: Ready, rows: Indices, mistakes: Sequence[Mistake], pictures: int) -> list[Shown]:
    """Mistakes with their images.

    Args:
        ready: The task.
        rows: Of the set, those that mistakes count by their positions.
        mistakes: The mistakes.
        pictures: Of how many, from the first on, there are to be pictures.
    """
    names = ready.listing.table["id"]
    found = [Shown(str(names[int(rows[mistake.position])]), mistake) for mistake in mistakes]
    wanted = sorted({int(rows[mistake.position]) for mistake in mistakes[:pictures]})
    seen = pictures_of(ready.images, wanted)
    return [
        replace(each, picture=seen[int(rows[each.mistake.position])]) if number < pictures else each
        for number, each in enumerate(found)
    ]


def pictures_of(images: Images, wanted: Sequence[int]) -> dict[int, Picture]:
    """A picture of each of these rows of a set, ascending; with the reason where there is none."""
    seen: dict[int, Picture] = {}
    try:
        for row, image in zip(wanted, images.opened.images(wanted), strict=True):
            try:
                if isinstance(image, Unreadable):
                    seen[row] = Picture(problem=image.kind)
                else:
                    seen[row] = thumbnail(to_rgb(image, images.window), SIDE)
            except ImageError as error:
                seen[row] = Picture(problem=error.kind)
    except (BadDataError, MissingDataError, StoreError, OSError):
        seen |= {row: Picture(problem="unreadable-image") for row in wanted if row not in seen}  # scores stand without
    return seen
