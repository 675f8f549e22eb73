from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_ray.images import decode
from biomedica_ray.panels.boxes import Box, split_figure

Pixels = npt.NDArray[np.uint8]
LABELS = Path(__file__).parents[1] / "annotate" / "figures.tsv"


def paper(width: int, height: int) -> Pixels:
    return np.full((height, width, 3), 255, np.uint8)


def draw(figure: Pixels, left: int, top: int, right: int, bottom: int) -> None:
    """A plot: two axes and a diagonal of dots, all of them joined."""
    figure[top:bottom, left : left + 3] = 0
    figure[bottom - 3 : bottom, left:right] = 0
    figure[top : top + 3, right - 3 : right] = 0


def places(boxes: list[Box]) -> list[tuple[int, ...]]:
    return [tuple(box[:4]) for box in boxes]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(8, 40), st.integers(70, 160))
def test_a_grid_of_panels_is_found_in_reading_order(rows: int, columns: int, gutter: int, size: int) -> None:
    figure = paper(columns * (size + gutter), rows * (size + gutter))
    expected = []
    for row in range(rows):
        for column in range(columns):
            left, top = column * (size + gutter), row * (size + gutter)
            draw(figure, left, top, left + size, top + size)
            figure[top : top + 1, left : left + size] = 0
            expected.append((left, top, left + size, top + size))
    assert places(split_figure(figure)) == (
        expected if min(figure.shape[:2]) >= 100 else [(0, 0, *figure.shape[1::-1])]
    )


def test_panels_stand_in_rows_before_columns() -> None:
    figure = paper(800, 500)
    for left, top, right, bottom in ((0, 0, 300, 200), (500, 0, 800, 200), (0, 220, 300, 480), (500, 220, 800, 480)):
        draw(figure, left, top, right, bottom)  # the gutter between columns is the wider one
    assert [box[:2] for box in split_figure(figure)] == [(0, 0), (500, 0), (0, 220), (500, 220)]
    figure[205:480, 500:800] = 255
    draw(figure, 500, 210, 800, 480)  # the second one begins higher, and is the second all the same
    assert [box[:2] for box in split_figure(figure)] == [(0, 0), (500, 0), (0, 220), (500, 210)]
    draw(figure, 500, 0, 800, 480)  # one tall panel beside two
    assert [box[:2] for box in split_figure(figure)] == [(0, 0), (0, 220), (500, 0)]


def test_titles_and_labels_belong_to_the_panel_beside_them() -> None:
    figure = paper(700, 300)
    draw(figure, 50, 60, 300, 260)
    draw(figure, 400, 60, 650, 260)
    figure[10:25, 400:500] = 0  # a title
    figure[280:290, 100:200] = 0  # an axis label
    assert places(split_figure(figure)) == [(50, 60, 300, 290), (400, 10, 650, 260)]


def test_a_wide_gutter_gives_more_confidence_than_a_narrow_one() -> None:
    confidences = []
    for gutter in (6, 12, 60):
        figure = paper(800, 300)
        draw(figure, 0, 0, 380, 290)
        draw(figure, 380 + gutter, 0, 780, 290)
        confidences.append({box.confidence for box in split_figure(figure)})
    (narrow,), (wider,), (wide,) = confidences
    assert 0 < narrow < wider < wide == 1


def test_pictures_that_fill_their_panels_are_divided_by_a_line() -> None:
    figure = np.full((400, 600, 3), 90, np.uint8)
    figure[:, 299:301] = 255
    assert places(split_figure(figure)) == [(0, 0, 299, 400), (301, 0, 600, 400)]
    narrow = paper(800, 400)
    draw(narrow, 0, 0, 399, 400)
    draw(narrow, 401, 0, 800, 400)
    assert len(split_figure(narrow)) == 1  # the same line between plots is too narrow


def test_the_number_of_panels_of_the_caption_chooses_among_gutters() -> None:
    figure = paper(800, 400)
    for left in (0, 200, 420, 620):
        draw(figure, left, 0, left + 180, 400)
    assert len(split_figure(figure)) == 4
    assert places(split_figure(figure, panels=2)) == [(0, 0, 380, 400), (420, 0, 800, 400)]
    assert len(split_figure(figure, panels=3)) == 4  # no gutters give three
    assert len(split_figure(figure, panels=9)) == 4


@pytest.mark.parametrize("colour", [0, 128, 255])
@pytest.mark.parametrize("size", [(1, 1), (99, 400), (400, 99), (100, 100), (1000, 30)])
def test_an_image_of_one_colour_is_one_panel(colour: int, size: tuple[int, int]) -> None:
    assert split_figure(np.full((*size, 3), colour, np.uint8)) == [Box(0, 0, size[1], size[0], 1)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(1, 300))
def test_boxes_lie_within_the_image_and_do_not_overlap(seed: int, width: int, height: int) -> None:
    generator = np.random.default_rng(seed)
    coarse = generator.choice([0, 255, 255], (6, 6, 1)).astype(np.uint8)
    figure = np.repeat(np.kron(coarse, np.ones((height // 6 + 1, width // 6 + 1, 1), np.uint8)), 3, axis=2)
    covered = np.zeros(figure.shape[:2], int)
    for left, top, right, bottom, confidence in split_figure(figure):
        assert 0 <= left < right <= figure.shape[1]
        assert 0 <= top < bottom <= figure.shape[0]
        assert 0 <= confidence <= 1
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1


@pytest.mark.corpus
def test_the_panels_of_real_figures(corpus: Path) -> None:
    """Against what people see in them: panels by their letters, or where there are none, plots and pictures."""
    with LABELS.open() as file:
        labelled = {
            row["file"]: int(row["panels"]) for row in csv.DictReader(file, delimiter="\t") if row["panels"] != "-"
        }
    seen, found, with_caption = [], [], []
    for name, panels in labelled.items():
        pixels = np.asarray(decode((corpus / "packages" / name).read_bytes()))
        seen.append(panels)
        found.append(len(split_figure(pixels)))
        with_caption.append(len(split_figure(pixels, panels)))
    compound, cut = np.array(seen) > 1, np.array(found) > 1
    exact, told = np.equal(seen, found), np.equal(seen, with_caption)
    assert (len(seen), int(compound.sum())) == (239, 135)
    assert (compound & cut).sum() / cut.sum() >= 0.93  # precision of compound, 0.946 when it was written
    assert (compound & cut).sum() / compound.sum() >= 0.89  # recall, 0.904
    assert exact.mean() >= 0.71  # the number of panels, 0.724
    assert told.mean() >= 0.77  # the same where the right number is told beforehand, 0.791
