"""What all workers must know of each other after a step, and of what the first one does for all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
import torch.distributed as dist

from biomedica_ray.messages import one_line
from biomedica_ray.store import StoreError

_BITS, _PARTS = 16, 4
"""A digest of 64 bits goes in parts, whose sums float64 holds exactly."""


@dataclass(frozen=True)
class Word:
    """What one worker says after a step.

    Attributes:
        leave: It was told to stop.
        failed: It could not write a checkpoint.
        ask: It is time to ask Ray for nodes that are drained.
        utilisation: Of its GPU, in percent; None without one.
        distinct: Samples of its batch that no other pass and no other lane counts.
        held_out: The same of those that were passed over before them.
        digest: Of its rows of the batch; those of all workers add up modulo 2**64.
    """

    leave: bool = False
    failed: bool = False
    ask: bool = False
    utilisation: float | None = None
    distinct: int = 0
    held_out: int = 0
    digest: int = 0


@dataclass(frozen=True)
class Agreed:
    """What holds for all: the mean loss, whether any worker said yes, the utilisation of each, and the sums.

    Attributes:
        also: The numbers that were to be read as well.
    """

    loss: float
    leave: bool
    failed: bool
    ask: bool
    utilisation: list[float | None]
    distinct: int = 0
    held_out: int = 0
    digest: int = 0
    also: list[float] = field(default_factory=list)


def agree(loss: torch.Tensor, word: Word, rank: int, workers: int, also: torch.Tensor | None = None) -> Agreed:
    """Sum up the losses (scalars) and the words of all workers; every worker gets the same answer.

    In one small reduction and one read from the device. Waits until the device has the loss, and for nothing else.

    Args:
        loss: This worker's.
        word: What it says.
        rank: Which worker this is.
        workers: How many there are.
        also: float64 numbers of this worker that are read from the device at the same time, shape (n,).
    """
    used = [0.0] * workers  # one more than it is: 0 means unknown, and a GPU may be idle
    used[rank] = 0.0 if word.utilisation is None else 1.0 + word.utilisation
    digest = [word.digest >> (_BITS * part) & (2**_BITS - 1) for part in range(_PARTS)]
    numbers = [word.leave, word.failed, word.ask, word.distinct, word.held_out, *digest, *used]
    said = torch.cat([loss.detach().double().reshape(1), torch.tensor(numbers, dtype=torch.float64).to(loss.device)])
    if dist.is_initialized():
        dist.all_reduce(said)
    values: list[float] = (said if also is None else torch.cat([said, also])).tolist()
    total, leave, failed, ask, distinct, held_out, *rest = values
    each = rest[_PARTS : _PARTS + workers]
    return Agreed(
        total / workers,
        leave > 0,
        failed > 0,
        ask > 0,
        [None if value == 0 else value - 1 for value in each],
        int(distinct),
        int(held_out),
        _joined(rest[:_PARTS]),
        rest[_PARTS + workers :],
    )


def _joined(parts: Sequence[float]) -> int:
    return sum(int(part) << (_BITS * number) for number, part in enumerate(parts)) % 2**64


def by_the_first(work: Callable[[], object], group: dist.ProcessGroup | None) -> None:
    """Let the first worker of a group do something while the others wait; without a group, this one.

    Args:
        work: What only the first one does.
        group: Of workers all of which call this, with a backend that sends from the CPU.

    Raises:
        Exception: On the first worker what ``work`` raises.
        StoreError: On the others what that says, in one line.
    """
    if group is None:
        work()
        return
    told: list[str | None] = [None]
    try:
        if group.rank() == 0:
            work()
    except Exception as error:
        told = [one_line(error)]
        raise
    finally:
        dist.broadcast_object_list(told, dist.get_global_rank(group, 0), group)
    if told[0] is not None:
        raise StoreError(told[0])


def gpu_utilisation(device: torch.device) -> float | None:
    """How busy a GPU is, in percent, as NVML says; None on a CPU, and where NVML (``nvidia-ml-py``) says nothing."""
    if device.type != "cuda":
        return None
    try:
        return float(torch.cuda.utilization(device))
    except Exception:  # noqa: BLE001 - a driver that does not answer (MIG has errors of its own) stops no training
        return None
