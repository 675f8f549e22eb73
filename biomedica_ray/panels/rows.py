"""A row of the panels table: the boxes that a figure's image has, with the letters that its caption has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from biomedica_ray.panels.boxes import split_figure


def panel_row(figure_id: str, rgb: npt.NDArray[np.uint8], labels: list[str]) -> dict[str, Any]:
    """A row of the panels table.

    Args:
        figure_id: The figure.
        rgb: Its pixels (height, width, 3).
        labels: The labels of its caption's parts, each of one panel or of several: A, or C, D.
    """
    named = panel_names(labels)
    boxes = split_figure(rgb, len(named))
    names = named if len(named) == len(boxes) else [None] * len(boxes)
    return {
        "figure_id": figure_id,
        "panel_type": "multiple" if len(boxes) > 1 else "single",
        "n_panels": len(boxes),
        "least_confidence": min(box.confidence for box in boxes),
        "caption_panels": len(named),
        "panel_boxes": [{"label": name, **box._asdict()} for name, box in zip(names, boxes, strict=True)],
    }


def panel_names(labels: Iterable[str]) -> list[str]:
    """The panels that a caption's parts name, each once: in the order of letters and digits, words as they come.

    A caption may speak of panels together (A, C) before it comes to the one between them; panels stand in order.
    """
    names = list(dict.fromkeys(name for label in labels for name in label.split(", ")))
    return sorted(names) if all(len(name) == 1 for name in names) else names
