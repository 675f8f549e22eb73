"""The taxonomy: the words that labels are made of, and what may be said in them of a cluster."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from biomedica_ray import files
from biomedica_ray.files import GivenFile, given_file, parse_yaml
from biomedica_ray.store import Store

TAXONOMY = Path(__file__).parent / "taxonomy.yaml"
"""The paper's taxonomy."""

_Word = Annotated[str, StringConstraints(pattern=r"^\S(.*\S)?$")]
"""A name without space around it, which no reader would see."""


class Taxonomy(BaseModel):
    """The words that labels are made of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: _Word = Field(description="name that labels files and answers refer to; another one for other words")
    panels: dict[_Word, Annotated[list[_Word], Field(min_length=1)]] = Field(
        min_length=1, description="panel types, and the subtypes that go with each"
    )
    concepts: dict[_Word, list[_Word]] = Field(
        min_length=1, description="global concepts, and the local ones within each"
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for type_, subtypes in self.panels.items():
            if repeated := [subtype for subtype, count in Counter(subtypes).items() if count > 1]:
                raise ValueError(f"panels: {type_}: {repeated[0]} appears more than once")
        counts = Counter(local for locals_ in self.concepts.values() for local in locals_)
        if repeated := [local for local, count in counts.items() if count > 1]:
            raise ValueError(f"concepts: {repeated[0]} appears more than once")
        return self

    def parent(self, local: str) -> str | None:
        """The global concept of a local one; None for one that the taxonomy does not have."""
        return next((name for name, locals_ in self.concepts.items() if local in locals_), None)


class Said(BaseModel):
    """What is said of one cluster, in the words of a taxonomy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    panel_type: str | None = Field(None, description="none: nothing is said of it")
    panel_subtype: str | None = Field(None, description="none: nothing is said of it")
    primary: list[str] = Field([], description="global concepts")
    secondary: list[str] = Field([], description="local concepts")

    def fault(self, taxonomy: Taxonomy) -> str | None:
        """The first thing that the taxonomy does not allow, in words; None where all is well."""
        if self.panel_type is not None and self.panel_type not in taxonomy.panels:
            return f"panel_type {self.panel_type}: expected one of {', '.join(taxonomy.panels)}"
        types = [self.panel_type] if self.panel_type is not None else list(taxonomy.panels)
        subtypes = dict.fromkeys(subtype for type_ in types for subtype in taxonomy.panels[type_])
        if self.panel_subtype is not None and self.panel_subtype not in subtypes:
            expected = f"with {self.panel_type} expected" if self.panel_type else "expected"
            return f"panel_subtype {self.panel_subtype}: {expected} one of {', '.join(subtypes)}"
        for label in self.primary:
            if label not in taxonomy.concepts:
                return f"primary {label}: not a global concept of taxonomy {taxonomy.version}"
        for label in self.secondary:
            parent = taxonomy.parent(label)
            if parent is None:
                return f"secondary {label}: not a local concept of taxonomy {taxonomy.version}"
            if parent not in self.primary:
                return f"secondary {label}: belongs to {parent}, which is not among primary"
        return None


def load_taxonomy(store: Store, uri: str | None) -> Taxonomy:
    """The taxonomy that a config names, else the store's own, else the paper's.

    Raises:
        ConfigError: It cannot be read, or is not a taxonomy.
    """
    file = given_file(store, "taxonomy", uri, files.TAXONOMY)
    return parse_yaml(Taxonomy, file) if file else papers_taxonomy()


def papers_taxonomy() -> Taxonomy:
    """The paper's taxonomy, which comes with the package."""
    return parse_yaml(Taxonomy, GivenFile("taxonomy", str(TAXONOMY), TAXONOMY.read_bytes()))
