"""The config of the dedupe stage."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from biomedica_ray.config import StageConfig
from biomedica_ray.config.needs import Need


class DedupeConfig(StageConfig):
    """Find articles and figures that repeat others."""

    example: ClassVar[str] = "--store mine --max_distance 4"

    max_distance: int = Field(
        4, ge=0, le=8, description="near duplicates: greatest Hamming distance of the 64-bit perceptual hashes"
    )
    min_correlation: float = Field(
        0.95, gt=0, le=1, description="near duplicates: least correlation of their 32x32 grey thumbnails"
    )
    boilerplate_articles: int = Field(
        10, ge=1, description="a picture in more unrelated articles than this is boilerplate: a logo, an icon, a spacer"
    )
    against: list[str] = Field(
        [],
        description="other sets of pictures in which figures are looked for: folders of images, tars or Parquet files, "
        "single ones, or stores; local or s3:// on the store's server",
    )
    semantic_model: str | None = Field(
        None,
        description="also find figures that mean the same by this model's embeddings, which annotate has made before; "
        "none: do not",
    )
    min_cosine: float | None = Field(
        None, gt=0, le=1, description="for semantic_model: least cosine of two embeddings; each model needs its own"
    )
    shuffle_from: int = Field(
        50_000_000,
        ge=0,
        description="so many figures and more are compared by a shuffle across the cluster, with the same result",
    )
    num_cpus: int = Field(1, ge=1, description="CPUs of the comparison, whose search has so many threads")
    memory_gb: float = Field(4, gt=0, description="memory that the comparison reserves")

    def needs(self) -> tuple[Need, ...]:
        """The comparison."""
        return (Need.of(self, CPU="num_cpus", memory="memory_gb"),)

    @field_validator("against", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.semantic_model and self.min_cosine is None:
            raise ValueError("min_cosine: missing; expected the least cosine of two embeddings of semantic_model")
        if self.min_cosine is not None and not self.semantic_model:
            raise ValueError("semantic_model: missing; expected the model whose embeddings min_cosine is about")
        return self
