"""The config of the train stage."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, field_validator, model_validator

from biomedica_ray.config import NAME, StageConfig
from biomedica_ray.config.needs import Need
from biomedica_ray.config.wording import BUCKETS
from biomedica_ray.evaluate.config import ONE_DATASET, by_commas
from biomedica_ray.models.folders import is_folder
from biomedica_ray.reading.texts import TextKind
from biomedica_ray.train.gpus import Gpu

RetrievalScore = Literal[
    "retrieval.image_to_text.recall@1",
    "retrieval.image_to_text.recall@5",
    "retrieval.image_to_text.recall@10",
    "retrieval.text_to_image.recall@1",
    "retrieval.text_to_image.recall@5",
    "retrieval.text_to_image.recall@10",
]


Texts = dict[TextKind, NonNegativeFloat]
"""Weights of the kinds of text."""


class MixedData(BaseModel):
    """One of several sets of data."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    uri: str | list[str] = Field(description="a dataset, tar files or a table, as data is where it is the only one")
    weight: float = Field(gt=0, description="its share of the samples of a step, beside the weights of the others")
    texts: Texts | None = Field(None, description="as the stage's texts, which is taken where this is not given")


class TrainConfig(StageConfig):
    """Pretrain CLIP on the shards by streaming."""

    headings: ClassVar[Mapping[str, str]] = {
        "data": "data",
        "name": "model",
        "num_workers": "workers",
        "precision": "computation",
        "schedule": "optimisation",
        "shuffle_buffer": "reading",
        "checkpoint_steps": "checkpoints, measurements and what is lost",
        "dry_run": "what it would cost",
    }
    example: ClassVar[str] = "--store mine --model ViT-B-32 --pretrained laion2b_s34b_b79k --batch_size 64"

    data: str | list[str] | list[MixedData] | None = Field(
        None,
        description="a dataset that serialize wrote (none: <store>/dataset), or tar files by path or URL (s3, https, "
        "hf://datasets/OWNER/NAME/PATH); braces work: https://host/{000000..000009}.tar; or a .csv or .tsv with "
        "columns filepath and title; in a file, several of them by weight: [{uri: A, weight: 3}, {uri: B, weight: 1}]",
    )
    selection: str | None = Field(
        None,
        pattern=NAME,
        description="train on the dataset that serialize wrote for this selection instead of <store>/dataset",
    )
    license_groups: list[Literal["commercial", "noncommercial", "other"]] = Field(
        ["commercial", "noncommercial", "other"], description="licence groups to train on"
    )
    validation_fraction: float = Field(
        0,
        ge=0,
        lt=1,
        description="share of the articles of data without a dataset.json to hold out from training, by a stable hash "
        "of the article in the sample's key; a dataset has a validation split of its own",
    )
    texts: Texts = Field(
        {"caption": 1.0},
        description="weights for drawing a sample's text in each pass: its caption; panel, the words of a sample that "
        "is a panel (serialize --pairs); part, the part of a whole figure's caption about one of its panels; mention, "
        "a paragraph that refers to it; also_captioned, another caption of the same picture; the weight of a kind that "
        "a sample lacks goes to the others (BIOMEDICA: the caption)",
    )
    long_text: Literal["first", "sentences"] = Field(
        "first",
        description="what to keep of a text longer than the model's context: its first tokens, or a random run "
        "of sentences",
    )
    context_length: int | None = Field(
        None,
        ge=1,
        description="tokens of the longest text; beyond the model's own, the position embeddings of CLIP's text towers "
        "are stretched; none: as many as the model has",
    )
    name: str = Field("clip", pattern=NAME, description="checkpoints go to <store>/checkpoints/<name>")
    model: str = Field(
        "ViT-L-14",
        description="open_clip model name, clip-lite0 (a small model in this package), a model config JSON, or a "
        f"folder with open_clip_config.json: a path, local-dir:PATH, {BUCKETS}, or hf-hub:OWNER/NAME[@REVISION]",
    )
    pretrained: str | None = Field(
        "commonpool_xl_clip_s13b_b90k",
        description=f"open_clip tag, or a folder or file, local, {BUCKETS} or hf-hub:OWNER/NAME[@REVISION]; none: from "
        "scratch; if not given with a model that is a folder: that folder's weights",
    )
    image_weights: str | None = Field(
        None, description="weights for the image tower alone, as for annotate; for models trained from scratch"
    )
    continues: str | None = Field(
        None,
        pattern=NAME,
        description="another run of this store whose last checkpoint this one begins with: its model, weights and "
        "optimizer state; for more passes, or another lr or data",
    )
    lock_image: bool = Field(False, description="freeze the image tower except its projection")
    lock_text: bool = Field(False, description="freeze the text tower")
    unlock_last: int = Field(
        0,
        ge=0,
        description="blocks of a frozen tower that learn all the same, counted from its end, with the projection",
    )
    num_workers: int = Field(
        2,
        ge=1,
        description="Ray Train workers; may change when a run is resumed if num_workers x batch_size stays the same",
    )
    use_gpu: bool = Field(False, description="one GPU per worker")
    cpus_per_worker: float = Field(1, gt=0, description="CPUs per worker")
    shard: Literal["ddp", "fsdp"] = Field(
        "ddp",
        description="ddp: each worker has the whole model; fsdp: weights, gradients, optimizer state and checkpoints "
        "are divided among the workers, for models too large for one GPU",
    )
    precision: Literal["fp32", "bf16", "fp16"] = Field(
        "fp32", description="bf16 and fp16: autocast; fp16 scales the gradients and needs a GPU (BIOMEDICA: fp32)"
    )
    tf32: bool = Field(
        True,
        description="let GPUs multiply float32 in TF32, as open_clip_train does (from A100 on several times faster)",
    )
    grad_checkpointing: bool = Field(False, description="recompute activations instead of keeping them")
    loss: Literal["clip", "siglip"] = Field(
        "clip", description="clip: softmax over the batch; siglip: a sigmoid per pair, with a learned bias"
    )
    patch_dropout: float = Field(0, ge=0, lt=1, description="share of an image's patches that training leaves out")
    compile: bool = Field(False, description="torch.compile: takes minutes at the start, then steps are faster")
    channels_last: bool = Field(False, description="channels-last memory format, for models with convolutions")
    schedule: Literal["cosine", "const"] = Field("cosine", description="learning rate after the warm-up")
    ema: float = Field(
        0, ge=0, lt=1, description="decay of a moving average of the weights, which then is the result; 0: no average"
    )
    batch_size: int = Field(1024, ge=2, description="samples per worker and step")
    accumulate: int = Field(
        1, ge=1, description="parts in which a batch goes through the model: less memory, more time, same gradient"
    )
    epochs: int = Field(1, ge=1, description="passes over the data")
    lr: float = Field(1e-6, gt=0, description="peak learning rate (BIOMEDICA: 1e-6)")
    warmup_steps: int = Field(1000, ge=0, description="steps of linear warm-up (BIOMEDICA: 1,000)")
    weight_decay: float = Field(0.2, ge=0, description="AdamW weight decay; norms, biases and gains do not decay")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW beta1")
    beta2: float = Field(0.95, ge=0, lt=1, description="AdamW beta2 (BIOMEDICA: 0.95)")
    layer_decay: float = Field(
        1,
        gt=0,
        le=1,
        description="learning rate of each layer as a share of that of the next one, in both towers; 1: all alike",
    )
    eps: float = Field(1e-6, gt=0, description="AdamW epsilon (open_clip_train's for ViT: 1e-6)")
    grad_clip: float = Field(1.0, gt=0, description="maximum gradient norm (BIOMEDICA: 1.0)")
    shuffle_buffer: int = Field(2000, ge=1, description="samples in each lane's shuffle buffer")
    reader: Literal["worker", "ray"] = Field(
        "worker",
        description="who reads and decodes: threads of each worker, or Ray actors, one per lane of a worker",
    )
    reader_cpus: float = Field(
        1, gt=0, description="CPUs of each reader actor, on any node, on top of those of the workers"
    )
    checkpoint_steps: int = Field(100, ge=1, description="steps between checkpoints")
    max_failures: int = Field(3, ge=0, description="restarts from the last checkpoint after a worker is lost")
    min_workers: int | None = Field(
        None,
        ge=1,
        description="train with as few workers as this while the cluster has no room for num_workers; none: wait",
    )
    keep_last: int = Field(2, ge=1, description="number of latest checkpoints to keep")
    keep_best: RetrievalScore | None = Field(
        None, description="also keep the checkpoint with the highest score on validation samples, named as by evaluate"
    )
    log_steps: int = Field(100, ge=1, description="steps between log lines")
    eval_steps: int | None = Field(
        None, ge=1, description="steps between measurements of retrieval on validation samples; none: never"
    )
    eval_samples: int = Field(
        2000,
        ge=2,
        description="maximum number of validation samples to measure retrieval on; of more, this many are drawn, "
        "in stretches of neighbours; and of images of each of eval_tasks",
    )
    eval_tasks: list[str] = Field(
        [],
        description="tasks on published sets (`biomedica tasks` lists them), or files of one's own, to measure "
        "zero-shot with the retrieval, every eval_steps",
    )
    eval_data: str | None = Field(None, description="folder of the sets of eval_tasks, as evaluate's data")
    wandb: str | None = Field(None, description="Weights & Biases project to send the metrics to")
    mlflow: str | None = Field(None, description="MLflow tracking URI to send the metrics to")
    dry_run: bool = Field(
        False,
        description="train nothing: say what the run would do, try one step, and measure what memory it needs; fails "
        "where the run would",
    )
    gpu: Gpu | None = Field(
        None, description="GPU that a dry run reckons with; none: the one that the cluster has, if one is there"
    )
    samples_per_s: float | None = Field(
        None, gt=0, description="samples/s of one worker, from which a dry run reckons the time"
    )
    dollars_per_hour: float | None = Field(
        None, gt=0, description="price of one worker, from which a dry run reckons the cost"
    )
    seed: int = Field(0, description="seed of initialisation and sample order")

    @property
    def part(self) -> str:
        """The run."""
        return self.name

    @property
    def mixed(self) -> list[MixedData]:
        """The data that are mixed; none where there is only one."""
        return [each for each in self.data if isinstance(each, MixedData)] if isinstance(self.data, list) else []

    @property
    def uris(self) -> list[str]:
        """Where the data are; none where it is the store's dataset."""
        if isinstance(self.data, str):
            return [self.data]
        found = [each.uri if isinstance(each, MixedData) else each for each in self.data or []]
        return [uri for each in found for uri in ([each] if isinstance(each, str) else each)]

    def needs(self) -> tuple[Need, ...]:
        """The fewest workers with which training begins, and the Ray actors that read for them."""
        return () if self.dry_run else (self.need(self.num_workers * max(1, len(self.mixed))),)

    def need(self, lanes: int) -> Need:
        """The same where the order has a number of lanes, each of which an actor reads with ``reader: ray``."""
        workers = "num_workers" if self.min_workers is None else "min_workers"
        need = Need.of(self, workers=workers, CPU="cpus_per_worker", GPU="use_gpu")
        if self.reader == "worker":
            return need
        cpus = self.cpus_per_worker + self.reader_cpus * max(lanes, need.workers) / need.workers
        asks = (replace(ask, amount=cpus, key="cpus_per_worker and reader_cpus") for ask in need.each[:1])
        return replace(need, each=(*asks, *need.each[1:]))

    @model_validator(mode="before")
    @classmethod
    def _weights_of_a_folder(cls, values: dict[str, Any]) -> dict[str, Any]:
        model = values.get("model")
        if isinstance(model, str) and "pretrained" not in values and is_folder(model):
            return {**values, "pretrained": model}
        return values

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.data and self.selection:
            raise ValueError(ONE_DATASET)
        if self.unlock_last and not (self.lock_image or self.lock_text):
            raise ValueError("unlock_last: needs lock_image or lock_text")
        if self.continues == self.name:
            raise ValueError("continues: expected another run than name; a run goes on by itself")
        for texts in (self.texts, *(each.texts for each in self.mixed if each.texts is not None)):
            if not math.isfinite(total := sum(texts.values())) or not total:
                raise ValueError("texts: expected finite weights, at least one of them above 0")
        return self

    @model_validator(mode="after")
    def _every_number_of_workers(self) -> Self:
        if self.min_workers is None:
            return self
        if self.min_workers > self.num_workers:
            raise ValueError(f"min_workers: expected at most num_workers, {self.num_workers}")
        total = self.num_workers * self.batch_size
        if uneven := [n for n in range(self.min_workers, self.num_workers + 1) if total % n]:
            raise ValueError(
                f"min_workers: {uneven[0]} workers cannot share the {total} samples of a step; choose a batch_size so "
                f"that every number from {self.min_workers} to {self.num_workers} divides num_workers x batch_size"
            )
        return self

    @field_validator("eval_tasks", mode="before")
    @classmethod
    def _by_commas(cls, value: Any) -> Any:
        return by_commas(value)

    @model_validator(mode="after")
    def _tasks_are_measured(self) -> Self:
        if self.eval_tasks and self.eval_steps is None:
            raise ValueError("eval_steps: with eval_tasks, expected after how many steps they are measured")
        if self.eval_tasks and not self.eval_data:
            raise ValueError("eval_data: with eval_tasks, expected the folder of the sets")
        if self.eval_data and not self.eval_tasks:
            raise ValueError("eval_data: goes with eval_tasks")
        return self

    @model_validator(mode="after")
    def _best_is_measured(self) -> Self:
        if self.keep_best and (self.eval_steps is None or self.checkpoint_steps % self.eval_steps):
            raise ValueError("keep_best: needs eval_steps, and checkpoint_steps must be a multiple of it")
        return self

    @model_validator(mode="after")
    def _precision_of_the_device(self) -> Self:
        if self.precision == "fp16" and not self.use_gpu:
            raise ValueError("precision: fp16 needs a GPU (use_gpu: true); use fp32 or bf16 without one")
        return self

    @model_validator(mode="after")
    def _what_can_be_divided(self) -> Self:
        if self.shard == "ddp":
            return self
        if self.precision == "fp16":
            raise ValueError("shard: fsdp cannot be combined with precision: fp16; use bf16 or fp32")
        for key in ("compile", "channels_last"):
            if getattr(self, key):
                raise ValueError(f"shard: fsdp cannot be combined with {key}")
        return self

    @model_validator(mode="after")
    def _same_patches_twice(self) -> Self:
        if self.compile and self.patch_dropout:
            raise ValueError(
                "compile: cannot be combined with patch_dropout, as the two passes of a step may drop different patches"
            )
        return self
