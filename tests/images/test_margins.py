from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from biomedica_ray.images import decode
from biomedica_ray.images.margins import content_box
from tests.synthetic import encoded, picture


@pytest.mark.parametrize("colour", ["white", "black", (40, 90, 200)])
def test_a_margin_of_any_colour_is_left_out(colour: str | tuple[int, int, int]) -> None:
    framed = ImageOps.expand(picture(1, (120, 90)), border=(7, 11, 30, 5), fill=colour)
    left, top, right, bottom = content_box(framed)
    assert abs(left - 7) <= 1 and abs(top - 11) <= 1
    assert abs(right - 127) <= 1 and abs(bottom - 101) <= 1


def test_a_margin_that_rings() -> None:
    framed = ImageOps.expand(picture(2, (120, 90)), border=16, fill="white")
    box = content_box(decode(encoded(framed, "JPEG")))
    assert max(abs(edge - wanted) for edge, wanted in zip(box, (16, 16, 136, 106), strict=True)) <= 2


def test_each_side_has_its_own_colour_and_a_line_counts_without_the_sides() -> None:
    grey = np.full((40, 60), 255, np.uint8)
    grey[:, :10] = 0
    grey[15:25, 30:50] = 128
    assert content_box(Image.fromarray(grey)) == (10, 15, 50, 25)


def test_all_of_what_has_no_margin_or_nothing_else() -> None:
    assert content_box(picture(3, (50, 40))) == (0, 0, 50, 40)
    assert content_box(Image.new("RGB", (50, 40), "white")) == (0, 0, 50, 40)
