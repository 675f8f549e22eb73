"""Letters, gutters and a detector together."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from biomedica_ray.panels.boxes import split_figure
from biomedica_ray.panels.find import find_panels
from biomedica_ray.panels.letters import Letter
from biomedica_ray.panels.seen import Seen, overlap


def figure(*panels: tuple[int, int, int, int], width: int = 800, height: int = 400) -> npt.NDArray[np.uint8]:
    pixels = np.full((height, width, 3), 255, np.uint8)
    for left, top, right, bottom in panels:
        pixels[top:bottom, left:right] = 60
    return pixels


def letter(text: str, left: float, top: float) -> Letter:
    return Letter(text, left, top, left + 20, top + 20, 0.9)


FOUR = ((0, 0, 190, 400), (200, 0, 390, 400), (410, 0, 600, 400), (610, 0, 800, 400))


def test_each_part_has_one_letter_however_many_plots_it_has() -> None:
    pixels = figure(*FOUR)
    assert len(split_figure(pixels)) == 4
    found = find_panels(pixels, None, [letter("A", 5, 5), letter("B", 415, 5)])
    assert [(each.printed, each.box[:4]) for each in found] == [("A", (0, 0, 390, 400)), ("B", (410, 0, 800, 400))]
    assert [each.printed_confidence for each in found] == [0.9, 0.9]
    assert all(each.box.confidence == 1 for each in found)


def test_pictures_that_touch_are_divided_beside_their_letters() -> None:
    pixels = figure((0, 0, 800, 400))
    assert len(split_figure(pixels)) == 1
    found = find_panels(pixels, None, [letter("A", 0, 5), letter("B", 400, 5)])
    assert [(each.printed, each.box) for each in found] == [("A", (0, 0, 400, 400, 0)), ("B", (400, 0, 800, 400, 0))]


def test_letters_above_their_panels_stay_with_them() -> None:
    pixels = figure((0, 40, 380, 180), (420, 40, 800, 180), (0, 240, 800, 400))
    letters = [letter("A", 0, 10), letter("B", 420, 10), letter("C", 0, 205)]
    for each in letters:
        pixels[int(each.top) : int(each.bottom), int(each.left) : int(each.right)] = 0
    found = find_panels(pixels, None, letters)
    assert [(each.printed, each.box[:4]) for each in found] == [
        ("A", (0, 10, 380, 180)),
        ("B", (420, 10, 800, 180)),
        ("C", (0, 205, 800, 400)),
    ]


def test_a_panel_whose_letter_was_not_read_is_divided_off_by_its_gutter() -> None:
    pixels = figure((0, 0, 250, 400), (275, 0, 520, 400), (550, 0, 800, 400))
    found = find_panels(pixels, None, [letter("A", 5, 5), letter("C", 555, 5)])
    assert [(each.printed, each.box[:4]) for each in found] == [
        ("A", (0, 0, 250, 400)),
        (None, (275, 0, 520, 400)),
        ("C", (550, 0, 800, 400)),
    ]


@pytest.mark.parametrize("times", [1, 2, 3])
def test_letters_are_given_to_their_panels_whatever_the_size_of_the_image(times: int) -> None:
    """Three panels, the letter of the first of which was not read."""
    pixels = figure((0, 0, 250, 400), (275, 0, 520, 400), (550, 0, 800, 400)).repeat(times, 0).repeat(times, 1)
    letters = [letter("B", 280 * times, 5 * times), letter("C", 555 * times, 5 * times)]
    assert [each.printed for each in find_panels(pixels, None, letters)] == [None, "B", "C"]


def test_one_letter_says_nothing() -> None:
    assert [each.printed for each in find_panels(figure(*FOUR), None, [letter("A", 5, 5)])] == [None] * 4


WHOLE = Seen((0, 0, 800, 400), 0.9)
HALVES = [Seen((0, 0, 400, 400), 0.8), Seen((400, 0, 800, 400), 0.7)]


@pytest.mark.parametrize(
    ("pixels", "seen", "expected"),
    [
        (figure(*FOUR), None, [(each, None) for each in FOUR]),
        (figure(*FOUR), [], [(each, None) for each in FOUR]),
        (figure(*FOUR), [WHOLE], [((0, 0, 800, 400), 0.9)]),  # parts of one diagram
        (figure(*FOUR), [WHOLE._replace(confidence=0.3)], [(each, None) for each in FOUR]),
        (figure(*FOUR), [Seen(FOUR[1], 0.8)], [(FOUR[0], None), (FOUR[1], 0.8), (FOUR[2], None), (FOUR[3], None)]),
        (figure((0, 0, 800, 400)), HALVES, [(HALVES[0].box, 0.8), (HALVES[1].box, 0.7)]),  # photographs that touch
        (figure((0, 0, 800, 400)), HALVES[:1], [((0, 0, 800, 400), 0.8)]),
    ],
)
def test_without_letters_a_sure_detector_overrules_gutters(
    pixels: npt.NDArray[np.uint8],
    seen: list[Seen] | None,
    expected: list[tuple[tuple[int, int, int, int], float | None]],
) -> None:
    found = find_panels(pixels, None, (), seen)
    assert [(each.box[:4], each.model_confidence) for each in found] == expected


def test_overlap_is_intersection_over_union() -> None:
    assert overlap((0, 0, 10, 10), (0, 5, 10, 15)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (10, 0, 20, 10)) == 0
