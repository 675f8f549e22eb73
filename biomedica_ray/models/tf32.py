"""TensorFloat-32 in matrix products and convolutions of single precision on NVIDIA GPUs."""

from __future__ import annotations

import torch


def set_tf32(*, allowed: bool) -> None:
    """Let GPUs multiply float32 in TF32 (10 bits of mantissa), as open_clip_train does, or in full.

    For this process; nothing changes on a CPU.
    """
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
