"""What the report shows of panels: how many have their words and how, and figures with boxes and letters drawn."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from biomedica_ray.images import ImageError, decode
from biomedica_ray.pages.pictures import ABSENT, Picture, picture, read_figures
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import stable_hash

SHOWN = 4
"""Figures shown of each kind."""
SIDE = 360
"""Longest side in pixels of their pictures."""

_COLUMNS = ["figure_id", "n_panels", "least_confidence", "panel_boxes"]
_EDGES = itemgetter("left", "top", "right", "bottom")
_SURE, _DOUBTFUL = "#0a7d38", "#c62828"
"""Colours of boxes that have words, and of those that have none."""


@dataclass(frozen=True)
class Seen:
    """A figure with its panels drawn: its confidence is the least of its boxes."""

    figure_id: str
    picture: Picture
    confidence: float


@dataclass(frozen=True)
class PanelPage:
    """What is shown.

    Attributes:
        figures: Figures that were looked at.
        compound: Those of several panels.
        ways: How panels of these have their words -> how many do.
        rows: What is shown -> figures that show it.
    """

    figures: int
    compound: int
    ways: tuple[tuple[str, int], ...]
    rows: tuple[tuple[str, tuple[Seen, ...]], ...]


def panel_page(store: Store, extracted: Mapping[int, Commit], units: Iterable[int]) -> PanelPage | None:
    """Panels of some units; None where no panels have been found yet, or by a version that aligned no words.

    Of each way in which words are found the figures of the smallest hashes are shown, and those in whose boxes there is
    least confidence.
    """
    commits = store.commits("panels")
    tables = [store.read(commits[unit], "panels", _COLUMNS) for unit in units if unit in commits]
    rows = [row for table in tables for row in table.to_pylist()]
    compound = [row for row in rows if row["n_panels"] > 1]
    if not rows or any("how" not in box for row in compound for box in row["panel_boxes"]):
        return None
    ways = Counter(box["how"] for row in compound for box in row["panel_boxes"])
    chosen = {
        f"by {how}" if how != "none" else "without words": sorted(
            (row for row in compound if any(box["how"] == how for box in row["panel_boxes"])),
            key=lambda row: stable_hash(row["figure_id"]),
        )[:SHOWN]
        for how, _ in ways.most_common()
    }
    hardest = sorted(compound, key=lambda row: (row["least_confidence"], row["figure_id"]))
    chosen["least confidence"] = hardest[:SHOWN]
    boxes = {row["figure_id"]: row["panel_boxes"] for each in chosen.values() for row in each}
    drawn = read_figures(store, extracted, boxes, ["image"], lambda row: _drawn(row["image"], boxes[row["figure_id"]]))
    return PanelPage(
        len(rows),
        len(compound),
        tuple(ways.most_common()),
        tuple(
            (
                title,
                tuple(
                    Seen(row["figure_id"], drawn.get(row["figure_id"], ABSENT), row["least_confidence"]) for row in each
                ),
            )
            for title, each in chosen.items()
            if each
        ),
    )


def _drawn(data: bytes, boxes: list[dict[str, Any]]) -> Picture:
    """A figure with its boxes, and in the corner of each what the caption calls it and the letter that was read."""
    try:
        image = decode(data)
    except ImageError as error:
        return Picture(problem=error.kind)
    scale = min(1.0, SIDE / max(image.size))
    image = image.resize(
        (max(1, round(image.width * scale)), max(1, round(image.height * scale))), Image.Resampling.LANCZOS
    )
    pencil, font = ImageDraw.Draw(image), ImageFont.load_default(13)
    for box in boxes:
        left, top, right, bottom = (round(edge * scale) for edge in _EDGES(box))
        colour = _SURE if box["words"] else _DOUBTFUL
        pencil.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=2)
        letters = [box["label"] or "?", *([f"[{box['printed']}]"] if box["printed"] else [])]
        place = pencil.textbbox((left + 3, top + 2), " ".join(letters), font=font)
        pencil.rectangle(place, fill="white")
        pencil.text((left + 3, top + 2), " ".join(letters), fill=colour, font=font)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return picture(buffer.getvalue(), SIDE)
