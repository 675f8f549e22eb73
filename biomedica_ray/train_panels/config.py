"""The config of the stage that trains the detector of panels."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, field_validator

from biomedica_ray.config import NAME, StageConfig
from biomedica_ray.config.needs import Need


class TrainPanelsConfig(StageConfig):
    """Train the networks that find panels and read their letters, for the panels stage."""

    example: ClassVar[str] = "--store mine --steps 2000"

    name: str = Field("panels", pattern=NAME, description="weights go to <store>/panel_models/<name>.safetensors")
    begin: str | None = Field(
        "shipped", description="what training begins with: shipped (the package's weights), none, or a file of weights"
    )
    license_groups: list[Literal["commercial", "noncommercial", "other"]] = Field(
        ["commercial"], description="licence groups of the figures that are used"
    )
    pictures: int = Field(
        1000,
        ge=0,
        description="most figures of one panel of the store that are used, as the panels stage found them; none of the "
        "store's with 0: drawn pictures alone",
    )
    steps: int = Field(2000, ge=1, description="steps of learning")
    batch_size: int = Field(12, ge=3, description="figures that the detector learns from in a step and worker")
    patches: int = Field(128, ge=1, description="patches of ink that the reader learns from in a step and worker")
    lr: float = Field(2e-3, gt=0, description="the highest learning rate; it falls to 0 along a cosine")
    seed: int = Field(0, ge=0, description="draws the figures")
    checkpoint_steps: int = Field(200, ge=1, description="steps between checkpoints, from which a run is resumed")
    num_workers: int = Field(1, ge=1, description="Ray Train workers")
    use_gpu: bool = Field(False, description="whether each worker has a GPU")
    cpus_per_worker: float = Field(1, gt=0, description="CPUs of a worker")
    memory_gb: float = Field(3, gt=0, description="memory that a worker reserves")

    @field_validator("batch_size")
    @classmethod
    def _in_threes(cls, size: int) -> int:
        if size % 3:
            raise ValueError(f"expected a multiple of 3, as each figure is learned from in three positions, got {size}")
        return size

    def needs(self) -> tuple[Need, ...]:
        """The workers."""
        return (Need.of(self, workers="num_workers", CPU="cpus_per_worker", GPU="use_gpu", memory="memory_gb"),)
