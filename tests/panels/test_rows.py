from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from biomedica_ray import schema
from biomedica_ray.images.hashes import perceptual_hash
from biomedica_ray.jats.panels import split_panels
from biomedica_ray.panels.boxes import split_figure
from biomedica_ray.panels.found import FoundPanel
from biomedica_ray.panels.rows import panel_row


def row_of(caption: str, found: list[FoundPanel], image: Image.Image, parts: list[dict[str, Any]] | None = None) -> Any:
    if parts is None:
        parts = [{"label": p.label, "text": p.text, "start": p.start, "end": p.end} for p in split_panels(caption)]
    row = panel_row("PMC1.1_001", image, found, caption, parts)
    (stored,) = pa.Table.from_pylist([row], schema=schema.PANELS).to_pylist()
    return stored


def test_letters_stand_in_rows_and_only_where_there_are_as_many_panels() -> None:
    pixels = np.full((400, 400, 3), 255, np.uint8)
    for number, (top, left) in enumerate((top, left) for top in (0, 210) for left in (0, 220)):  # the wider gutter
        pixels[top : top + 180, left : left + 180] = 30 * number
        pixels[top + 40 : top + 60 + 20 * number, left + 40 : left + 90] = 200
    image = Image.fromarray(pixels)
    found = [FoundPanel(box) for box in split_figure(pixels)]
    row = row_of("Animals. (A, C) Mice. (B, D) Rats. Scale bars: 1 cm.", found, image)
    boxes = row["panel_boxes"]
    assert [(box["label"], box["left"], box["top"], box["words"]) for box in boxes] == [
        ("A", 0, 0, "Mice."),
        ("B", 220, 0, "Rats."),
        ("C", 0, 210, "Mice."),
        ("D", 220, 210, "Rats."),
    ]
    assert row["context"] == "Animals. Scale bars: 1 cm."
    assert (row["panel_type"], row["n_panels"], row["caption_panels"], row["least_confidence"]) == ("multiple", 4, 4, 1)
    assert row["aligned_panels"] == 4
    assert row["phashes"] == [
        perceptual_hash(image.crop(tuple(box[edge] for edge in ("left", "top", "right", "bottom")))) for box in boxes
    ]
    row = row_of("(A, C) Mice. (B) Rats.", found, image)
    assert (row["n_panels"], row["caption_panels"], row["aligned_panels"]) == (4, 3, 0)
    assert {(box["label"], box["how"], box["words"]) for box in row["panel_boxes"]} == {(None, "none", None)}


def test_a_letter_that_was_read_brings_its_words() -> None:
    image = Image.new("RGB", (300, 100))
    found = [
        FoundPanel(box, 0.7, letter, 0.9 if letter else None)
        for box, letter in zip(split_figure(np.zeros((100, 300, 3), np.uint8)) * 3, ("B", None, "A"), strict=True)
    ]
    caption = "(A) Mice. (B), (C) Fish."
    places = [("A", 0, 9), ("B", 10, 13), ("C", 15, 24)]
    parts = [{"label": label, "text": caption[start:end], "start": start, "end": end} for label, start, end in places]
    row = row_of(caption, found, image, parts)
    boxes = row["panel_boxes"]
    assert [(box["printed"], box["words"]) for box in boxes] == [("B", None), (None, "Fish."), ("A", "Mice.")]
    assert row["aligned_panels"] == 2
