"""The config of the merge stage."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from biomedica_ray.config import NAME, Name
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.train.config import MixedData


class MergeConfig(EvaluateConfig):
    """Average trained models, and interpolate them with the one that training began with (WiSE-FT)."""

    example: ClassVar[str] = "--store mine --name clip-wise --of [clip] --use_gpu true"

    name: str = Field("clip-merged", pattern=NAME, description="the result goes to <store>/checkpoints/<name>")
    of: list[Name] = Field(["clip"], min_length=1, description="training runs whose models are averaged")
    data: str | list[str] | list[MixedData] | None = Field(  # type: ignore[assignment]
        None, description="what the runs were trained on, as train's data; none: <store>/dataset"
    )
    validation_fraction: float = Field(
        0, ge=0, lt=1, description="of data without a dataset.json, the share that train held out: its own key's value"
    )
    base: str | None = Field(
        None,
        description="model to interpolate with, given as train's pretrained; none: the model that the runs began with",
    )
    alphas: list[float] = Field(
        [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1],
        min_length=1,
        description="shares of the trained model to try, from 0 (only the base) to 1 (no interpolation)",
    )
    metric: str = Field(
        "zero_shot_primary_label.balanced_accuracy",
        description="TASK.SCORE of evaluate that decides which share is best, as in retrieval.image_to_text.recall@1",
    )

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if not all(0 <= alpha <= 1 for alpha in self.alphas):
            raise ValueError("alphas: expected numbers from 0 to 1")
        if self.name in self.of:
            raise ValueError(f"name: {self.name} is one of the runs in of; choose another name")
        return self

    @property
    def sets(self) -> list[tuple[str | list[str], float]]:
        """Where the data are, and their weights; none where it is the store's dataset."""
        if isinstance(self.data, list):
            mixed = [(each.uri, each.weight) for each in self.data if isinstance(each, MixedData)]
            return mixed or [([each for each in self.data if isinstance(each, str)], 1)]
        return [(self.data, 1)] if self.data else []

    @property
    def part(self) -> str:
        """The merged model."""
        return self.name
