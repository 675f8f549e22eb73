"""A training that is not finished: weights in float32 and the optimizer's state, so that it goes on where it stopped.

It lies beside the finished weights, under a name of its own, so that they stay what they are until the new ones are
done. Imports no model library, as the driver looks at it too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_FORMAT = "biomedica panels, unfinished, 1"
"""Another number where networks or their optimizer change so that they cannot go on from older ones."""


def unfinished_path(name: str) -> str:
    """Where the training of the weights ``name`` lies in a store until it is finished."""
    return f"panel_models/unfinished/{name}.safetensors"


def dump_checkpoint(state: Mapping[str, Tensor], about: Mapping[str, Any]) -> bytes:
    """A checkpoint as a file.

    Args:
        state: What :meth:`biomedica_ray.train_panels.learning.Learner.state` gives.
        about: The settings, and the steps that are done as ``step``; as JSON.
    """
    from safetensors.torch import save  # noqa: PLC0415

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    data: bytes = save(tensors, {"format": _FORMAT, "about": json.dumps(about)})
    return data


def about_checkpoint(data: bytes) -> dict[str, Any] | None:
    """What a checkpoint says of itself; None where it is none, or one of another version."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
        about: dict[str, Any] = json.loads(header["about"])
    except (ValueError, KeyError, TypeError, OverflowError):
        return None
    return about if header["format"] == _FORMAT else None


def load_checkpoint(data: bytes) -> dict[str, Tensor]:
    """The state in a checkpoint, as :meth:`biomedica_ray.train_panels.learning.Learner.resume` takes it."""
    from safetensors.torch import load  # noqa: PLC0415

    state: dict[str, Tensor] = load(data)
    return state
