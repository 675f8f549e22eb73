"""What images of each concept are called: the prompts of zero-shot classification."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field

PROMPTS = Path(__file__).with_name("prompts.yaml")
"""Prompts for the paper's taxonomy."""


class Prompts(BaseModel):
    """Sentences that name concepts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    templates: list[str] = Field(min_length=1, description="sentences with {} where a name goes")
    concepts: dict[str, list[str]] = Field(min_length=1, description="names of each global concept")

    def sentences(self, concept: str) -> list[str]:
        """Every name of a concept in every template; one without names is called by its own in lower case."""
        names = self.concepts.get(concept, [concept.lower()])
        return [template.replace("{}", name) for template in self.templates for name in names]


@cache
def papers_prompts() -> Prompts:
    """The prompts for the paper's taxonomy, which come with the package."""
    return Prompts.model_validate(yaml.safe_load(PROMPTS.read_text()))
