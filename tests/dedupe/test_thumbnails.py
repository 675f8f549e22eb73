from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from biomedica_ray.dedupe.thumbnails import correlation, thumbnail
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
