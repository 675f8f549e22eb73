from __future__ import annotations

import pytest
import torch

from biomedica_ray.models.clip import build
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.stages import load
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.divergence import advice, message, rows_not_finite


@pytest.mark.parametrize("parts", [1, 3])
def test_rows_with_a_token_whose_weights_are_broken(tiny_model: str, parts: int) -> None:
    model, _ = build(resolve_model(tiny_model, None))
    model.output_dict = True
    with torch.no_grad():
        model.token_embedding.weight[7] = torch.nan
    images, tokens = torch.zeros((5, 3, 32, 32)), torch.ones((5, 16), dtype=torch.long)
    assert rows_not_finite(model, images, tokens, parts) == []
    tokens[1, 3] = tokens[4, 0] = 7
    assert rows_not_finite(model, images, tokens, parts) == [1, 4]
    images[2, 0, 0, 0] = torch.inf
    assert rows_not_finite(model, images, tokens, parts) == [1, 2, 4]


def test_the_advice_is_a_command_that_works() -> None:
    assert advice("clip", 1e-3, 0).endswith("as in --lr 0.0005")
    said = advice("clip", 1e-3, 200)
    config = load("train", ["--store", "s", *said.partition("as in ")[2].split()])
    assert isinstance(config, TrainConfig)
    assert (config.name, config.continues, config.lr) == ("clip-2", "clip", 5e-4)


def test_message_names_a_few_samples() -> None:
    keys = [f"k{number}" for number in range(10)]
    assert message("the loss is nan", 3, keys[:2], keys, 10) == (
        "the loss is nan at step 3; features of 2 of its 10 samples are not finite: k0, k1"
    )
    assert "features of its 10 samples are finite: k0, k1, k2, k3, k4, k5, k6, k7, ..." in message(
        "the loss is inf", 3, [], keys, 10
    )
