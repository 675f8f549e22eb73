"""The config of the evaluate stage."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from biomedica_ray.config import NAME, StageConfig
from biomedica_ray.config.needs import Need

ONE_DATASET = "selection: cannot be combined with data, which also names a dataset"


class EvaluateConfig(StageConfig):
    """Zero-shot classification and retrieval on the figures of the test split."""

    example: ClassVar[str] = "--store mine --name clip"

    data: str | None = Field(None, description="a dataset that serialize wrote; none: <store>/dataset")
    selection: str | None = Field(
        None,
        pattern=NAME,
        description="use the dataset that serialize wrote for this selection instead of <store>/dataset",
    )
    name: str = Field("clip", pattern=NAME, description="evaluate the model in <store>/checkpoints/<name>")
    batch_size: int = Field(64, ge=1, description="images per forward pass")
    samples: int = Field(
        10_000,
        ge=2,
        description="maximum number of held-out samples; of more, this many are drawn, in stretches of neighbours",
    )
    recall_at: list[int] = Field([1, 5, 10, 100], min_length=1, description="cutoffs k of retrieval recall@k")
    use_gpu: bool = Field(False, description="evaluate on a GPU")
    num_cpus: float = Field(1, gt=0, description="CPUs for decoding and, without a GPU, for the model")
    bootstrap: int = Field(1000, ge=0, description="bootstrap resamples for the confidence intervals")
    seed: int = Field(0, description="seed of the drawn samples and of the bootstrap")

    @property
    def part(self) -> str:
        """The model's scores."""
        return self.name

    def needs(self) -> tuple[Need, ...]:
        """The task that scores the model."""
        return (Need.of(self, CPU="num_cpus", GPU="use_gpu"),)

    @model_validator(mode="after")
    def _one_dataset(self) -> Self:
        if self.data and self.selection:
            raise ValueError(ONE_DATASET)
        return self
