"""One step of contrastive training."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import open_clip
import torch

from biomedica_ray.train.optimizer import MAX_LOGIT_SCALE

_LOSS_INPUTS = ("image_features", "text_features", "logit_scale", "logit_bias")


def contrastive_loss(kind: Literal["clip", "siglip"], rank: int, workers: int) -> Any:
    """The loss of this worker's rows against the samples of all; its mean over the workers is that of the whole batch.

    The gradient reaches the features of every worker, and DistributedDataParallel takes the mean over the workers, so
    that it is the gradient of that mean.

    Args:
        kind: ``clip``, softmax over the batch (Radford et al. 2021, arXiv:2103.00020), or ``siglip``, a sigmoid for
            each pair (Zhai et al. 2023, arXiv:2303.15343).
        rank: Number of this worker.
        workers: How many there are.
    """
    if kind == "siglip":
        return open_clip.loss.SigLipLoss(rank=rank, world_size=workers)
    return open_clip.ClipLoss(local_loss=True, gather_with_grad=True, rank=rank, world_size=workers)


def backward(
    model: Any, loss: Any, images: torch.Tensor, tokens: torch.Tensor, chunks: int = 1, *, bf16: bool = False
) -> torch.Tensor:
    """Add the gradient of the loss over a batch to the parameters, and return the loss of this worker's rows.

    With several chunks, the features of all are made first without gradient; then each chunk goes through the model
    again, with gradient, beside the others' features. The sum is the gradient of the whole batch, at the memory of
    one chunk (Gao et al. 2021, GradCache, arXiv:2101.06983). The model must be the same in both passes: no dropout.

    Args:
        model: Called as ``model(images, tokens)``; returns open_clip's dict of features, logit scale and bias.
        loss: As of :func:`contrastive_loss`.
        images: Shape (B, 3, H, W).
        tokens: Shape (B, context length).
        chunks: In how many parts the batch goes through the model.
        bf16: Whether the model computes in bfloat16 (autocast).
    """
    parts = list(zip(images.chunk(chunks), tokens.chunk(chunks), strict=True))
    autocast = torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=bf16)
    if len(parts) == 1:
        with autocast:
            value: torch.Tensor = loss(**_loss_inputs(model(images, tokens)))
        torch.autograd.backward(value)
        return value.detach()
    with torch.no_grad(), autocast:
        cached = [_loss_inputs(model(*part)) for part in parts]
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        with nullcontext() if last else _no_sync(model):
            with autocast:
                own = _loss_inputs(model(*part))
                # Scale and bias are there once for all chunks: their gradient is taken once.
                inputs = {key: x if last else x.detach() for key, x in own.items() if key.startswith("logit")}
                for key in ("image_features", "text_features"):
                    features = [own[key] if n == number else other[key] for n, other in enumerate(cached)]
                    inputs[key] = torch.cat(features)
                value = loss(**inputs)
            torch.autograd.backward(value)
    return value.detach()


def update(model: Any, optimizer: torch.optim.Optimizer, lr: float, grad_clip: float) -> float:
    """Clip the gradient, take the optimizer's step, keep the logit scale in bounds; returns the gradient's norm."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    with torch.no_grad():
        model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
    return float(norm)


def _loss_inputs(output: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return {key: output[key] for key in _LOSS_INPUTS if output.get(key) is not None}


def _no_sync(model: Any) -> AbstractContextManager[None]:
    """Leave gradients local until the last chunk, where the model is a DistributedDataParallel one."""
    synchronised = isinstance(model, torch.nn.parallel.DistributedDataParallel)
    return model.no_sync() if synchronised else nullcontext()
