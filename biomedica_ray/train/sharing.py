"""What the first worker reads from the store, given to the others, so that weights are read once a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist

Files = Mapping[str, Mapping[str, torch.Tensor]]


def share_weights(model: torch.nn.Module, device: torch.device) -> None:
    """Give parameters and buffers of the first worker's model, in place, to those of all; called by all of them.

    Args:
        model: Where it is.
        device: Where the process group takes tensors.
    """
    if dist.is_initialized():
        for tensor in model.state_dict().values():
            here = tensor.to(device)
            dist.broadcast(here, 0)
            tensor.copy_(here)


def share_files(files: Files | None, device: torch.device) -> Files:
    """The tensors of the first worker, by file and name, in host memory; called by all workers.

    Args:
        files: Those of the first worker; None on the others.
        device: Where the process group takes tensors.
    """
    if not dist.is_initialized():
        assert files is not None
        return files
    described: list[Any] = [None]
    if files is not None:
        described = [{file: {name: (x.shape, x.dtype) for name, x in each.items()} for file, each in files.items()}]
    dist.broadcast_object_list(described, 0)
    shared: dict[str, dict[str, torch.Tensor]] = {}
    for file, tensors in described[0].items():
        shared[file] = {}
        for name, (shape, dtype) in tensors.items():
            own = torch.empty(shape, dtype=dtype) if files is None else files[file][name]
            here = own.to(device)
            dist.broadcast(here, 0)
            shared[file][name] = here.cpu()
    return shared
