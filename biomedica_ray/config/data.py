"""Configs of the stages that make the dataset: extract, enrich, dedupe, select, serialize."""

from __future__ import annotations

from datetime import date
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from biomedica_ray.config.base import NAME, StageConfig

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


class SelectConfig(StageConfig):
    """Choose figures by a query, and at most so many of each kind; optional, for serialize --selection."""

    name: str = Field(pattern=NAME, description="the selection is <store>/selections/<name>")
    where: str | None = Field(
        None,
        description="condition on columns of figures, articles, labels, panels and duplicates, as in "
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
        pattern=NAME,
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
