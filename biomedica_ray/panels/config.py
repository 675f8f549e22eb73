"""The config of the panels stage."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from biomedica_ray.config import StageConfig
from biomedica_ray.config.needs import Need
from biomedica_ray.panels.weights import SHIPPED

MIN_CONFIDENCE = 0.8
"""Of panels that stand for themselves: nine of ten from here on have the right words (docs/panels.md)."""


class PanelsConfig(StageConfig):
    """Find the panels of compound figures, by their printed letters, the gutters between them, and a detector."""

    example: ClassVar[str] = "--store mine"

    detector: str | None = Field(
        "shipped",
        min_length=1,
        description="what looks for panels beside the gutters: shipped (the package's reader of printed "
        "letters; needs torch), none (gutters alone), a file of weights that train-panels wrote, or an "
        "object-detection model of transformers: a folder, or hf-hub:OWNER/NAME[@REVISION]",
    )
    panel_classes: list[str] | None = Field(
        None, description="classes of an object-detection model that are panels; none: all of its classes"
    )
    num_gpus: float = Field(0, ge=0, description="GPUs of one worker; the package's reader needs none")
    memory_gb: float = Field(2, gt=0, description="memory that one worker reserves")

    @model_validator(mode="after")
    def _classes_are_of_a_model(self) -> Self:
        if self.panel_classes and (self.detector in {None, SHIPPED} or str(self.detector).endswith(".safetensors")):
            raise ValueError("panel_classes: only object-detection models of transformers have classes; leave it out")
        return self

    def needs(self) -> tuple[Need, ...]:
        """A worker."""
        return (Need.of(self, GPU="num_gpus", memory="memory_gb"),)
