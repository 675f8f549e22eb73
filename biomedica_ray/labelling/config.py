"""Configs of the stages that label clusters: sheets and votes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from biomedica_ray.config import StageConfig
from biomedica_ray.config.needs import Need


class SheetsConfig(StageConfig):
    """Write label sheets: pages on which annotators see figures of each cluster and say what they show."""

    form: Literal["html", "label-studio"] = Field(
        "html",
        description="html: pages that work offline in a browser and give the answers as a file; label-studio: tasks "
        "and labelling config to import there",
    )
    round: int = Field(1, ge=1, description="1: all clusters; from 2 on: those that votes says are disputed")
    clusters_per_sheet: int = Field(50, ge=1, description="clusters in one file")
    members: int = Field(
        8, ge=1, description="figures of a cluster: so many nearest to its centre, farthest out, and drawn at random"
    )
    picture_side: int = Field(240, ge=32, le=1024, description="longest side of a picture in pixels")
    seed: int = Field(0, description="seed of the random figures")
    taxonomy: str | None = Field(None, description="taxonomy YAML; none: the paper's, which comes with the package")
    memory_gb: float = Field(2, gt=0, description="memory that one worker reserves")

    def needs(self) -> tuple[Need, ...]:
        """A worker."""
        return (Need.of(self, memory="memory_gb"),)


class VotesConfig(StageConfig):
    """Count annotators' answers: a labels file for annotate, their agreement, and what to ask again."""

    answers: str = Field(
        description="folder of files that sheets gave back (downloaded answers, JSON exports of Label Studio), or one "
        "of them"
    )
    output: str = Field(pattern="[^/]$", description="labels YAML to write, for annotate --labels")
    taxonomy: str | None = Field(None, description="taxonomy YAML; none: the paper's, which comes with the package")
    min_votes: int = Field(2, ge=1, description="annotators that must have answered a field before it is decided")
    min_agreement: float = Field(
        0.5, ge=0.5, lt=1, description="a field is decided when more than this share of its votes agree, else disputed"
    )
