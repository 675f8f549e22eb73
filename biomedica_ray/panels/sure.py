"""Which panels are sure enough to stand for themselves: as samples, and to be embedded and labelled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biomedica_ray.images.crop import Edges
from biomedica_ray.panels.found import surer

LEAST_SIDE = 64
"""Pixels of the shorter side below which a panel is not compared, as small ones are alike too often; so it is no sample
of its own either."""

_ROUNDING = 1e-6
"""By which a confidence that is stored in float32 may be less than it was."""

Box = Mapping[str, Any]
"""An entry of panel_boxes of the panels table."""


def panel_confidence(box: Box) -> float:
    """How sure it is that a panel is there (:func:`~biomedica_ray.panels.found.surer`)."""
    return surer(box["confidence"], box.get("model_confidence"))


def is_sure(box: Box, min_confidence: float, min_side: int = LEAST_SIDE) -> bool:
    """Whether a panel has words, both confidences are enough, and it is large enough.

    Args:
        box: The panel.
        min_confidence: Of both that it is there and that the words are its own.
        min_side: Pixels of its shorter side, where that is to be more than :data:`LEAST_SIDE`.
    """
    side = min(box["right"] - box["left"], box["bottom"] - box["top"])
    sure = min(panel_confidence(box), box.get("alignment_confidence") or 0.0)
    return bool(box.get("words")) and side >= max(min_side, LEAST_SIDE) and sure >= min_confidence - _ROUNDING


def edges(box: Box) -> Edges:
    """Left, top, right and bottom of a panel, in pixels of the upright figure."""
    return box["left"], box["top"], box["right"], box["bottom"]
