"""How much boxes share, and which of those that the network gives are the same panel."""

from __future__ import annotations

import pytest
import torch

from biomedica_ray.panels.network import STRIDE, peaks
from biomedica_ray.panels.seen import inside, overlap


def test_what_of_the_smaller_box_lies_in_the_other() -> None:
    assert inside((0, 0, 10, 10), (5, 0, 25, 10)) == inside((5, 0, 25, 10), (0, 0, 10, 10)) == 0.5
    assert inside((0, 0, 10, 10), (2, 2, 4, 4)) == 1
    assert overlap((0, 0, 10, 10), (2, 2, 4, 4)) == pytest.approx(0.04)
    assert inside((0, 0, 10, 10), (10, 0, 20, 10)) == inside((0, 0, 1, 1), (5, 5, 6, 6)) == 0


@pytest.mark.parametrize(
    ("cells", "half", "kept"),
    [
        (7, 12, 2),  # boxes of 80 and of 24 pixels that share nothing
        (7, 70, 2),  # 0.68 of the smaller one lies within the other
        (7, 80, 1),  # 0.8 of it
        (4, 40, 2),  # they share 0.43 of their union
        (3, 40, 1),  # 0.54 of it
    ],
)
def test_of_boxes_that_are_the_same_panel_the_surer_one_stays(cells: int, half: int, kept: int) -> None:
    logits = torch.full((1, 20, 20), -9.0)
    sides = torch.full((4, 20, 20), 40.0)
    logits[0, 8, 5], logits[0, 8, 5 + cells] = 3, 2
    sides[:, 8, 5 + cells] = half
    boxes = peaks(logits, sides, 0.5)
    assert len(boxes) == kept
    x, y = 5.5 * STRIDE, 8.5 * STRIDE
    assert boxes[0][0] == (x - 40, y - 40, x + 40, y + 40)
