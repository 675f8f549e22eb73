"""The boxes that people see in real figures: that they can be, and how many of them the gutters tell."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from biomedica_ray.images import decode
from biomedica_ray.panels.boxes import Box, split_figure
from tests.panels.labelled import LabelledPanel, labelled_panels
from tests.panels.scoring import score

FIGURES = Path(__file__).parents[1] / "annotate" / "figures.tsv"
COUNTED_OTHERWISE = {"10.1101_2020.04.07.030213/030213v1_fig8": (7, 8)}
"""Figures whose boxes and whose ``panels`` in figures.tsv differ: the letters A to G, of which G is two pictures."""


@pytest.fixture(scope="module")
def labelled() -> dict[str, list[LabelledPanel]]:
    return labelled_panels()


def area(left: int, top: int, right: int, bottom: int) -> int:
    return max(0, right - left) * max(0, bottom - top)


def test_the_figures_are_those_whose_panels_are_counted(labelled: Mapping[str, list[LabelledPanel]]) -> None:
    with FIGURES.open() as file:
        rows = csv.DictReader(file, delimiter="\t")
        counted = {row["file"]: int(row["panels"]) for row in rows if row["panels"] != "-"}
    assert list(labelled) == list(counted)
    panels = {name: len(boxes) for name, boxes in labelled.items()}
    differ = {name: (panels[name], counted[name]) for name in counted if panels[name] != counted[name]}
    assert differ == COUNTED_OTHERWISE
    assert (len(labelled), sum(panels.values()), sum(count > 1 for count in panels.values())) == (239, 711, 135)


def test_letters_are_one_a_panel_and_near_it(labelled: Mapping[str, list[LabelledPanel]]) -> None:
    """A letter may stand beside its panel, at most 5 % of the figure's longer side away."""
    for name, panels in labelled.items():
        letters = [panel.letter for panel in panels]
        assert all(letters) or not any(letters), name
        if not all(letters):
            continue
        assert len(letters) == len(set(letters)), name
        assert letters == sorted(letters), name
        side = max(max(panel.right, panel.bottom) for panel in panels)
        for panel in panels:
            assert panel.letter_box is not None
            assert len(panel.letter) == 1, name
            assert panel.letter.isalpha(), name
            left, top, right, bottom = panel.letter_box
            assert left < right, name
            assert top < bottom, name
            away = max(panel.left - right, left - panel.right, panel.top - bottom, top - panel.bottom)
            assert away <= 0.05 * side, (name, panel.letter)
    assert sum(bool(panel.letter) for panels in labelled.values() for panel in panels) == 566


def test_boxes_lie_apart_or_one_in_the_other(labelled: Mapping[str, list[LabelledPanel]]) -> None:
    inset = 0
    for name, panels in labelled.items():
        for one, other in combinations(panels, 2):
            smaller = min(area(*one[:4]), area(*other[:4]))
            shared = area(
                max(one.left, other.left),
                max(one.top, other.top),
                min(one.right, other.right),
                min(one.bottom, other.bottom),
            )
            inset += shared == smaller
            assert shared == smaller or shared <= 0.03 * smaller, (name, one, other)
    assert inset == 4


@pytest.mark.corpus
def test_boxes_lie_in_their_images_and_gutters_tell_most_of_them(
    labelled: Mapping[str, list[LabelledPanel]], corpus: Path
) -> None:
    found: dict[str, list[Box]] = {}
    for name, panels in labelled.items():
        pixels = np.asarray(decode((corpus / "packages" / name).read_bytes()))
        height, width = pixels.shape[:2]
        for panel in panels:
            for left, top, right, bottom in (panel[:4], panel.letter_box or panel[:4]):
                assert 0 <= left < right <= width, (name, panel)
                assert 0 <= top < bottom <= height, (name, panel)
            if panel.letter_box is not None:
                left, top, right, bottom = panel.letter_box
                around = pixels[max(0, top - 2) : bottom + 2, max(0, left - 2) : right + 2]
                assert np.ptp(around) > 100, (name, "no letter there", panel)
        found[name] = split_figure(pixels)
    scores = score(labelled_boxes(labelled), found)
    assert scores.compound_f1 >= 0.92  # 0.924 when it was written
    assert scores.exact_count >= 0.72  # 0.724
    assert scores.precision >= 0.66  # 0.663
    assert scores.recall >= 0.73  # 0.740
    compound = {name for name, panels in labelled.items() if len(panels) > 1}
    of_compound = score(
        {name: boxes for name, boxes in labelled_boxes(labelled).items() if name in compound},
        {name: boxes for name, boxes in found.items() if name in compound},
    )
    assert of_compound.exact_count >= 0.56  # 0.563
    assert of_compound.precision >= 0.63  # 0.634
    assert of_compound.recall >= 0.70  # 0.700


def labelled_boxes(labelled: Mapping[str, list[LabelledPanel]]) -> dict[str, list[tuple[int, ...]]]:
    return {name: [panel[:4] for panel in panels] for name, panels in labelled.items()}
