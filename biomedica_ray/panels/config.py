"""The config of the panels stage."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from biomedica_ray.config import StageConfig
from biomedica_ray.config.needs import Need


class PanelsConfig(StageConfig):
    """Find the panels of compound figures, by their printed letters, the gutters between them, and a detector."""

    example: ClassVar[str] = "--store mine"

    detector: str | None = Field(
        "shipped",
        min_length=1,
        description="what looks for panels beside the gutters: shipped (the package's networks, which also read "
        "letters; needs torch), none (gutters alone), a file of weights that train-panels wrote, or an "
        "object-detection model of transformers: a folder, or hf-hub:OWNER/NAME[@REVISION]",
    )
    panel_classes: list[str] | None = Field(
        None, description="classes of an object-detection model that are panels; none: all of its classes"
    )
    num_gpus: float = Field(0, ge=0, description="GPUs of one worker; the package's networks need none")
    memory_gb: float = Field(2, gt=0, description="memory that one worker reserves")

    def needs(self) -> tuple[Need, ...]:
        """A worker."""
        return (Need.of(self, GPU="num_gpus", memory="memory_gb"),)
