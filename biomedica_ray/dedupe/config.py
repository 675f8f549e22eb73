"""The config of the dedupe stage."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from biomedica_ray.config import StageConfig
from biomedica_ray.config.needs import GIB, Ask, Need
from biomedica_ray.config.wording import BUCKETS

SEARCH_GB = 2.0
"""Memory of a task of the search in other sets, which looks at pictures, or a unit's figures, one image at a time."""
NEAR_BITS = 4
"""Bits in which the perceptual hashes of near duplicates differ at most, unless it is said otherwise."""
NEAR_CORRELATION = 0.95
"""And the least correlation of their thumbnails."""


class DedupeConfig(StageConfig):
    """Find articles and figures that repeat others."""

    example: ClassVar[str] = "--store mine --max_distance 4"

    max_distance: int = Field(
        NEAR_BITS, ge=0, le=8, description="near duplicates: largest Hamming distance of the 64-bit perceptual hashes"
    )
    min_correlation: float = Field(
        NEAR_CORRELATION,
        gt=0,
        le=1,
        description="near duplicates: smallest correlation of their 32x32 grey thumbnails",
    )
    boilerplate_articles: int = Field(
        10,
        ge=1,
        description="a picture that more unrelated articles than this have is boilerplate: a logo, an icon, a spacer",
    )
    against: list[str] = Field(
        [],
        description="also look for the figures in these sets of pictures, cropped, turned or in part as well: images, "
        f"tars, Parquet files, folders of them, or stores; local, or {BUCKETS} on the store's server",
    )
    semantic_model: str | None = Field(
        None,
        description="also find figures that show the same by this model's embeddings, which annotate must have made "
        "before; none: do not",
    )
    min_cosine: float | None = Field(
        None, gt=0, le=1, description="for semantic_model: smallest cosine of two embeddings; every model needs its own"
    )
    shuffle_from: int = Field(
        50_000_000,
        ge=0,
        description="from this many figures, or figures and panels, on, they are compared by a shuffle across the "
        "cluster, with the same result",
    )
    num_cpus: int = Field(1, ge=1, description="CPUs of the comparison: the threads of its search")
    memory_gb: float = Field(4, gt=0, description="memory that the comparison reserves")

    def needs(self) -> tuple[Need, ...]:
        """The comparison, and the tasks of the search in other sets."""
        search = Need((Ask("against", "memory", SEARCH_GB * GIB),))
        return (Need.of(self, CPU="num_cpus", memory="memory_gb"), *([search] if self.against else []))

    @field_validator("against", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.semantic_model and self.min_cosine is None:
            raise ValueError(
                "min_cosine: missing; semantic_model needs the smallest cosine of two embeddings, as in 0.95"
            )
        if self.min_cosine is not None and not self.semantic_model:
            raise ValueError("semantic_model: missing; min_cosine needs the model whose embeddings it is for")
        return self
