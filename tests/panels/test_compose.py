"""Composed figures: what they show is what their labels say."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from biomedica_ray.panels.compose import Composed, compose, lettered_grid
from biomedica_ray.panels.layouts import Place, Spot, shipped_layouts
from biomedica_ray.panels.letters import LETTERS


def composed(seed: int) -> Composed:
    rng = np.random.default_rng(seed)
    layouts = shipped_layouts()
    return compose(rng, layouts[int(rng.integers(len(layouts)))])


def test_the_shipped_layouts_are_of_compound_figures() -> None:
    layouts = shipped_layouts()
    assert len(layouts) == 5719
    assert {len(layout) for layout in layouts} <= set(range(2, 25))
    assert layouts[0][0] == Spot(Place(0.0, 0.0, 0.505, 0.58), Place(0.029, 0.014, 0.068, 0.054), "A")
    for layout in layouts:
        for spot in layout:
            assert 0 <= spot.panel.left < spot.panel.right <= 1 and 0 <= spot.panel.top < spot.panel.bottom <= 1
            assert (spot.letter is None) == (not spot.text)


def test_the_same_seed_gives_the_same_figure_and_another_one_another() -> None:
    one, again, other = composed(5), composed(5), composed(6)
    assert (one.pixels == again.pixels).all()
    assert (one.panels, one.letters) == (again.panels, again.letters)
    assert one.panels != other.panels


@pytest.mark.parametrize("seed", range(12))
def test_boxes_lie_in_the_figure_and_letters_in_their_panels(seed: int) -> None:
    figure = composed(seed)
    height, width = figure.pixels.shape[:2]
    assert len(figure.panels) > 1
    for left, top, right, bottom in figure.panels:
        assert 0 <= left < right <= width and 0 <= top < bottom <= height
    assert len(figure.letters) in {0, len(figure.panels)} or len(figure.letters) < len(figure.panels)
    for letter, (left, top, right, bottom) in figure.letters:
        assert letter == letter.upper()
        inside = [
            box for box in figure.panels if box[0] <= left and box[1] <= top and right <= box[2] and bottom <= box[3]
        ]
        assert inside


def test_a_letter_is_printed_where_its_label_says() -> None:
    """Drawn without pictures, all ink of a panel's corner is that of its letter."""
    layout = tuple(
        Spot(Place(x, 0, x + 0.45, 0.6), Place(x + 0.02, 0.02, x + 0.08, 0.08), text)
        for x, text in ((0, "A"), (0.5, "B"))
    )
    white = Image.new("RGB", (200, 200), "white")
    lettered = [compose(np.random.default_rng(seed), layout, [white], share=1) for seed in range(60)]
    lettered = [figure for figure in lettered if len(figure.letters) == 2]
    assert len(lettered) > 30
    inked = 0
    for figure in lettered:
        for _, (left, top, right, bottom) in figure.letters:
            patch = figure.pixels[max(0, top) : bottom, max(0, left) : right].astype(int)
            inked += patch.max() - patch.min() > 100
    assert inked >= 0.95 * 2 * len(lettered)


def test_a_figure_of_one_panel_has_one_box_and_no_letter() -> None:
    for seed in range(8):
        figure = compose(np.random.default_rng(seed), None)
        assert (len(figure.panels), figure.letters) == (1, ())


def test_a_picture_of_the_store_is_shown() -> None:
    red = Image.new("RGB", (300, 200), (200, 30, 30))
    figure = compose(np.random.default_rng(3), None, [red], share=1)
    height, width = figure.pixels.shape[:2]
    middle = figure.pixels[height // 4 : height // 2, width // 4 : width // 2].reshape(-1, 3)
    assert np.abs(np.median(middle, axis=0) - (200, 30, 30)).max() < 12 or np.ptp(np.median(middle, axis=0)) < 3
    assert width / height == pytest.approx(1.5, abs=0.25)


def test_grids_have_any_letters() -> None:
    texts = {spot.text for seed in range(8) for spot in lettered_grid(np.random.default_rng(seed))}
    assert len(texts) > 20
    assert texts <= set(LETTERS)
