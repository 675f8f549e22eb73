"""A row of the panels table: the boxes that a figure's image has, and what its caption says of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from biomedica_ray.images.crop import crop
from biomedica_ray.images.hashes import perceptual_hash
from biomedica_ray.images.thumbnails import thumbnail
from biomedica_ray.panels.alignment import Aligned, align, box_confidence, panel_names
from biomedica_ray.panels.found import FoundPanel
from biomedica_ray.panels.words import caption_words


def panel_row(
    figure_id: str,
    image: Image.Image,
    found: Sequence[FoundPanel],
    caption: str | None,
    parts: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """A row of the panels table.

    Args:
        figure_id: The figure.
        image: Its pixels, upright, RGB.
        found: The panels that were found in it, in reading order.
        caption: Its caption.
        parts: The caption's parts, as in the figures table.
    """
    labels = [part["label"] for part in parts]
    aligned = align(found, labels)
    said = caption_words(caption or "", parts)
    boxes = [panel.box for panel in found] if len(found) > 1 else []
    crops = [crop(image, (box.left, box.top, box.right, box.bottom)) for box in boxes]
    rows = [_box(panel, has, labels, said.parts) for panel, has in zip(found, aligned, strict=True)]
    return {
        "figure_id": figure_id,
        "panel_type": "multiple" if len(found) > 1 else "single",
        "n_panels": len(found),
        "least_confidence": min(map(box_confidence, found)),
        "caption_panels": len(panel_names(labels)),
        "aligned_panels": sum(row["words"] is not None for row in rows),
        "context": said.context or None,
        "panel_boxes": rows,
        "phashes": [perceptual_hash(crop) for crop in crops],
        "thumbnails": [thumbnail(crop).tobytes() for crop in crops],
    }


def _box(panel: FoundPanel, has: Aligned, labels: Sequence[str], words: Sequence[str]) -> dict[str, Any]:
    own = [text for label, text in zip(labels, words, strict=True) if not set(has.names).isdisjoint(label.split(", "))]
    return {
        "label": ", ".join(has.names) or None,
        **panel.box._asdict(),
        "model_confidence": panel.model_confidence,
        "printed": panel.printed,
        "printed_confidence": panel.printed_confidence,
        "how": has.how,
        "alignment_confidence": has.confidence,
        "words": " ".join(dict.fromkeys(own)) or None,
    }
