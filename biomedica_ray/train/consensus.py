"""What all workers must know of each other after a step, in the one small reduction that the loss needs anyway."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Word:
    """What one worker says after a step.

    Attributes:
        leave: It was told to stop.
        failed: It could not write a checkpoint.
        ask: It is time to ask Ray for nodes that are drained.
        utilisation: Of its GPU, in percent; None without one.
    """

    leave: bool = False
    failed: bool = False
    ask: bool = False
    utilisation: float | None = None


@dataclass(frozen=True)
class Agreed:
    """What holds for all: the mean loss, whether any worker said yes, and the utilisation of each."""

    loss: float
    leave: bool
    failed: bool
    ask: bool
    utilisation: list[float | None]


def agree(loss: torch.Tensor, word: Word, rank: int, workers: int) -> Agreed:
    """Sum up the losses (scalars) and the words of all workers; every worker gets the same answer."""
    used = torch.full((workers,), 0.0)
    # 0 in the sum means that there is no value, as a GPU may be idle
    used[rank] = 0.0 if word.utilisation is None else 1.0 + word.utilisation
    flags = torch.tensor([word.leave, word.failed, word.ask], dtype=torch.float32)
    said = torch.cat([loss.detach().float().reshape(1), flags.to(loss.device), used.to(loss.device)])
    if dist.is_initialized():
        dist.all_reduce(said)
    total, leave, failed, ask, *each = said.tolist()
    utilisation = [None if value == 0 else value - 1 for value in each]
    return Agreed(total / workers, leave > 0, failed > 0, ask > 0, utilisation)


def gpu_utilisation(device: torch.device) -> float | None:
    """How busy a GPU is, in percent, as NVML says; None on a CPU, and where NVML (``nvidia-ml-py``) says nothing."""
    if device.type != "cuda":
        return None
    try:
        return float(torch.cuda.utilization(device))
    except Exception:  # noqa: BLE001 - a driver that does not answer (MIG has errors of its own) stops no training
        return None
