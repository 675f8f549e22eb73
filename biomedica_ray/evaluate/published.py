"""Scores that others published, each with its source, to stand beside ours."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

PUBLISHED = Path(__file__).with_name("published.yaml")


class Source(BaseModel):
    """Scores that were published together."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(description="where they were published, and what they are")
    version: str = Field(description="which version of it, and how it was read")
    url: str = Field(description="its address")
    metric: str = Field(description="the score")
    remarks: str = Field("", description="how far they can be compared")
    scores: dict[str, dict[str, float]] = Field({}, description="model -> task -> score")
    suite: str | None = Field(None, description="the suite that means stand beside")
    means: dict[str, float] = Field({}, description="model -> mean")


@cache
def sources() -> tuple[Source, ...]:
    """All that the package has."""
    return tuple(Source.model_validate(each) for each in yaml.safe_load(PUBLISHED.read_text()))


def beside(suite: str | None, tasks: Collection[str]) -> list[dict[str, Any]]:
    """What was published of some tasks and of a suite, as plain data; sources that have nothing are left out."""
    found = []
    for each in sources():
        scores = {
            model: {task: score for task, score in of_model.items() if task in tasks}
            for model, of_model in each.scores.items()
        }
        kept = each.model_copy(
            update={
                "scores": {model: of_model for model, of_model in scores.items() if of_model},
                "means": each.means if suite and suite == each.suite else {},
            }
        )
        if kept.scores or kept.means:
            found.append(kept.model_dump())
    return found
