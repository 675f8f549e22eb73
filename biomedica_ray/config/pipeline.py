"""All stages by name, and the config of the pipeline that runs them."""

from __future__ import annotations

from typing import Any

from pydantic import Field, ValidationError

from biomedica_ray.config.base import ConfigError, StageConfig
from biomedica_ray.config.data import DedupeConfig, EnrichConfig, ExtractConfig, SelectConfig, SerializeConfig
from biomedica_ray.config.labelling import AnnotateConfig, SheetsConfig, VotesConfig
from biomedica_ray.config.training import EvaluateConfig, MergeConfig, ReportConfig, TrainConfig

_SHARED = ("store", "endpoint_url", "ray_address", "max_actors")


class PipelineConfig(StageConfig):
    """All stages, one after the other; each section takes the keys of its stage."""

    extract: dict[str, Any] = Field(default_factory=dict, description="keys of extract")
    enrich: dict[str, Any] | None = Field(
        None, description="keys of enrich; none: the stage is left out, as it needs NCBI's servers"
    )
    dedupe: dict[str, Any] = Field(default_factory=dict, description="keys of dedupe")
    annotate: dict[str, Any] = Field(default_factory=dict, description="keys of annotate")
    select: dict[str, Any] | None = Field(None, description="keys of select; none: the stage is left out")
    serialize: dict[str, Any] = Field(default_factory=dict, description="keys of serialize")
    train: dict[str, Any] = Field(default_factory=dict, description="keys of train")
    evaluate: dict[str, Any] = Field(default_factory=dict, description="keys of evaluate")
    report: dict[str, Any] = Field(default_factory=dict, description="keys of report")

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages to run, in order."""
        return tuple(stage for stage in STAGES if getattr(self, stage) is not None)

    def stage(self, stage: str) -> StageConfig:
        """The config of one stage; raises ConfigError, so that a pipeline fails before its first stage starts."""
        shared = {key: getattr(self, key) for key in _SHARED}
        return validate(CONFIGS[stage], {**shared, **getattr(self, stage)}, prefix=f"{stage}.")


CONFIGS: dict[str, type[StageConfig]] = {
    "extract": ExtractConfig,
    "enrich": EnrichConfig,
    "dedupe": DedupeConfig,
    "annotate": AnnotateConfig,
    "sheets": SheetsConfig,
    "votes": VotesConfig,
    "select": SelectConfig,
    "serialize": SerializeConfig,
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "merge": MergeConfig,
    "report": ReportConfig,
    "pipeline": PipelineConfig,
}
STAGES = tuple(stage for stage in CONFIGS if stage in PipelineConfig.model_fields)
"""Those of a pipeline, in its order; people work between sheets and votes, which are run by themselves."""


def validate(model: type[StageConfig], values: dict[str, Any], prefix: str = "") -> StageConfig:
    """A config from plain values.

    Raises:
        ConfigError: A key is unknown or missing, or a value is not what is expected; one line, naming the first one.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = prefix + ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{key}: unknown key; expected one of {', '.join(model.model_fields)}") from None
        if first["type"] == "missing":
            description = model.model_fields[str(first["loc"][0])].description
            raise ConfigError(f"{key}: missing; expected {description}") from None
        if not first["loc"]:
            raise ConfigError(prefix + first["msg"].removeprefix("Value error, ")) from None
        raise ConfigError(f"{key}: {first['msg']}, got {first['input']!r}") from None
