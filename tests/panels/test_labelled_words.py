"""How often panels of real figures have the words of their own letter: what docs/panels.md says of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from biomedica_ray.images import decode
from biomedica_ray.panels.alignment import align, box_confidence, panel_names
from biomedica_ray.panels.boxes import Box, reading_order, split_figure
from biomedica_ray.panels.found import FoundPanel
from tests.panels.labelled import LabelledPanel, labelled_panels
from tests.panels.scoring import matches
from tests.panels.test_real_panels import captions

pytestmark = pytest.mark.corpus

Right = list[tuple[bool, float]]
"""For each panel that has words whether they are its own, and the lesser of its confidences."""


def aligned(true: Sequence[LabelledPanel], boxes: Sequence[Box], labels: list[str], *, read: bool) -> Right:
    pairs = {j: true[i].letter for i, j in matches([each[:4] for each in true], [each[:4] for each in boxes], 0.5)}
    letters = [pairs.get(number, "") if read else "" for number in range(len(boxes))]
    panels = [
        FoundPanel(box, None, letter.upper() or None, 1.0 if letter else None)
        for box, letter in zip(boxes, letters, strict=True)
    ]
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
    found: dict[str, Right] = {"read": [], "order": [], "gutters, read": [], "gutters, order": []}
    named = 0
    for name, true in lettered.items():
        pixels = np.asarray(decode((packages / name).read_bytes()))
        named += sum(panel.letter.casefold() in map(str.casefold, panel_names(labels[name])) for panel in true)
        own = reading_order([Box(*panel[:4], 1.0) for panel in true])
        by_gutters = split_figure(pixels, len(panel_names(labels[name])))
        for prefix, boxes in (("", own), ("gutters, ", by_gutters)):
            for key, read in (("read", True), ("order", False)):
                found[prefix + key] += aligned(true, boxes, labels[name], read=read)
    shares = {key: (len(rows), sum(right for right, _ in rows) / len(rows)) for key, rows in found.items()}
    assert named == 520
    assert shares["read"][0] >= 520  # 521 when it was written
    assert shares["read"][1] >= 0.99  # 0.998
    assert shares["order"][0] >= 485  # 489
    assert shares["order"][1] >= 0.91  # 0.918
    assert shares["gutters, read"][0] >= 370  # 378
    assert shares["gutters, read"][1] >= 0.96  # 0.971
    sure = [right for right, confidence in found["gutters, order"] if confidence >= 0.8]
    assert len(sure) >= 140  # 145
    assert sum(sure) / len(sure) >= 0.90  # 0.910
