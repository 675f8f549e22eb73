"""Memory of NVIDIA's GPUs, by Ray's names of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

Gpu = Literal["T4", "V100", "L4", "A10G", "L40S", "A100-40G", "A100-80G", "H100", "H200", "B200"]

MEMORY_GIB: Mapping[Gpu, float] = {
    "T4": 15.0,
    "V100": 15.8,
    "L4": 22.5,
    "A10G": 22.5,
    "L40S": 45.0,
    "A100-40G": 39.5,
    "A100-80G": 79.3,
    "H100": 79.6,
    "H200": 140.4,
    "B200": 178.0,
}
"""What nvidia-smi shows as a GPU's whole memory."""

_MARK = "accelerator_type:"


def found(nodes: Iterable[Mapping[str, float]]) -> Gpu | None:
    """The GPU with the least memory that nodes with these resources have; None where Ray knows of none."""
    names = {name.removeprefix(_MARK) for node in nodes for name in node if name.startswith(_MARK)}
    known = [gpu for gpu in get_args(Gpu) if gpu in names]
    return min(known, key=lambda gpu: MEMORY_GIB[gpu], default=None)
