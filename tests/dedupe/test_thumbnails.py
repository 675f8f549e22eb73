from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from biomedica_ray.dedupe.thumbnails import bound, coarse, correlation
from biomedica_ray.images.thumbnails import thumbnail
from tests.synthetic import picture

THUMBNAILS = arrays(np.uint8, 1024, elements=st.integers(0, 255))


def test_what_looks_the_same_correlates() -> None:
    image = picture(1, (400, 300))
    one = thumbnail(image)
    assert correlation(one, thumbnail(image.resize((90, 70)))) > 0.98
    assert correlation(one, 255 - one) == pytest.approx(-1)
    assert abs(correlation(one, thumbnail(picture(2)))) < 0.9
    assert correlation(one, np.full(1024, 255, np.uint8)) == 0


@given(THUMBNAILS, THUMBNAILS)
def test_it_is_pearsons_and_the_order_does_not_matter(a: np.ndarray, b: np.ndarray) -> None:
    expected = np.corrcoef(a, b)[0, 1] if a.std() and b.std() else 0
    assert correlation(a, b) == pytest.approx(expected, abs=1e-9)
    assert correlation(a, b) == correlation(b, a)
    assert correlation(a, a) == (1 if a.std() else 0)


def test_the_brightest_values_do_not_overflow() -> None:
    half = np.repeat(np.array([255, 254], np.uint8), 512)
    assert correlation(half, half) == 1
    assert correlation(half, half[::-1].copy()) == -1


@given(THUMBNAILS, THUMBNAILS, st.integers(0, 255))
def test_the_bound_is_never_below_the_correlation(a: np.ndarray, b: np.ndarray, opacity: int) -> None:
    mixed = ((a.astype(np.int64) * opacity + b * (255 - opacity)) // 255).astype(np.uint8)  # often nearly the same
    for one, other in ((a, b), (a, mixed), (a, a)):
        looks = coarse(np.stack([one, other]))
        assert bound(looks[0], looks[1]) >= correlation(one, other) - 1e-5
        assert bound(looks[0], looks[1]) <= 1 + 1e-5


def test_the_bound_tells_pictures_apart() -> None:
    looks = coarse(np.stack([thumbnail(picture(seed)) for seed in range(8)]))
    bounds = [bound(looks[i], looks[j]) for i in range(8) for j in range(i)]
    assert max(bounds) < 0.95
    assert coarse(np.full((1, 1024), 7, np.uint8)).tolist() == [[0] * 65]
