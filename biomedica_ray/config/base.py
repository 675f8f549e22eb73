"""What the configs of all stages have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ConfigError(Exception):
    """A config that cannot be used; the message is one line that names the key and what was expected."""


class StageConfig(BaseModel):
    """What every stage needs to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str = Field(description="root of the dataset: a local path or s3://bucket/prefix")
    endpoint_url: str | None = Field(None, description="S3 server of the store, when it is not AWS")
    ray_address: str = Field(
        "local",
        description="Ray cluster to join: local (start one here), auto, or host:port; RAY_ADDRESS goes before it",
    )
    max_actors: int | None = Field(
        None, ge=1, description="most workers at a time; none: as many as the cluster grows to"
    )


NAME = r"^[\w-][\w.-]*$"
"""Names that become a part of a path."""
