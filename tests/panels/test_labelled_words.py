"""How often panels of real figures have the words of their own letter: what docs/panels.md says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from biomedica_ray.images import decode
from biomedica_ray.panels.alignment import align, box_confidence, panel_names
from biomedica_ray.panels.boxes import Box, reading_order, split_figure
from biomedica_ray.panels.detectors import DetectorSpec, Looker
from biomedica_ray.panels.find import find_panels
from biomedica_ray.panels.found import FoundPanel
from tests.panels.labelled import LabelledPanel, labelled_panels
from tests.panels.scoring import matches
from tests.panels.test_real_panels import captions

pytestmark = pytest.mark.corpus

Right = list[tuple[bool, float]]
"""For each panel that has words whether they are its own, and the lesser of its confidences."""


def as_found(true: Sequence[LabelledPanel], image: Image.Image, look: Looker, labels: list[str]) -> Right:
    """What the panels stage gives, with its own boxes and letters."""
    seen, letters = look(image)
    panels = find_panels(np.asarray(image), len(panel_names(labels)), letters, seen)
    pairs = {j: true[i].letter for i, j in matches([each[:4] for each in true], [each.box[:4] for each in panels], 0.5)}
    return _right(panels, pairs, labels)


def aligned(true: Sequence[LabelledPanel], boxes: Sequence[Box], labels: list[str], *, read: bool) -> Right:
    pairs = {j: true[i].letter for i, j in matches([each[:4] for each in true], [each[:4] for each in boxes], 0.5)}
    letters = [pairs.get(number, "") if read else "" for number in range(len(boxes))]
    panels = [
        FoundPanel(box, None, letter.upper() or None, 1.0 if letter else None)
        for box, letter in zip(boxes, letters, strict=True)
    ]
    return _right(panels, pairs, labels)


def _right(panels: Sequence[FoundPanel], pairs: dict[int, str], labels: list[str]) -> Right:
    return [
        (
            pairs.get(number, "")[:1].casefold() == has.names[0][:1].casefold(),
            min(has.confidence, box_confidence(panels[number])),
        )
        for number, has in enumerate(align(panels, labels))
        if has.names
    ]


def test_panels_have_the_words_of_their_letter(corpus: Path) -> None:
    packages = corpus / "packages"
    labels = captions(packages)
    lettered = {
        name: panels
        for name, panels in labelled_panels().items()
        if len(panels) > 1 and any(panel.letter for panel in panels) and labels.get(name)
    }
    look = DetectorSpec("shipped").load()
    assert look is not None
    found: dict[str, Right] = {"read": [], "order": [], "gutters, read": [], "gutters, order": [], "as found": []}
    named = 0
    for name, true in lettered.items():
        image = decode((packages / name).read_bytes())
        found["as found"] += as_found(true, image, look, labels[name])
        pixels = np.asarray(image)
        named += sum(panel.letter.casefold() in map(str.casefold, panel_names(labels[name])) for panel in true)
        own = reading_order([Box(*panel[:4], 1.0) for panel in true])
        by_gutters = split_figure(pixels, len(panel_names(labels[name])))
        for prefix, boxes in (("", own), ("gutters, ", by_gutters)):
            for key, read in (("read", True), ("order", False)):
                found[prefix + key] += aligned(true, boxes, labels[name], read=read)
    shares = {key: (len(rows), sum(right for right, _ in rows) / len(rows)) for key, rows in found.items()}
    assert named == 532
    assert shares["read"][0] >= 530  # 533 when it was written
    assert shares["read"][1] >= 0.99  # 0.998
    assert shares["order"][0] >= 505  # 509
    assert shares["order"][1] >= 0.915  # 0.921
    assert shares["gutters, read"][0] >= 370  # 378
    assert shares["gutters, read"][1] >= 0.97  # 0.976
    sure = [right for right, confidence in found["gutters, order"] if confidence >= 0.8]
    assert len(sure) >= 138  # 141
    assert sum(sure) / len(sure) >= 0.91  # 0.922
    assert shares["as found"][0] >= 518  # 524
    assert shares["as found"][1] >= 0.945  # 0.950
    sure = [right for right, confidence in found["as found"] if confidence >= 0.8]
    assert len(sure) >= 416  # 422
    assert sum(sure) / len(sure) >= 0.955  # 0.962
