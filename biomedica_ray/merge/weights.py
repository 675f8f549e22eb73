"""Weights of several models as those of one: averages of runs, and interpolation between a base and a tuned model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

Weights = Mapping[str, torch.Tensor]


def average(models: Sequence[Weights]) -> dict[str, torch.Tensor]:
    """The mean of the weights of models of one architecture, a uniform soup.

    Wortsman et al., "Model soups" (ICML 2022, arXiv:2203.05482), section 2.

    Args:
        models: Parameters and buffers by name, at least one model; the same names and shapes in each.

    Returns:
        Computed in float64, in the dtype of the first model; what is not a number of floating point (the count of
        batches of a batch norm) is that of the first model.

    Raises:
        ValueError: Names or shapes differ.
    """
    share = 1 / len(models)
    return _combined([(model, share) for model in models])


def interpolate(base: Weights, tuned: Weights, alpha: float) -> dict[str, torch.Tensor]:
    """``(1 - alpha) * base + alpha * tuned``, weight by weight.

    Wortsman et al., "Robust fine-tuning of zero-shot models" (WiSE-FT, CVPR 2022, arXiv:2109.01903), section 3. All is
    interpolated, the logit scale too, as in that paper's code for the parameters of the whole model.

    Args:
        base: The model that training began with.
        tuned: The model that it ended with.
        alpha: From 0, the base, to 1, the tuned model.

    Raises:
        ValueError: Names or shapes differ.
    """
    if alpha == 1:
        return dict(tuned)
    return _combined([(tuned, alpha), (base, 1 - alpha)])


def _combined(parts: Sequence[tuple[Weights, float]]) -> dict[str, torch.Tensor]:
    first = parts[0][0]
    for other, _ in parts[1:]:
        if unlike := sorted(
            name
            for name in first.keys() | other.keys()
            if name not in first or name not in other or first[name].shape != other[name].shape
        ):
            raise ValueError(f"{unlike[0]} is not in both models with the same shape")
    result = {}
    for name, tensor in first.items():
        if tensor.is_floating_point():
            total = sum(weight * part[name].to("cpu", torch.float64) for part, weight in parts)
            result[name] = torch.as_tensor(total).to(tensor.dtype)
        else:
            result[name] = tensor
    return result
