"""What annotators said of clusters: the taxonomy, the labels file, and how labels reach figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from biomedica_ray.config import ConfigError

TAXONOMY = Path(__file__).parent / "taxonomy.yaml"
"""The paper's taxonomy."""

VOTES = "votes.json"
"""Where a store keeps every vote, the verdicts and the agreement, relative to its root."""

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
                raise ValueError(f"panels: {type_}: {repeated[0]} stands more than once")
        counts = Counter(local for locals_ in self.concepts.values() for local in locals_)
        if repeated := [local for local, count in counts.items() if count > 1]:
            raise ValueError(f"concepts: {repeated[0]} stands more than once")
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


class Entry(Said):
    """What annotators said of one cluster, which they name by its id or by figures that they saw of it."""

    cluster: int | None = Field(None, ge=0, description="the cluster, in the clustering that the file names")
    exemplars: list[str] = Field([], description="figure_ids of its members that the annotators were shown")
    primary: list[str] = Field(min_length=1, description="global concepts")

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        if (self.cluster is None) != bool(self.exemplars):
            raise ValueError("expected either cluster or exemplars")
        return self


class LabelsFile(BaseModel):
    """All labels, with the taxonomy that their words come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    taxonomy: str = Field(description="version of the taxonomy")
    clustering: str | None = Field(None, description="fingerprint of the clustering that the ids of clusters belong to")
    clusters: list[Entry]

    @model_validator(mode="after")
    def _ids_belong(self) -> Self:
        ids = [entry.cluster for entry in self.clusters if entry.cluster is not None]
        if ids and self.clustering is None:
            raise ValueError("clustering: missing; ids of clusters mean nothing without it, exemplars do")
        if repeated := [cluster for cluster, count in Counter(ids).items() if count > 1]:
            raise ValueError(f"clusters: cluster {repeated[0]} stands more than once")
        return self

    @property
    def exemplars(self) -> set[str]:
        """The figures that entries name their clusters by."""
        return {figure for entry in self.clusters for figure in entry.exemplars}


@dataclass(frozen=True)
class ClusterLabel:
    """The labels of one cluster, and so of its figures."""

    panel_type: str | None = None
    panel_subtype: str | None = None
    primary: list[str] = field(default_factory=list)
    secondary: list[str] = field(default_factory=list)

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of the labels table."""
        return {
            "panel_type": self.panel_type,
            "panel_subtype": self.panel_subtype,
            "primary_label": self.primary,
            "secondary_label": self.secondary,
            "how": "propagated" if self.primary else "none",
        }


def load_taxonomy(path: str | Path | None) -> Taxonomy:
    """Read a taxonomy file; None for the paper's.

    Raises:
        ConfigError: It cannot be read, or is not a taxonomy.
    """
    return _load(Taxonomy, Path(path or TAXONOMY), "taxonomy")


def load_labels(path: str | Path, taxonomy: Taxonomy) -> LabelsFile:
    """Read a labels file and hold it against the taxonomy.

    Raises:
        ConfigError: It cannot be read, or a label is not in the taxonomy, or the parent of a local concept is not
            among the entry's global ones; names file, entry (from 1) and label.
    """
    labels = _load(LabelsFile, Path(path), "labels")
    if labels.taxonomy != taxonomy.version:
        raise ConfigError(f"labels: {path}: made with taxonomy {labels.taxonomy}, this one is {taxonomy.version}")
    for number, entry in enumerate(labels.clusters, 1):
        if fault := entry.fault(taxonomy):
            raise ConfigError(f"labels: {path}: entry {number}: {fault}")
    return labels


def resolve(labels: LabelsFile, clusters: Mapping[str, int]) -> dict[int, ClusterLabel]:
    """The labels of each cluster that has any.

    An entry with exemplars speaks of the cluster that holds most of them now (the lower id of equals), and so survives
    reclustering. Where several entries meet in a cluster, the one with most exemplars there is right, and equals are
    both right: their concepts are joined, and what they disagree on of the panels is left out. An entry that names the
    cluster by its id goes before all that name it by exemplars.

    Args:
        labels: The labels file.
        clusters: Cluster of each exemplar that exists.

    Raises:
        ValueError: None of an entry's exemplars exist.
    """
    votes: dict[int, list[tuple[float, Entry]]] = defaultdict(list)
    for number, entry in enumerate(labels.clusters, 1):
        if entry.cluster is not None:
            votes[entry.cluster].append((float("inf"), entry))
            continue
        held = Counter(clusters[figure] for figure in set(entry.exemplars) if figure in clusters)
        if not held:
            raise ValueError(f"entry {number}: none of its exemplars exist: {', '.join(entry.exemplars[:3])}")
        cluster = min(held, key=lambda cluster: (-held[cluster], cluster))
        votes[cluster].append((held[cluster], entry))
    return {cluster: _joined(_winners(votes[cluster])) for cluster in sorted(votes)}


def _winners(votes: Sequence[tuple[float, Entry]]) -> list[Entry]:
    most = max(weight for weight, _ in votes)
    return [entry for weight, entry in votes if weight == most]


def _joined(entries: Sequence[Entry]) -> ClusterLabel:
    return ClusterLabel(
        _agreed(entry.panel_type for entry in entries),
        _agreed(entry.panel_subtype for entry in entries),
        list(dict.fromkeys(label for entry in entries for label in entry.primary)),
        list(dict.fromkeys(label for entry in entries for label in entry.secondary)),
    )


def _agreed(values: Iterable[str | None]) -> str | None:
    """The one value of all that say anything."""
    different = {value for value in values if value is not None}
    return different.pop() if len(different) == 1 else None


def label_rows(
    figure_ids: Sequence[str],
    clusters: Sequence[int],
    distances: Sequence[float],
    confidences: Sequence[float],
    labels: Mapping[int, ClusterLabel],
    *,
    min_confidence: float,
) -> list[dict[str, Any]]:
    """Rows of the labels table: each figure has its cluster's labels; below ``min_confidence`` they are uncertain."""
    return [
        {
            "figure_id": figure_id,
            "cluster_id": cluster,
            "distance": distance,
            "confidence": confidence,
            "uncertain": confidence < min_confidence,
            **labels.get(cluster, ClusterLabel()).columns,
        }
        for figure_id, cluster, distance, confidence in zip(figure_ids, clusters, distances, confidences, strict=True)
    ]


_Document = TypeVar("_Document", bound=BaseModel)


def _load(model: type[_Document], path: Path, key: str) -> _Document:
    try:
        return model.model_validate(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{key}: {path}: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        location = ".".join(_place(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{key}: {path}: {location}{': ' if location else ''}{message}") from None


def _place(part: int | str) -> str:
    """Entries are counted from 1, as in other messages."""
    return f"entry {part + 1}" if isinstance(part, int) else part
