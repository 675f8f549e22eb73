"""PubMed Central figures as an image-text dataset, and CLIP models trained on it, on Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from biomedica_ray.loading import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """``biomedica_ray.load``, with which comes Ray, when it is asked for."""
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from biomedica_ray.loading import load  # noqa: PLC0415

    return load
