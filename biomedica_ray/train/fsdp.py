"""A model whose weights, gradients and optimizer state are divided among the workers: FSDP2, which comes with torch.

Each block of the towers is a unit: its weights are gathered when the block computes, and dropped after it. What lies
outside the blocks is one more unit, which stays gathered from the forward to the backward pass.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from biomedica_ray.models.depth import blocks

SCALARS = ("logit_scale", "logit_bias")
"""Parameters without a dimension that could be divided."""


def shard(model: Any, device: torch.device) -> None:
    """Divide the parameters of a model among all workers, in place; they go to ``device`` block by block.

    Weights are gathered, and gradients summed up, in float32: what is computed in half precision is for autocast to
    say, as with whole models. FSDP2's own mixed precision would round norms and the residual stream as well.

    Args:
        model: A CLIP model, the same on all workers.
        device: Where it computes.
    """
    for name in SCALARS:
        if (scalar := getattr(model, name, None)) is not None:
            scalar.data = scalar.data.reshape(1)
    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    for block in reversed(blocks(model)):  # those within others first
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)


def at_a_time(model: torch.nn.Module) -> int:
    """How many numbers of a divided model are gathered at a time: two blocks, and what lies outside all of them."""
    each = [set(block.parameters()) for block in blocks(model)]
    largest = max((sum(own.numel() for own in block) for block in each), default=0)
    inside = set[torch.nn.Parameter]().union(*each)
    return 2 * largest + sum(own.numel() for own in set(model.parameters()) - inside)


def shell(model: Any) -> Any:
    """A copy of a model, in evaluation mode, whose parameters have shapes and no contents."""
    empty = {id(own): torch.nn.Parameter(own.to("meta"), own.requires_grad) for own in model.parameters()}
    return deepcopy(model, empty).eval()


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor, of which each worker may have a part, on each of them; called by all of them."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(model: Any, like: Any, device: torch.device) -> Any:
    """The whole of a divided model, on the device of each worker; called by all of them.

    Args:
        model: The divided model.
        like: Its :func:`shell`, which stays as it is.
        device: Where the model is.
    """
    copy = deepcopy(like)
    shapes = {name: tensor.shape for name, tensor in like.state_dict().items()}
    tensors = {name: whole(tensor.detach()).reshape(shapes[name]) for name, tensor in model.state_dict().items()}
    copy.load_state_dict(tensors, assign=True)
    return copy.to(device)


def fitted(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A tensor in the shape of another one, and divided as that is."""
    tensor = tensor.reshape(like.shape)
    if not isinstance(like, DTensor):
        return tensor
    here = tensor.to(like.device_mesh.device_type)
    return distribute_tensor(here, like.device_mesh, like.placements, src_data_rank=None)
