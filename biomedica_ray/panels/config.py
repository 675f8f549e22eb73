"""The config of the panels stage."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from biomedica_ray.config import StageConfig
from biomedica_ray.config.needs import Need


class PanelsConfig(StageConfig):
    """Find the panels of compound figures, from the gutters between them."""

    example: ClassVar[str] = "--store mine"

    memory_gb: float = Field(1, gt=0, description="memory that one worker reserves")

    def needs(self) -> tuple[Need, ...]:
        """A worker."""
        return (Need.of(self, memory="memory_gb"),)
