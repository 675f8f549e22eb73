"""A panel as it was found in a figure's image, before the caption is read."""

from __future__ import annotations

from dataclasses import dataclass

from biomedica_ray.panels.boxes import Box


def surer(gutters: float, model: float | None) -> float:
    """How sure it is that a panel is there, 0 to 1: by the gutters around it or by a model, whichever is surer."""
    return max(gutters, model or 0.0)


@dataclass(frozen=True)
class FoundPanel:
    """A panel that an image shows.

    Attributes:
        box: Where it is, with the confidence of the gutters that set it apart.
        model_confidence: 0 to 1, how sure a model is that it is a panel: the detector, or the reader of the letter that
            set it apart; None where none looked, or none saw a panel there.
        printed: The letter that the image shows at this panel, in upper case; None where none was
            read.
        printed_confidence: 0 to 1, the reader's; None exactly where `printed` is.
    """

    box: Box
    model_confidence: float | None = None
    printed: str | None = None
    printed_confidence: float | None = None
