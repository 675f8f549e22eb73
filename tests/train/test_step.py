from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from biomedica_ray.models.clip import build
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.train.step import backward, contrastive_loss, update


def make(path: str) -> Any:
    torch.manual_seed(1)
    model, _ = build(resolve_model(path, None))
    model.output_dict = True
    return model.double()


def batch(n: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn((n, 3, 32, 32), generator=generator, dtype=torch.float64)
    return images, torch.randint(1, 400, (n, 16), generator=generator)


def gradients(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("chunks", [2, 3, 8])
def test_chunks_give_the_gradient_of_the_whole_batch(tiny_model: str, chunks: int) -> None:
    whole, parts = make(tiny_model), make(tiny_model)
    loss = contrastive_loss("clip", 0, 1)
    expected = backward(whole, loss, *batch(8))
    found = backward(parts, loss, *batch(8), chunks)
    assert float(found) == pytest.approx(float(expected))
    for name, gradient in gradients(whole).items():
        torch.testing.assert_close(gradients(parts)[name], gradient, rtol=1e-9, atol=1e-12, msg=name)


def test_loss_of_known_logits(tiny_model: str) -> None:
    features = torch.eye(2)
    value = contrastive_loss("clip", 0, 1)(features, features, torch.tensor(1.0))
    assert float(value) == pytest.approx(math.log(1 + math.exp(-1)))


def test_update_clips_and_bounds_the_logit_scale(tiny_model: str) -> None:
    model = make(tiny_model)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    before = [p.detach().clone() for p in model.parameters()]
    backward(model, contrastive_loss("clip", 0, 1), *batch(4))
    with torch.no_grad():
        model.logit_scale.fill_(9.0)
    before[[name for name, _ in model.named_parameters()].index("logit_scale")].fill_(math.log(100))
    norm = update(model, optimizer, 0.5, 0.01)
    moved = math.sqrt(
        sum(float((p.detach() - b).square().sum()) for p, b in zip(model.parameters(), before, strict=True))
    )
    assert norm > 0.01
    assert moved <= 0.5 * 0.01 * 1.001
    assert float(model.logit_scale.detach()) == pytest.approx(math.log(100))
    assert all(p.grad is None for p in model.parameters())
