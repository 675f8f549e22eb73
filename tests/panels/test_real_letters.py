"""The panels of 239 real figures, by letters, gutters and the detector together: docs/panels.md has the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biomedica_ray.images import decode
from biomedica_ray.panels.detectors import DetectorSpec
from biomedica_ray.panels.find import find_panels
from tests.panels.labelled import LabelledPanel, labelled_panels
from tests.panels.scoring import iou, score


@pytest.mark.corpus
def test_letters_tell_most_panels_of_real_figures(corpus: Path) -> None:
    """None of these figures was trained on."""
    look = DetectorSpec("shipped").load()
    assert look is not None
    labelled = labelled_panels()
    found: dict[str, list[tuple[int, ...]]] = {}
    printed = read = right = in_place = 0
    for name, panels in labelled.items():
        image = decode((corpus / "packages" / name).read_bytes())
        seen, letters = look(image)
        panels_found = find_panels(np.asarray(image), None, letters, seen)
        found[name] = [panel.box[:4] for panel in panels_found]
        own = {panel.letter.upper(): panel for panel in panels if panel.letter}
        printed += len(own)
        read += len(letters)
        right += sum(each.letter in own and _holds(own[each.letter], each.left, each.top) for each in letters)
        in_place += sum(
            panel.printed in own and iou(own[panel.printed][:4], panel.box[:4]) >= 0.5 for panel in panels_found
        )
    scores = score({name: [panel[:4] for panel in panels] for name, panels in labelled.items()}, found)
    assert printed == 566
    assert scores.compound_f1 >= 0.955  # 0.960 when it was written
    assert scores.exact_count >= 0.905  # 0.912
    assert scores.precision >= 0.925  # 0.930
    assert scores.recall >= 0.93  # 0.937
    assert right >= 503  # 507
    assert read - right <= 7  # 5
    assert in_place >= 478  # 482


def _holds(panel: LabelledPanel, left: float, top: float) -> bool:
    assert panel.letter_box is not None
    return abs(panel.letter_box[0] - left) < 12 and abs(panel.letter_box[1] - top) < 12
