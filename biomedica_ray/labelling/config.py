"""Configs of the stages that label clusters and images: label, classify, propose, sheets and votes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from biomedica_ray.config import StageConfig
from biomedica_ray.config.needs import Need
from biomedica_ray.config.wording import BUCKETS

_TAXONOMY = f"taxonomy YAML, local, {BUCKETS}; none: <store>/taxonomy.yaml if it exists, otherwise the paper's"


class LabelConfig(StageConfig):
    """Give every figure its cluster, and the labels that annotators gave the cluster."""

    example: ClassVar[str] = "--store mine --labels labels.yaml"

    model: str | None = Field(
        None, description="model whose clusters to use; none: the only model that the store has clusters of"
    )
    labels: str | None = Field(
        None,
        description=f"labels YAML, local, {BUCKETS}: what annotators said of each cluster; none: <store>/labels.yaml, "
        "which votes writes, if it exists, otherwise figures get clusters without labels",
    )
    taxonomy: str | None = Field(None, description=_TAXONOMY)
    min_confidence: float = Field(
        0.05, ge=0, le=1, description="figures with less confidence in their cluster's labels are marked uncertain"
    )


class ClassifyConfig(StageConfig):
    """Give every image a label of its own, by a classifier of its embedding, with a probability that it is right."""

    example: ClassVar[str] = "--store mine --labels labels.yaml --precision 0.95"

    model: str | None = Field(
        None, description="model whose embeddings to use; none: the only model that the store has clusters of"
    )
    how: Literal["classifier", "zero-shot"] | None = Field(
        None,
        description="classifier: fitted on the figures of the labels file; zero-shot: the prompts of the CLIP model "
        "that made the embeddings; none: a classifier where the labels file has enough figures, otherwise zero-shot",
    )
    labels: str | None = Field(
        None,
        description=f"labels YAML, local, {BUCKETS}: what annotators said of clusters' exemplars and of single "
        "figures; none: <store>/labels.yaml, which votes writes",
    )
    taxonomy: str | None = Field(None, description=_TAXONOMY)
    prompts: str | None = Field(
        None,
        description=f"prompts YAML, local, {BUCKETS}, for zero-shot; none: <store>/prompts.yaml if it exists, "
        "otherwise those for the paper's taxonomy",
    )
    precision: float = Field(
        0.95, ge=0.5, lt=1, description="share of the labels marked sure that is to be right, at least"
    )
    num_cpus: float = Field(1, gt=0, description="CPUs of the task that fits")
    memory_gb: float = Field(3, gt=0, description="memory that it reserves")

    def needs(self) -> tuple[Need, ...]:
        """The task that fits."""
        return (Need.of(self, CPU="num_cpus", memory="memory_gb"),)


class ProposeConfig(StageConfig):
    """Let a CLIP model propose concepts for each cluster, for annotators to start from; optional, before sheets."""

    example: ClassVar[str] = "--store mine --model open_clip/ViT-B-32 --weights laion2b_s34b_b79k"

    model: str = Field(pattern="^open_clip/", description="open_clip/NAME of the CLIP model")
    weights: str | None = Field(
        None, description="where its weights come from: a tag of open_clip, hf-hub:ID, a folder or a file"
    )
    images: int = Field(8, ge=1, description="figures of each cluster that it looks at: the nearest to the centre")
    prompts: str | None = Field(
        None,
        description=f"prompts YAML, local, {BUCKETS}: what it is asked; none: <store>/prompts.yaml if it exists, "
        "otherwise those for the paper's taxonomy",
    )
    taxonomy: str | None = Field(None, description=_TAXONOMY)
    batch_size: int = Field(64, ge=1, description="most images in a forward pass; halved when memory runs out")
    num_cpus: float = Field(1, gt=0, description="CPUs of the task that does it")
    memory_gb: float = Field(3, gt=0, description="memory that it reserves")

    def needs(self) -> tuple[Need, ...]:
        """The task that does it."""
        return (Need.of(self, CPU="num_cpus", memory="memory_gb"),)


class SheetsConfig(StageConfig):
    """Write label sheets: pages on which annotators say what figures show, a cluster's together or each by itself."""

    example: ClassVar[str] = "--store mine --clusters_per_sheet 20"

    form: Literal["html", "label-studio"] = Field(
        "html",
        description="html: pages that work offline in a browser and save the answers to a file; label-studio: "
        "tasks and labelling config to import there",
    )
    of: Literal["clusters", "images"] = Field(
        "clusters",
        description="clusters: some figures of each; images: single figures, those that classify is least sure of, one "
        "of an article, a quarter of them drawn at random",
    )
    round: int = Field(
        1,
        ge=1,
        description="1: all clusters; from 2 on: those that are disputed by the votes; of images any number, which "
        "names the sheets: those that are disputed, or have too few votes, are always among them, decided ones never",
    )
    images: int = Field(
        200, ge=1, description="with of: images, how many to ask about beside those that have been asked about"
    )
    clusters_per_sheet: int = Field(50, ge=1, description="clusters, or single images, in one file")
    members: int = Field(
        8, ge=1, description="figures of a cluster that are nearest to its centre; as many farthest out, and at random"
    )
    picture_side: int = Field(240, ge=32, le=1024, description="longest side of a picture in pixels")
    seed: int = Field(0, description="seed of the random figures")
    taxonomy: str | None = Field(None, description=_TAXONOMY)
    memory_gb: float = Field(2, gt=0, description="memory that one worker reserves")

    def needs(self) -> tuple[Need, ...]:
        """A worker."""
        return (Need.of(self, memory="memory_gb"),)


class VotesConfig(StageConfig):
    """Count annotators' answers: a labels file for label and classify, their agreement, and what to ask again."""

    example: ClassVar[str] = "--store mine --answers answers"

    answers: str | None = Field(
        None,
        description="folder of files that sheets gave back (downloaded answers, JSON exports of Label Studio), or one "
        f"of them, local, {BUCKETS}; none: <store>/answers",
    )
    output: str | None = Field(
        None,
        pattern="[^/]$",
        description=f"labels YAML to write, local, {BUCKETS}; none: <store>/labels.yaml, where label finds it",
    )
    taxonomy: str | None = Field(None, description=_TAXONOMY)
    min_votes: int = Field(2, ge=1, description="annotators that must have answered a field before it is decided")
    min_agreement: float = Field(
        0.5,
        ge=0.5,
        lt=1,
        description="a field is decided when more than this share of its votes agree, otherwise disputed",
    )
