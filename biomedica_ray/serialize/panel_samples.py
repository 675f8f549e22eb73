"""Which panels of a figure are samples of their own."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from biomedica_ray.jats.licenses import permits_parts
from biomedica_ray.panels.sure import is_sure
from biomedica_ray.schema import panel_id
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.left_out import LeftOut
from biomedica_ray.serialize.shard_plan import PLACES

Row = Mapping[str, Any]

COLUMNS = ["figure_id", "n_panels", "context", "panel_boxes", "phashes"]
"""Of the panels table, what is looked at."""


@dataclass(frozen=True)
class Cut:
    """What becomes of a compound figure's panels.

    Attributes:
        numbers: From 1 in reading order, those that are samples of their own.
        left_out: Number -> why another is not, though it is sure: it repeats another.
        staying: How many stay with their figure: no words, too little confidence, too small to be compared, or their
            licence permits no parts.
    """

    numbers: tuple[int, ...] = ()
    left_out: tuple[tuple[int, LeftOut], ...] = ()
    staying: int = 0

    @property
    def n_panels(self) -> int:
        """All of them."""
        return len(self.numbers) + len(self.left_out) + self.staying


def cut(
    panels: Row | None, license_code: str | None, repeats: Mapping[str, Collection[Row]], config: SerializeConfig
) -> Cut:
    """Decide on each panel of a figure that is itself wanted; an image of one panel has none to cut out.

    Args:
        panels: Its row of the panels table, columns :data:`COLUMNS`; None where there is none.
        license_code: Its licence. Those without derivatives (ND) permit no parts, and an unknown one neither.
        repeats: Rows of the duplicates table, by id.
        config: min_confidence, min_side, keep_duplicates and keep_against.
    """
    if panels is None or panels["n_panels"] < 2:
        return Cut()
    numbers, left_out, staying = [], [], 0
    for number, box in enumerate(panels["panel_boxes"], 1):
        found = [row for row in repeats.get(panel_id(panels["figure_id"], number), ()) if _counts(row, config)]
        if (
            number >= PLACES
            or not permits_parts(license_code)
            or not is_sure(box, config.min_confidence, config.min_side)
        ):
            staying += 1
        elif found:
            message = f"repeats {found[0]['of']} ({found[0]['kind']}, distance {found[0]['distance']:g})"
            left_out.append((number, LeftOut("duplicate-panel", message)))
        else:
            numbers.append(number)
    return Cut(tuple(numbers), tuple(left_out), staying)


def n_boxes(panels: Row | None) -> int:
    """How many panels a figure has to cut out, by its row of the panels table: of one panel none."""
    return 0 if panels is None or panels["n_panels"] < 2 else len(panels["panel_boxes"])


def _counts(repeat: Row, config: SerializeConfig) -> bool:
    return not (config.keep_against if repeat["kind"] == "against" else config.keep_duplicates)
