from __future__ import annotations

from typing import Any

import pytest
import torch
from open_clip_train.scheduler import const_lr, cosine_lr

from biomedica_ray.train.optimizer import parameter_groups
from biomedica_ray.train.schedule import learning_rate


def test_warm_up_then_cosine_to_zero() -> None:
    rates = [learning_rate(step, 12, 2, 1.0) for step in range(13)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[7] == pytest.approx(0.5)
    assert rates[12] == pytest.approx(0.0)


@pytest.mark.parametrize(("schedule", "theirs"), [("cosine", cosine_lr), ("const", const_lr)])
def test_schedules_are_those_of_open_clip_train(schedule: Any, theirs: Any) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)])
    expected = theirs(optimizer, 3e-4, 5, 30)
    for step in range(30):
        assert learning_rate(step, 30, 5, 3e-4, schedule) == pytest.approx(expected(step), rel=1e-12)


def test_no_warm_up_starts_at_the_peak() -> None:
    assert learning_rate(0, 10, 0, 3.0) == 3.0


def test_warm_up_longer_than_the_run_never_reaches_the_peak() -> None:
    assert learning_rate(9, 10, 100, 1.0) == pytest.approx(0.1)


def test_norms_and_biases_and_frozen_parameters() -> None:
    model = torch.nn.ModuleDict(
        {"fc": torch.nn.Linear(3, 2), "ln": torch.nn.LayerNorm(2), "off": torch.nn.Linear(2, 2)}
    )
    model["off"].requires_grad_(False)
    decaying, free = parameter_groups(model, 0.2)
    assert (decaying["weight_decay"], free["weight_decay"]) == (0.2, 0.0)
    assert [id(p) for p in decaying["params"]] == [id(model["fc"].weight)]
    assert {id(p) for p in free["params"]} == {id(model["fc"].bias), id(model["ln"].weight), id(model["ln"].bias)}
