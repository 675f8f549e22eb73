"""All stages by name: their configs, where their work is, and the pipeline of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from pydantic import Field, field_validator

from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.check.config import CheckConfig
from biomedica_ray.config import OF_A_RUN, STAGES, ConfigError, StageConfig, command_line, validate
from biomedica_ray.config.needs import Need
from biomedica_ray.dedupe.config import DedupeConfig
from biomedica_ray.enrich.config import EnrichConfig
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.extract.config import ExtractConfig
from biomedica_ray.labelling.config import ClassifyConfig, LabelConfig, ProposeConfig, SheetsConfig, VotesConfig
from biomedica_ray.merge.config import MergeConfig
from biomedica_ray.panels.config import PanelsConfig
from biomedica_ray.report.config import ReportConfig
from biomedica_ray.select.config import SelectConfig
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train_panels.config import TrainPanelsConfig


class PipelineConfig(StageConfig):
    """All stages, one after the other; each section takes the keys of its stage."""

    example: ClassVar[str] = "--config jobs/demo.yaml --store mine --extract.source sample"

    extract: dict[str, Any] = Field(default_factory=dict, description="keys of extract")
    enrich: dict[str, Any] | None = Field(
        None, description="keys of enrich; none: the stage is left out, as it needs NCBI's servers"
    )
    panels: dict[str, Any] = Field(default_factory=dict, description="keys of panels, which dedupe compares too")
    dedupe: dict[str, Any] = Field(default_factory=dict, description="keys of dedupe")
    annotate: dict[str, Any] = Field(default_factory=dict, description="keys of annotate")
    label: dict[str, Any] = Field(default_factory=dict, description="keys of label")
    classify: dict[str, Any] | None = Field(None, description="keys of classify; none: the stage is left out")
    propose: dict[str, Any] | None = Field(None, description="keys of propose; none: the stage is left out")
    select: dict[str, Any] | None = Field(None, description="keys of select; none: the stage is left out")
    serialize: dict[str, Any] = Field(default_factory=dict, description="keys of serialize")
    train: dict[str, Any] = Field(default_factory=dict, description="keys of train")
    evaluate: dict[str, Any] = Field(default_factory=dict, description="keys of evaluate")
    report: dict[str, Any] = Field(default_factory=dict, description="keys of report")

    @field_validator(
        "extract", "dedupe", "panels", "annotate", "label", "serialize", "train", "evaluate", "report", mode="before"
    )
    @classmethod
    def _may_be_empty(cls, section: Any) -> Any:
        return {} if section is None else section

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages to run, in order."""
        return tuple(stage for stage in STAGES if getattr(self, stage) is not None)

    def stage(self, stage: str) -> StageConfig:
        """The config of one stage; raises ConfigError, so that a pipeline fails before its first stage starts."""
        shared = {key: getattr(self, key) for key in OF_A_RUN}
        return validate(CONFIGS[stage], {**shared, **getattr(self, stage)}, prefix=f"{stage}.")

    def check(self) -> None:
        """Raise ConfigError where a section is wrong, or a stage would learn from another dataset than is written."""
        configs = {stage: self.stage(stage) for stage in self.stages}
        written = configs["serialize"]
        assert isinstance(written, SerializeConfig)
        if not written.made.name:
            return
        for stage, config in configs.items():
            if isinstance(config, TrainConfig | EvaluateConfig) and not config.data:
                raise ConfigError(
                    f"{stage}.data: missing; {stage} would not take the dataset {written.made.name} that serialize "
                    f"writes here; give --{stage}.data {self.store.rstrip('/')}/{written.place.folder('dataset')}"
                )

    def needs(self) -> tuple[Need, ...]:
        """Those of all its stages."""
        return tuple(need.in_section(stage) for stage in self.stages for need in self.stage(stage).needs())


CONFIGS: dict[str, type[StageConfig]] = {
    "extract": ExtractConfig,
    "enrich": EnrichConfig,
    "panels": PanelsConfig,
    "dedupe": DedupeConfig,
    "annotate": AnnotateConfig,
    "label": LabelConfig,
    "classify": ClassifyConfig,
    "propose": ProposeConfig,
    "sheets": SheetsConfig,
    "votes": VotesConfig,
    "select": SelectConfig,
    "serialize": SerializeConfig,
    "train": TrainConfig,
    "train-panels": TrainPanelsConfig,
    "evaluate": EvaluateConfig,
    "merge": MergeConfig,
    "report": ReportConfig,
    "check": CheckConfig,
    "pipeline": PipelineConfig,
}

_MODULES = {
    "extract": "biomedica_ray.extract.pipeline",
    "enrich": "biomedica_ray.enrich.pipeline",
    "panels": "biomedica_ray.panels.pipeline",
    "dedupe": "biomedica_ray.dedupe.pipeline",
    "annotate": "biomedica_ray.annotate.pipeline",
    "label": "biomedica_ray.labelling.label",
    "classify": "biomedica_ray.labelling.classify",
    "propose": "biomedica_ray.labelling.propose",
    "sheets": "biomedica_ray.labelling.sheets",
    "votes": "biomedica_ray.labelling.votes",
    "select": "biomedica_ray.select.pipeline",
    "serialize": "biomedica_ray.serialize.pipeline",
    "train": "biomedica_ray.train.loop",
    "train-panels": "biomedica_ray.train_panels.loop",
    "evaluate": "biomedica_ray.evaluate.pipeline",
    "merge": "biomedica_ray.merge.pipeline",
    "report": "biomedica_ray.report.pipeline",
    "check": "biomedica_ray.check.pipeline",
}
"""Where each stage's ``run(config, run)`` is; imported when it runs, so that no stage needs another one's libraries."""


def work_of(stage: str) -> Callable[..., None]:
    """The function ``run(config, run)`` of a stage."""
    work: Callable[..., None] = importlib.import_module(_MODULES[stage]).run
    return work


def load(stage: str, argv: Sequence[str]) -> StageConfig:
    """The config of ``stage`` from a YAML file and the command line, as :func:`command_line.load` reads them.

    Raises:
        ConfigError: Something is wrong with it, or with a section of a pipeline.
    """
    config = command_line.load(CONFIGS[stage], argv, _sections(stage))
    if isinstance(config, PipelineConfig):
        config.check()
    return config


def _sections(stage: str) -> dict[str, type[StageConfig]]:
    return {name: CONFIGS[name] for name in STAGES} if stage == "pipeline" else {}
