"""Memory of a forward pass, by models of which it can be reckoned."""

from __future__ import annotations

import itertools

import pytest
import torch

from biomedica_ray.models.live import peak_bytes


def model(*widths: int) -> torch.nn.Sequential:
    layers = [torch.nn.Linear(before, after) for before, after in itertools.pairwise(widths)]
    return torch.nn.Sequential(*layers)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_most_that_is_there_at_a_time(batch: int) -> None:
    made, images = model(8, 100, 1000, 200, 300), torch.zeros(batch, 8)
    # The two widest neighbours: what came before them is gone, and what comes after them is less.
    assert peak_bytes(lambda: made(images)) == 4 * batch * (1000 + 200)


def test_weights_and_the_input_are_not_counted_and_views_only_once() -> None:
    layer, images = torch.nn.Linear(8, 10, bias=False), torch.zeros(2, 8)
    assert peak_bytes(lambda: layer(images).reshape(5, 4).T.flip(0)) == 2 * 4 * 20
    assert peak_bytes(lambda: layer.weight.T) == 0
