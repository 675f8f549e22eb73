"""Pictures of figures, small enough to be embedded in the page itself."""

from __future__ import annotations

import base64
import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.images import ImageError, decode
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import pmcid_of

SMALL, LARGE = 200, 560
"""Longest side in pixels of a picture among others, and of one on its own."""

_QUALITY = 80
_READERS = 4
"""Units that are read at a time; each holds a row group of images in memory."""

T = TypeVar("T")


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, or the reason why there is none.

    Attributes:
        uri: ``data:image/jpeg;base64,...``; empty where the image could not be shown.
        width: Pixels.
        height: Pixels.
        problem: Why there is no picture.
    """

    uri: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""


ABSENT = Picture(problem="no longer among the figures")
"""A figure that another table names, and that the figures table no longer has."""


def picture(data: bytes, side: int) -> Picture:
    """A JPEG of an image file, scaled down to at most ``side`` pixels; never raises, whatever the bytes are."""
    try:
        return thumbnail(decode(data), side)
    except ImageError as error:
        return Picture(problem=error.kind)


def thumbnail(image: Image.Image, side: int) -> Picture:
    """A JPEG of an RGB image, which is scaled down in place to at most ``side`` pixels."""
    image.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    text = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Picture(f"data:image/jpeg;base64,{text}", image.width, image.height)


def read_figures(
    store: Store,
    extracted: Mapping[int, Commit],
    figure_ids: Iterable[str],
    columns: Sequence[str],
    make: Callable[[dict[str, Any]], T],
) -> dict[str, T]:
    """What ``make`` makes of some figures' rows; only row groups that hold one of them are read.

    Args:
        store: The store.
        extracted: Unit -> commit of extract.
        figure_ids: The figures; those that the store does not have are left out of the result.
        columns: Columns that ``make`` needs; it gets ``figure_id`` as well.
        make: Called on each row, in threads; large values of the row are let go when it returns.

    Returns:
        figure_id -> what was made of it.
    """
    wanted = by_unit(store, figure_ids)

    def read(unit: int) -> dict[str, T]:
        found = rows_of(store, extracted[unit], wanted[unit], columns)
        return {row["figure_id"]: make(row) for row in found}

    parts = map_in_threads(read, [unit for unit in wanted if unit in extracted], _READERS)
    return {figure_id: made for part in parts for figure_id, made in part.items()}


def by_unit(store: Store, figure_ids: Iterable[str]) -> dict[int, set[str]]:
    """Unit -> those of the figures that may be in it; each may be in one unit of every generation."""
    of_article: dict[str, set[str]] = defaultdict(set)
    for figure_id in figure_ids:
        of_article[pmcid_of(figure_id)].add(figure_id)
    units = store.units_of(of_article)
    return {unit: set().union(*(of_article[pmcid] for pmcid in pmcids)) for unit, pmcids in units.items()}


def rows_of(
    store: Store, commit: Commit, figure_ids: Iterable[str], columns: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """``figure_id`` and other columns of those figures that a unit has; only row groups that hold one are read."""
    here = store.read(commit, "figures", ["figure_id"], row="row")
    rows = here.filter(pc.is_in(here["figure_id"], pa.array(sorted(figure_ids), pa.string())))["row"].to_pylist()
    return store.rows(commit, "figures", rows, ["figure_id", *columns])


def read_pictures(
    store: Store, extracted: Mapping[int, Commit], figure_ids: Iterable[str], side: int = SMALL
) -> dict[str, Picture]:
    """A picture for each of the figures; :data:`ABSENT` for those that the store does not have."""
    ids = list(figure_ids)
    found = read_figures(store, extracted, ids, ["image"], lambda row: picture(row["image"], side))
    return {figure_id: found.get(figure_id, ABSENT) for figure_id in ids}


def article_url(figure_id: str) -> str:
    """The figure's article at PubMed Central; empty for articles from elsewhere."""
    pmcid = pmcid_of(figure_id)
    return f"https://pmc.ncbi.nlm.nih.gov/articles/{pmcid}/" if re.fullmatch(r"PMC\d+", pmcid) else ""
