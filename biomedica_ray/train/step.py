"""One step of contrastive training."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import open_clip
import torch
from torch.amp import GradScaler

from biomedica_ray.train.fsdp import whole
from biomedica_ray.train.optimizer import MAX_LOGIT_SCALE

_LOSS_INPUTS = ("image_features", "text_features", "logit_scale", "logit_bias")
_UNSCALED = GradScaler(enabled=False)


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


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """The context in which a model computes in ``dtype`` where that loses little."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def backward(
    model: Any,
    loss: Any,
    images: torch.Tensor,
    tokens: torch.Tensor,
    chunks: int = 1,
    *,
    dtype: torch.dtype = torch.float32,
    scaler: GradScaler = _UNSCALED,
    seed: int = 0,
) -> torch.Tensor:
    """Add the gradient of the loss over a batch to the parameters, and return the loss of this worker's rows.

    With several chunks, the features of all are made first without gradient; then each chunk goes through the model
    again, with gradient, beside the others' features. The sum is the gradient of the whole batch, at the memory of
    one chunk (Gao et al. 2021, GradCache, arXiv:2101.06983). Both times, what the model does at random is the same.

    Args:
        model: Called as ``model(images, tokens)``; returns open_clip's dict of features, logit scale and bias.
        loss: As of :func:`contrastive_loss`.
        images: Shape (B, 3, H, W).
        tokens: Shape (B, context length).
        chunks: In how many parts the batch goes through the model.
        dtype: What the model computes in (autocast), where it is not float32.
        scaler: Scales the gradient, for float16.
        seed: Of what the model does at random (dropped patches, dropout); that of each chunk is drawn from it.
    """
    parts = list(zip(images.chunk(chunks), tokens.chunk(chunks), strict=True))
    computing = autocast(images.device, dtype)

    def features(number: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed + number)
        output = model(*parts[number])
        found = {key: output[key] for key in _LOSS_INPUTS if output.get(key) is not None}
        # Those of a divided model have a dimension, by which the loss would be computed in another dtype.
        return {key: x.reshape(()) if key.startswith("logit") else x for key, x in found.items()}

    if len(parts) == 1:
        with computing:
            value: torch.Tensor = loss(**features(0))
        torch.autograd.backward(scaler.scale(value))
        return value.detach()
    with torch.no_grad(), computing:
        cached = [features(number) for number in range(len(parts))]
    for number in range(len(parts)):
        last = number == len(parts) - 1
        with nullcontext() if last else _no_sync(model):
            with computing:
                own = features(number)
                # Scale and bias are there once for all chunks: their gradient is taken once.
                inputs = {key: x if last else x.detach() for key, x in own.items() if key.startswith("logit")}
                for key in ("image_features", "text_features"):
                    inputs[key] = torch.cat([own[key] if n == number else other[key] for n, other in enumerate(cached)])
                value = loss(**inputs)
            torch.autograd.backward(scaler.scale(value))
    return value.detach()


def update(
    model: Any, optimizer: torch.optim.Optimizer, lr: float, grad_clip: float, scaler: GradScaler = _UNSCALED
) -> torch.Tensor:
    """Clip the gradient, take the optimizer's step, keep the logit scale in bounds; returns the gradient's norm.

    Does not wait for the device, but where a scaler must know whether the gradient is finite.

    Where the gradient is too great for float16, the scaler makes less of it and the optimizer takes no step.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)
    scaler.unscale_(optimizer)
    norm = whole(torch.nn.utils.clip_grad_norm_(model.parameters(), grad_clip))
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    with torch.no_grad():
        model.logit_scale.clamp_(0, MAX_LOGIT_SCALE)
    return norm


def _no_sync(model: Any) -> AbstractContextManager[None]:
    """Leave gradients local until the last chunk, where the model is a DistributedDataParallel one.

    A divided model hands them on after each chunk, as otherwise each worker would keep all of them.
    """
    synchronised = isinstance(model, torch.nn.parallel.DistributedDataParallel)
    return model.no_sync() if synchronised else nullcontext()
