"""Text towers of CLIP that read more tokens than they were trained for."""

from __future__ import annotations

from typing import Any

import torch

from biomedica_ray.models.variants import KEPT


def stretched(positions: torch.Tensor, length: int) -> torch.Tensor:
    """Position embeddings for longer texts: the first :data:`KEPT` as they are, the others drawn apart.

    The first ones are well trained, as most captions that CLIP was trained with are short.
    The rule of LongCLIP (Zhang et al. 2024, arXiv:2403.15378, section 3.1): linear between two neighbours, and beyond
    the last one on in its direction.

    Args:
        positions: Shape (L, d), L above :data:`KEPT` + 1.
        length: Positions that are wanted, at least L.

    Returns:
        Shape (length, d). With L = 77 and ``length`` = 248 those of LongCLIP.
    """
    last = len(positions) - 1
    ratio = (length - KEPT) / (len(positions) - KEPT)
    at = KEPT + torch.arange(length - KEPT, dtype=torch.float64) / ratio
    low = at.floor().long().clamp(max=last - 1)
    share = (at - low).to(positions.dtype)[:, None]
    return torch.cat([positions[:KEPT], positions[low] * (1 - share) + positions[low + 1] * share])


def stretch(model: Any, length: int) -> None:
    """Make a text tower of open_clip read texts of ``length`` tokens, in place."""
    text = getattr(model, "text", model)
    text.positional_embedding = torch.nn.Parameter(stretched(text.positional_embedding.detach(), length))
    if text.attn_mask is not None:
        mask = torch.full((length, length), float("-inf")).triu_(1)
        text.register_buffer("attn_mask", mask, persistent=False)
    for module in {text, model}:
        module.context_length = length
    if hasattr(text, "num_pos"):
        text.num_pos = length
