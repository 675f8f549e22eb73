"""The config of the report stage."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from biomedica_ray.config import NAME, StageConfig


class ReportConfig(StageConfig):
    """Write one self-contained HTML file of what was extracted, dropped, labelled and learned."""

    example: ClassVar[str] = "--store mine"

    output: str | None = Field(None, description="where to write; none: <store>/report.html")
    name: str = Field("clip", pattern=NAME, description="which training run to show")
    title: str = Field("biomedica_ray", description="title of the page")
