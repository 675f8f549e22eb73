from __future__ import annotations

import numpy as np
import pytest

from biomedica_ray.panels.rows import panel_names, panel_row


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (["A", "B"], ["A", "B"]),
        (["A, C", "B"], ["A", "B", "C"]),  # spoken of together, and yet apart in the figure
        (["a", "a, b", "c, d"], ["a", "b", "c", "d"]),
        (["top", "bottom"], ["top", "bottom"]),
        ([], []),
    ],
)
def test_each_panel_that_a_caption_names(labels: list[str], names: list[str]) -> None:
    assert panel_names(labels) == names


def test_letters_stand_in_rows_and_only_where_there_are_as_many_panels() -> None:
    figure = np.full((400, 400, 3), 255, np.uint8)
    for top in (0, 210):
        for left in (0, 220):  # the wider gutter
            figure[top : top + 180, left : left + 180] = 0
    row = panel_row("PMC1.1_001", figure, ["A, C", "B, D"])
    corners = {box["label"]: (box["left"], box["top"]) for box in row["panel_boxes"]}
    assert corners == {"A": (0, 0), "B": (220, 0), "C": (0, 210), "D": (220, 210)}
    assert (row["panel_type"], row["n_panels"], row["caption_panels"], row["least_confidence"]) == ("multiple", 4, 4, 1)
    row = panel_row("PMC1.1_001", figure, ["A, C", "B"])
    assert (row["n_panels"], row["caption_panels"]) == (4, 3)
    assert {box["label"] for box in row["panel_boxes"]} == {None}
