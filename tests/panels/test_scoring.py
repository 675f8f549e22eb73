"""The scores of found boxes, on cases small enough to count by hand."""

from __future__ import annotations

import pytest

from tests.panels.scoring import Scores, iou, matches, score

LEFT, RIGHT, WHOLE = (0, 0, 10, 10), (10, 0, 20, 10), (0, 0, 20, 10)


def test_overlap_is_what_is_shared_of_what_either_covers() -> None:
    assert iou(LEFT, LEFT) == 1
    assert iou(LEFT, RIGHT) == 0
    assert iou(LEFT, WHOLE) == 0.5
    assert iou((0, 0, 10, 10), (5, 5, 15, 15)) == pytest.approx(25 / 175)
    assert iou((0, 0, 10, 10), (20, 20, 30, 30)) == 0, "apart in both directions is no overlap"
    assert iou((3, 3, 3, 3), (3, 3, 3, 3)) == 0


def test_the_highest_overlap_is_matched_first_and_each_box_once() -> None:
    true = [(0, 0, 10, 10), (0, 2, 10, 12)]
    assert matches(true, [(0, 2, 10, 12), (0, 1, 10, 11)], 0.5) == [(1, 0), (0, 1)]
    assert matches(true, [(0, 1, 10, 11)], 0.5) == [(0, 0)]
    assert matches([LEFT], [LEFT, LEFT], 0.5) == [(0, 0)]
    assert matches([LEFT], [WHOLE], 0.5) == [(0, 0)], "the least overlap is enough"
    assert matches([LEFT], [WHOLE], 0.51) == []


def test_boxes_of_all_figures_are_counted_together() -> None:
    true = {"two": [LEFT, RIGHT], "one": [WHOLE], "cut": [WHOLE], "joined": [(0, 0, 9, 10), (9, 0, 14, 10), RIGHT]}
    found = {"two": [RIGHT, LEFT], "one": [WHOLE], "cut": [LEFT, (12, 0, 20, 10)], "joined": [WHOLE]}
    scores = score(true, found)
    assert scores == Scores(precision=5 / 6, recall=5 / 7, exact_count=2 / 4, compound_f1=2 / 4)


def test_nothing_found_and_nothing_compound() -> None:
    assert score({"one": [LEFT]}, {"one": []}) == Scores(0, 0, 0, 1)
    assert score({"one": [LEFT, RIGHT]}, {"one": []}).compound_f1 == 0
    assert score({}, {}) == Scores(0, 0, 0, 1)


def test_figures_must_be_the_same() -> None:
    with pytest.raises(ValueError, match="as b"):
        score({"a": [LEFT]}, {"a": [LEFT], "b": [LEFT]})
