"""What the configs of all stages have in common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, field_validator, model_validator

from biomedica_ray.config.needs import Need
from biomedica_ray.config.wording import A_PLACE, NAME, as_typed, explain, kind_of

__all__ = ["NAME", "OF_A_RUN", "STAGES", "ConfigError", "Name", "StageConfig", "validate"]

PLACEHOLDER = "YOUR_BUCKET"
"""Stands in the shipped configs for a bucket: S3 allows no such name, so that it is nobody's."""


OF_A_RUN = frozenset({"store", "endpoint_url", "ray_address", "max_actors", "again", "wait", "log_format"})
"""The keys of all stages: none of them changes what a stage makes."""


class ConfigError(Exception):
    """A config that cannot be used; the message is one line that names the key and what was expected."""


class StageConfig(BaseModel):
    """What every stage needs to know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    headings: ClassVar[Mapping[str, str]] = {}
    """First key of a group -> its heading in the help."""
    example: ClassVar[str] = ""
    """Arguments of a command that shows what the stage is for."""

    store: str = Field(description=f"root of the dataset: {A_PLACE}")
    endpoint_url: str | None = Field(
        None, pattern=r"^(https?://)?[^/\s]+/?$", description="server of the store, if it is not AWS, Google or Azure"
    )
    ray_address: str = Field(
        "local",
        pattern=r"^(local|auto|[^/\s]+:\d{1,5})$",
        description="Ray cluster to join: local (start one here), auto, or host:port; RAY_ADDRESS takes precedence",
    )
    max_actors: int | None = Field(
        None, ge=1, description="maximum number of workers at a time; none: as many as the cluster can hold"
    )

    again: bool = Field(False, description="do everything again, also what is done already")
    wait: bool = Field(False, description="wait while another run of this stage writes to the same store")
    log_format: Literal["text", "json"] = Field(
        "text", description="log lines for people, or as JSON with run, stage, unit and node"
    )

    @model_validator(mode="before")
    @classmethod
    def _none_is_null(cls, given: Any) -> Any:
        """As on the command line, where YAML leaves it a text."""
        if not isinstance(given, Mapping):
            return given
        may_be_null = {key for key, field in cls.model_fields.items() if type(None) in get_args(field.annotation)}
        return {key: None if value == "none" and key in may_be_null else value for key, value in given.items()}

    @field_validator("store")
    @classmethod
    def _is_a_place(cls, store: str) -> str:
        if re.match(r"(?:s3|gs|az):(?!//[^/]+)", store) or re.match(r"(?!s3:|gs:|az:|file:)[a-z0-9+]+://", store):
            raise ValueError(f"expected {A_PLACE}, got {store}")
        return store

    @property
    def part(self) -> str:
        """What the stage writes, where it may write different things at the same time; empty where it may not."""
        return ""

    def needs(self) -> tuple[Need, ...]:
        """What the stage asks of the cluster in keys that users set; it cannot go on where that is not met."""
        return ()


Name = Annotated[str, StringConstraints(pattern=NAME)]
"""A name as a type, for lists of names."""


def validate(model: type[StageConfig], values: dict[str, Any], prefix: str = "") -> StageConfig:
    """A config from plain values.

    Raises:
        ConfigError: A key is unknown or missing, or a value is not what is expected; one line, naming the first one.
    """
    for key, value in values.items():
        if isinstance(value, str) and not value.strip():
            raise ConfigError(f"{prefix}{key}: expected a value, got {as_typed(value)}")
        if isinstance(value, str) and PLACEHOLDER in value:
            raise ConfigError(f"{prefix}{key}: {PLACEHOLDER} stands for a bucket of yours; put its name in {value}")
        field = model.model_fields.get(str(key))
        if isinstance(value, bool) and field is not None and field.annotation is not bool:
            raise ConfigError(f"{prefix}{key}: expected {kind_of(field.annotation)}, got {as_typed(value)}")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        errors = error.errors()
        # Of the alternatives of a key, the one that fits farthest is what was meant.
        own = [each for each in errors if each["loc"][:1] == errors[0]["loc"][:1]]
        raise ConfigError(explain(model, max(own, key=lambda each: len(each["loc"])), prefix)) from None


STAGES = (
    "extract",
    "enrich",
    "panels",
    "dedupe",
    "annotate",
    "label",
    "classify",
    "propose",
    "select",
    "serialize",
    "train",
    "evaluate",
    "report",
)
"""Those of a pipeline, in its order; people work between sheets and votes, which are run by themselves."""
