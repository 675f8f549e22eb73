"""The config of the evaluate stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from biomedica_ray.config import NAME, StageConfig
from biomedica_ray.config.needs import GIB, Ask, Need
from biomedica_ray.dedupe.config import SEARCH_GB
from biomedica_ray.evaluate.task_scores import MISTAKES

ONE_DATASET = "selection: cannot be combined with data, which also names a dataset"


def by_commas(value: Any) -> Any:
    """The parts of a text, as a command line has a list; anything else as it is."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class EvaluateConfig(StageConfig):
    """Zero-shot classification and retrieval on the figures of the test split, or on published sets of others."""

    headings: ClassVar[Mapping[str, str]] = {"suite": "published sets, with suite or tasks"}
    example: ClassVar[str] = "--store mine --name clip"

    data: str | None = Field(
        None,
        description="a dataset that serialize wrote; none: <store>/dataset; with suite or tasks, the folder of sets",
    )
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

    suite: str | None = Field(None, description="tasks on published sets, by the name of their list, as biomedica-40")
    tasks: list[str] = Field([], description="further tasks (`biomedica tasks` lists them), or files of one's own")
    models: list[str] = Field(
        [],
        description="models: names in <store>/checkpoints, open_clip's NAME@TAG, folders, hf-hub:OWNER/NAME, or those "
        "of transformers as hf:OWNER/NAME; none: name",
    )
    prompts: str = Field(
        "paper", description="paper (the authors' own where known), ensemble, or a YAML file task: class: [sentences]"
    )
    probe: bool = Field(False, description="fit a linear classifier as well, on sets that have a train split")
    shots: list[int] = Field([], description="and such ones on so many images of each class, as [1, 4, 16]")
    mistakes: int = Field(
        6,
        ge=0,
        le=MISTAKES,
        description="wrong answers of each model on each task to show as pictures in results.html; 0: none, where a "
        "set's licence permits no copies",
    )
    published: bool = Field(False, description="published scores of other models beside ours, each with its source")
    decontaminate: str | None = Field(
        None,
        description="look for the test images among the figures of this store, on which models were trained, and give "
        "scores without those that are there as well",
    )
    into: str | None = Field(
        None, pattern=NAME, description="results go to <store>/evaluations/<into>; none: the suite's name, or tasks"
    )
    compare: str | None = Field(None, description="a results.json of before; a score that fell is an error")
    tolerance: float = Field(0.005, ge=0, description="how much a score may have fallen")
    dry_run: bool = Field(
        False,
        description="encode one image and a text only: say how many there are, what memory and time that takes; fails "
        "where the run would",
    )
    images_per_s: float | None = Field(
        None,
        gt=0,
        description="images/s of one worker, from which a dry run reckons the time; none: what the last run in this "
        "store had",
    )
    dollars_per_hour: float | None = Field(
        None, gt=0, description="price of one worker, from which a dry run reckons the cost"
    )
    memory_gb: float = Field(3, gt=0, description="memory that a worker with a model reserves")

    @property
    def on_published_sets(self) -> bool:
        """Whether published sets are evaluated, and not the dataset's own test split."""
        return bool(self.suite or self.tasks)

    @property
    def title(self) -> str:
        """Name of the results' folder."""
        return self.into or self.suite or "tasks"

    @property
    def part(self) -> str:
        """The model's scores, or those on published sets."""
        return f"suite-{self.title}" if self.on_published_sets else self.name

    def needs(self) -> tuple[Need, ...]:
        """The task that scores the model, or one that encodes a published set; a dry run needs no GPU."""
        if self.dry_run:
            return (Need.of(self, CPU="num_cpus"),)
        memory = {"memory": "memory_gb"} if self.on_published_sets else {}
        search = Need((Ask("decontaminate", "memory", SEARCH_GB * GIB),))
        need = Need.of(self, CPU="num_cpus", GPU="use_gpu", **memory)
        return (need, *([search] if self.decontaminate else []))

    @model_validator(mode="after")
    def _one_dataset(self) -> Self:
        if self.data and self.selection:
            raise ValueError(ONE_DATASET)
        return self

    @field_validator("tasks", "models", "shots", mode="before")
    @classmethod
    def _by_commas(cls, value: Any) -> Any:
        return by_commas(value)

    @model_validator(mode="after")
    def _published_sets(self) -> Self:
        if any(number < 1 for number in self.shots):
            raise ValueError("shots: expected numbers of at least 1")
        if self.on_published_sets and not self.data:
            raise ValueError("data: with suite or tasks, expected the folder of the sets")
        if not self.on_published_sets:
            for key in ("models", "probe", "shots", "published", "decontaminate", "into", "compare"):
                if getattr(self, key):
                    raise ValueError(f"{key}: goes with suite or tasks")
        return self
