"""Which panel of the caption each box of an image is."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.panels.alignment import BY_ORDER, OUT_OF_ORDER, Aligned, align, panel_names
from biomedica_ray.panels.boxes import Box
from biomedica_ray.panels.found import FoundPanel


def grid(rows: int, columns: int, printed: str = "", sure: float = 0.8, gutter: float = 0.9) -> list[FoundPanel]:
    """Panels in reading order; ``printed`` has a letter for each, a space where none was read."""
    found = []
    for n in range(rows * columns):
        row, column = divmod(n, columns)
        box = Box(column * 110, row * 110, column * 110 + 100, row * 110 + 100, gutter)
        letter = printed[n : n + 1].strip() or None
        found.append(FoundPanel(box, None, letter, sure if letter else None))
    return found


def said(aligned: list[Aligned]) -> list[tuple[str, str]]:
    return [(", ".join(each.names), each.how) for each in aligned]


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


def test_letters_seen_come_first_whatever_the_case_and_the_number_of_boxes() -> None:
    aligned = align(grid(1, 4, "A CB"), ["a", "b", "c"])
    assert said(aligned) == [("a", "letter"), ("", "none"), ("c", "letter"), ("b", "letter")]
    # C before B is neither by rows nor by columns: less sure.
    assert [each.confidence for each in aligned] == pytest.approx([0.8 * OUT_OF_ORDER, 0, *[0.8 * OUT_OF_ORDER] * 2])
    assert said(align(grid(1, 2, "AX"), ["A", "B", "C"])) == [("A", "letter"), ("", "none")]


def test_where_letters_run_down_the_columns_the_rest_does_too() -> None:
    aligned = align(grid(2, 2, "AC  "), ["A", "B", "C", "D"])
    assert said(aligned) == [("A", "letter"), ("C", "letter"), ("B", "order"), ("D", "order")]
    assert aligned[0].confidence == 0.8
    assert aligned[2].confidence == 0.9 * BY_ORDER


def test_without_letters_panels_are_in_reading_order_if_there_are_as_many() -> None:
    aligned = align(grid(2, 2, gutter=0.5), ["A, B", "C", "D"])
    assert said(aligned) == [(name, "order") for name in "ABCD"]
    assert {each.confidence for each in aligned} == {0.5 * BY_ORDER}
    assert said(align(grid(2, 2), ["A", "B", "C"])) == [("", "none")] * 4
    assert said(align(grid(1, 1), ["A"])) == [("", "none")]  # all of the caption is its own
    assert said(align(grid(1, 2), [])) == [("", "none")] * 2


def test_letters_that_contradict_every_order_leave_the_others_without_words_but_for_the_last_one() -> None:
    assert said(align(grid(2, 2, "BA  "), list("ABCD")))[2:] == [("", "none")] * 2
    assert said(align(grid(1, 3, "BA "), list("ABC")))[2] == ("C", "order")


def test_the_surer_of_two_panels_with_one_letter_has_it() -> None:
    panels = grid(1, 3, "AA ")
    panels[1] = FoundPanel(panels[1].box, None, "A", 0.9)
    assert said(align(panels, ["A", "B"])) == [("", "none"), ("A", "letter"), ("", "none")]


@pytest.mark.parametrize(
    ("printed", "labels", "expected"),
    [
        ("AB", ["A1", "A2", "B"], ["A1, A2", "B"]),  # the image shows A, the caption has its details
        ("AB", ["Ai", "Aii", "B"], ["Ai, Aii", "B"]),
        ("12", ["1", "2"], ["1", "2"]),
        ("AB", ["left", "right"], ["left", "right"]),  # places, not words that begin with a letter
    ],
)
def test_details_of_a_panel(printed: str, labels: list[str], expected: list[str]) -> None:
    assert [", ".join(each.names) for each in align(grid(1, 2, printed), labels)] == expected


@pytest.mark.parametrize(
    ("shape", "labels", "expected"),
    [
        ((1, 2), ["Left", "right"], ["Left", "right"]),
        ((2, 2), ["Left", "Right"], ["Left", "Right"] * 2),
        ((2, 2), ["Top", "Bottom"], ["Top", "Top", "Bottom", "Bottom"]),
        ((2, 2), ["upper left", "upper right", "lower"], ["upper left", "upper right", "lower", "lower"]),
        ((2, 2), ["top-left", "bottom-right"], ["top-left", None, None, "bottom-right"]),
        ((1, 3), ["left", "middle", "right"], ["left", "middle", "right"]),
        ((3, 1), ["top", "middle", "bottom"], ["top", "middle", "bottom"]),
        ((1, 3), ["left", "right"], ["left", None, "right"]),
        ((1, 2), ["top", "bottom"], [None, None]),  # there are no rows
        ((1, 2), ["left", "middle", "right"], [None, None]),
        ((2, 2), ["left", "top", "right"], [None] * 4),  # one box is in two of them
    ],
)
def test_places_align_by_geometry(shape: tuple[int, int], labels: list[str], expected: list[str | None]) -> None:
    aligned = align(grid(*shape), labels)
    assert [", ".join(each.names) or None for each in aligned] == expected
    assert {each.how for each in aligned if each.names} <= {"position"}
    assert {each.confidence for each in aligned if each.names} <= {0.9}


@given(
    st.lists(st.tuples(st.sampled_from([*string.ascii_uppercase[:6], None]), st.floats(0, 1)), min_size=1, max_size=8),
    st.lists(st.sampled_from([*"ABCDEF", "A, B", "left", "top right", "A1", "ii"]), max_size=6),
)
def test_no_panel_of_a_caption_is_given_twice_but_places(
    letters: list[tuple[str | None, float]], labels: list[str]
) -> None:
    panels = [
        FoundPanel(Box(n * 10, 0, n * 10 + 9, 9, 0.5), None, letter, sure if letter else None)
        for n, (letter, sure) in enumerate(letters)
    ]
    aligned = align(panels, labels)
    assert len(aligned) == len(panels)
    names = [name for each in aligned for name in each.names if each.how != "position"]
    assert len(names) == len(set(names))
    assert set(names) <= set(panel_names(labels))
    assert all(0 <= each.confidence <= 1 and (each.how == "none") == (not each.names) for each in aligned)
