"""Memory that a sample takes while it is in the model: what autograd keeps for the backward pass.

Measured by a forward pass of torch's fake tensors, which have shapes and no contents: it takes seconds and no memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from biomedica_ray.models.clip import image_size
from biomedica_ray.train.step import autocast, contrastive_loss

_FEW, _MORE = 2, 4
"""Batches whose difference is measured."""


@dataclass(frozen=True)
class Activations:
    """What autograd keeps.

    Attributes:
        sample: Bytes of one more sample.
        constant: Bytes whatever the batch, as weights in half precision.
        block: With checkpointing, bytes of a sample in one block while that is computed again; else 0.
    """

    sample: float
    constant: float
    block: float = 0


def measure(
    model: Any, tokens: torch.Tensor, *, loss: str, dtype: torch.dtype, grad_checkpointing: bool
) -> Activations:
    """Measure a model in training mode, whose weights are lost by that.

    With checkpointing the inputs of all blocks are kept, and beside them what one block keeps while it is computed
    again: that is estimated as what all keep without checkpointing by the number of blocks of the deeper tower.

    Args:
        model: The model, which returns a dict.
        tokens: Of one text, shape (1, context length).
        loss: clip or siglip.
        dtype: What the model computes in.
        grad_checkpointing: Whether activations are computed again.
    """
    mode = FakeTensorMode()
    _fake(model, mode)
    tokens = mode.from_tensor(tokens)

    def kept(samples: int) -> int:
        with mode:
            images = torch.randn(samples, 3, *image_size(model))
            return _kept(model, images, tokens.repeat(samples, 1), loss, dtype)

    def a_sample() -> tuple[float, float]:
        few, more = kept(_FEW), kept(_MORE)
        sample = (more - few) / (_MORE - _FEW)
        return sample, max(0.0, few - _FEW * sample)

    whole, constant = a_sample()
    if not grad_checkpointing:
        return Activations(whole, constant)
    model.set_grad_checkpointing()
    inputs, constant = a_sample()
    return Activations(inputs, constant, max(0.0, whole - inputs) / blocks_of(model))


def _fake(model: Any, mode: FakeTensorMode) -> None:
    """Parameters and buffers without contents, in place; those that are shared stay shared."""
    before = [*model.parameters(), *model.buffers()]
    fakes = {id(tensor): mode.from_tensor(tensor) for tensor in before}
    for module in model.modules():
        for tensors in (module._parameters, module._buffers):
            tensors.update({name: fakes[id(tensor)] for name, tensor in tensors.items() if tensor is not None})


def _kept(model: Any, images: torch.Tensor, tokens: torch.Tensor, loss: Any, dtype: torch.dtype) -> int:
    parameters = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    storages: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in parameters:
            storages[storage._cdata] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), autocast(images.device, dtype):
        output = model(images, tokens)
        names = ("image_features", "text_features", "logit_scale", "logit_bias")
        # Held until the sum is taken, so that no storage takes another one's address.
        _held = contrastive_loss(loss, 0, 1)(**{name: output[name] for name in names if output.get(name) is not None})
    return sum(storages.values())


def blocks_of(model: Any) -> int:
    """Blocks of the deeper tower."""
    kinds = torch.nn.ModuleList | torch.nn.Sequential
    return max((len(module) for module in model.modules() if isinstance(module, kinds)), default=1)
