"""Memory of a model in a worker, from what few inputs take."""

from __future__ import annotations

import pytest

from biomedica_ray.forecast import Tried, as_it_grows, batch_memory


def test_what_one_input_more_takes() -> None:
    assert as_it_grows([120], [220]) == (50, 20)
    assert as_it_grows([100, 70], [200, 80]) == (50, 60)  # a text takes little, but much whatever their number
    assert as_it_grows([100], [210]) == (55, 0)


@pytest.mark.parametrize("on_gpu", [False, True])
def test_memory_of_a_batch(*, on_gpu: bool) -> None:
    parts = batch_memory(Tried("a", (20, 10), 1000, 50, 7), 4, 5, on_gpu=on_gpu)
    assert parts == {"weights": 4000, "activations": 207, "pixels": 12000} | ({"CUDA": 2**30} if on_gpu else {})
