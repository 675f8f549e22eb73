"""What the configs of all stages have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from biomedica_ray.config.needs import Need


class ConfigError(Exception):
    """A config that cannot be used; the message is one line that names the key and what was expected."""


class StageConfig(BaseModel):
    """What every stage needs to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str = Field(description="root of the dataset: a local path or s3://bucket/prefix")
    endpoint_url: str | None = Field(None, description="S3 server of the store, when it is not AWS")
    ray_address: str = Field(
        "local",
        description="Ray cluster to join: local (start one here), auto, or host:port; RAY_ADDRESS takes precedence",
    )
    max_actors: int | None = Field(
        None, ge=1, description="most workers at a time; none: as many as the cluster grows to"
    )

    def needs(self) -> tuple[Need, ...]:
        """What the stage asks of the cluster in keys that users set; it cannot go on where that is not met."""
        return ()


NAME = r"^[\w-][\w.-]*$"
"""Names that become a part of a path."""


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


STAGES = (
    "extract",
    "enrich",
    "dedupe",
    "panels",
    "annotate",
    "label",
    "propose",
    "select",
    "serialize",
    "train",
    "evaluate",
    "report",
)
"""Those of a pipeline, in its order; people work between sheets and votes, which are run by themselves."""
