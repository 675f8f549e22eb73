from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.merge.weights import average, interpolate

BASE = {"w": torch.tensor([0.0, 2.0]), "n": torch.tensor(3)}
TUNED = {"w": torch.tensor([1.0, -2.0]), "n": torch.tensor(5)}


def test_the_ends_are_the_models_themselves() -> None:
    assert torch.equal(interpolate(BASE, TUNED, 1)["w"], TUNED["w"])
    assert torch.equal(interpolate(BASE, TUNED, 0)["w"], BASE["w"])


def test_a_quarter_of_the_way() -> None:
    merged = interpolate(BASE, TUNED, 0.25)
    assert merged["w"].tolist() == [0.25, 1.0]
    assert merged["n"].item() == 5


@given(st.lists(st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3), min_size=1, max_size=5))
def test_an_average_does_not_depend_on_the_order(rows: list[list[float]]) -> None:
    models = [{"w": torch.tensor(row)} for row in rows]
    there, back = average(models)["w"], average(models[::-1])["w"]
    assert torch.allclose(there, torch.tensor(rows, dtype=torch.float64).mean(0).float(), atol=1e-5)
    assert torch.allclose(there, back, atol=1e-6)


def test_half_precision_stays_and_loses_nothing_on_the_way() -> None:
    models = [{"w": torch.full((1,), value, dtype=torch.bfloat16)} for value in (1.0, 1.0078125)]
    merged = average([models[0]] * 99 + [models[1]])["w"]
    assert merged.dtype == torch.bfloat16
    assert merged.item() == 1.0


@pytest.mark.parametrize(
    "other", [{"w": torch.zeros(3), "n": torch.tensor(1)}, {"w": torch.zeros(2)}, {"x": torch.zeros(2)}]
)
def test_models_that_do_not_fit_are_refused(other: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="is not in both models with the same shape"):
        average([BASE, other])
