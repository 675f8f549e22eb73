from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from biomedica_ray.images.hashes import difference_hash, perceptual_hash, wavelet_hash
from tests.synthetic import picture

RAMP = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (256, 1)))
HALVES = Image.fromarray(np.tile(np.repeat(np.array([0, 255], np.uint8), 128), (256, 1)))


def test_the_difference_hash_says_where_it_gets_brighter_to_the_right() -> None:
    assert difference_hash(RAMP) == 2**64 - 1
    assert difference_hash(RAMP.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) == 0


def test_the_wavelet_hash_says_what_is_brighter_than_the_median() -> None:
    assert wavelet_hash(HALVES) == 0x0F0F0F0F0F0F0F0F
    assert wavelet_hash(HALVES.transpose(Image.Transpose.ROTATE_90)) == 0xFFFFFFFF00000000


@pytest.mark.parametrize("hasher", [perceptual_hash, difference_hash, wavelet_hash])
def test_a_smaller_copy_is_near_and_another_picture_is_not(hasher: Callable[[Image.Image], int]) -> None:
    image = picture(1, (400, 300))
    assert (hasher(image) ^ hasher(image.resize((200, 150)))).bit_count() <= 4
    assert (hasher(image) ^ hasher(picture(2, (400, 300)))).bit_count() > 8
