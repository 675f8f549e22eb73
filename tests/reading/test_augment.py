from __future__ import annotations

import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from biomedica_ray.reading.augment import random_box, training_pixels


@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 100))
def test_box_lies_in_the_image_with_an_allowed_shape(width: int, height: int, seed: int) -> None:
    left, upper, right, lower = random_box(width, height, random.Random(seed))
    assert 0 <= left < right <= width
    assert 0 <= upper < lower <= height
    if min(width, height) > 100:
        assert 0.74 < (right - left) / (lower - upper) < 1.35


def test_pixels_are_of_one_colour_where_the_image_is() -> None:
    pixels = training_pixels(Image.new("RGB", (50, 40), (10, 20, 30)), (8, 12), "bilinear", random.Random(0))
    assert pixels.shape == (3, 8, 12)
    assert (pixels == np.array([10, 20, 30])[:, None, None]).all()


def test_the_same_generator_gives_the_same_crop() -> None:
    image = Image.effect_noise((64, 64), 80).convert("RGB")
    first, again, other = (training_pixels(image, (8, 8), "bicubic", random.Random(seed)) for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
