"""The labels file: what annotators said of each cluster, and so what its figures show; and of some images alone."""

from __future__ import annotations

from collections import Counter
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from biomedica_ray import files
from biomedica_ray.files import GivenFile, given_file, parse_yaml
from biomedica_ray.labelling.taxonomy import Said, Taxonomy
from biomedica_ray.store import Store


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


class ImageEntry(Said):
    """What annotators said of one figure by itself."""

    figure: str = Field(min_length=1, description="its figure_id")
    primary: list[str] = Field(min_length=1, description="global concepts")
    random: bool = Field(False, description="drawn at random from all images; otherwise chosen as an unsure one")


class LabelsFile(BaseModel):
    """All labels, with the taxonomy that their words come from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    taxonomy: str = Field(description="version of the taxonomy")
    clustering: str | None = Field(None, description="fingerprint of the clustering that the ids of clusters belong to")
    clusters: list[Entry] = Field([], description="what was said of clusters, for label and for classify")
    images: list[ImageEntry] = Field([], description="what was said of single figures, for classify")

    @model_validator(mode="after")
    def _ids_belong(self) -> Self:
        ids = [entry.cluster for entry in self.clusters if entry.cluster is not None]
        if ids and self.clustering is None:
            raise ValueError("clustering: missing; ids of clusters mean nothing without it, exemplars do")
        if repeated := [cluster for cluster, count in Counter(ids).items() if count > 1]:
            raise ValueError(f"clusters: cluster {repeated[0]} appears more than once")
        figures = Counter(entry.figure for entry in self.images)
        if repeated_figures := [figure for figure, count in figures.items() if count > 1]:
            raise ValueError(f"images: {repeated_figures[0]} appears more than once")
        return self

    @property
    def exemplars(self) -> set[str]:
        """The figures that entries name their clusters by."""
        return {figure for entry in self.clusters for figure in entry.exemplars}


def load_labels(store: Store, uri: str | None, taxonomy: Taxonomy) -> LabelsFile | None:
    """The labels file that a config names, else the store's own; None where there is none.

    Raises:
        ConfigError: As in :func:`parse_labels`, or it cannot be read.
    """
    file = given_file(store, "labels", uri, files.LABELS)
    return parse_labels(file, taxonomy) if file else None


def parse_labels(file: GivenFile, taxonomy: Taxonomy) -> LabelsFile:
    """A labels file, checked against the taxonomy.

    Raises:
        ConfigError: It is not a labels file, or a label is not in the taxonomy, or the parent of a local concept is not
            among the entry's global ones; names file, entry (from 1) and label.
    """
    labels = parse_yaml(LabelsFile, file)
    if labels.taxonomy != taxonomy.version:
        raise file.fault(f"made with taxonomy {labels.taxonomy}, this one is {taxonomy.version}")
    for number, entry in enumerate(labels.clusters, 1):
        if fault := entry.fault(taxonomy):
            raise file.fault(f"entry {number}: {fault}")
    for image in labels.images:
        if fault := image.fault(taxonomy):
            raise file.fault(f"images: {image.figure}: {fault}")
    return labels
