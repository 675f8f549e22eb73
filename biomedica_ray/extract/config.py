"""The config of the extract stage."""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from biomedica_ray.config import StageConfig
from biomedica_ray.config.needs import GIB, Ask, Need
from biomedica_ray.config.wording import BUCKETS

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

_PMC_ARTICLES = 7_000_000
"""Article versions in PMC's inventory, which are 6.3 M in 2026."""
_LISTING_GB, _LISTED_BYTES, _HELD_BYTES = 0.5, 600, 300
"""Memory of the task that lists a source: GB of any, bytes for each article of the source, and for each that the store
holds; measured by benchmarks/scale.py."""


class ExtractConfig(StageConfig):
    """Read articles from a source into listing, catalog, articles, figures and errors."""

    example: ClassVar[str] = "--store mine --source pmc --limit 50"

    source: Literal["sample", "packages", "pmc"] = Field(
        "pmc", description="sample (embedded), packages (folders and tar.gz), pmc (PMC's bucket)"
    )
    packages: str | None = Field(
        None,
        description=f"for source packages: a directory, or a prefix at {BUCKETS}, that holds one folder or tar.gz for "
        "each article, or plain XML files; oa_file_list.csv is used if it is there",
    )
    bucket: str = Field("pmc-oa-opendata", description="for source pmc: the bucket to read")
    source_endpoint_url: str | None = Field(None, description="for s3 sources: an S3 server other than AWS")
    source_anonymous: bool = Field(True, description="for s3 sources: send unsigned requests")
    versions: Literal["latest", "all"] = Field("latest", description="which versions of each article to take")
    limit: int | None = Field(
        None,
        ge=1,
        description="take this many articles: first those that the store holds, then others in the order of a stable "
        "hash",
    )
    pmcids: str | None = Field(
        None, description="file of the articles to take, one PMC id per line; the store will hold only these"
    )
    since: date | None = Field(
        None,
        description="add what the source has changed on or after this day (UTC), as in 2026-01-31; nothing in the "
        "store is dropped for being older",
    )
    licenses: list[_License] | None = Field(
        None,
        min_length=1,
        description="licence codes and groups to take, as in [commercial, CC BY-NC]; none: all. Like keep_retracted "
        "and open_access_only, this is decided from the source's metadata where possible, before any XML is fetched",
    )
    keep_retracted: bool = Field(
        True, description="take retracted articles too; they are marked, and serialize leaves them out"
    )
    open_access_only: bool = Field(
        True, description="leave out articles that, as the source says, are not in the Open Access Subset"
    )
    allow_drop: bool = Field(
        False,
        description="drop articles that the store holds but the keys above no longer take; otherwise such a run is "
        "refused",
    )
    retry_errors: bool = Field(
        False, description="only retry the articles that had retryable errors, without listing the source again"
    )
    fetches: int = Field(16, ge=1, description="articles that one worker fetches at the same time")
    max_fetches: int | None = Field(
        None,
        ge=1,
        description="maximum number of articles that all workers together fetch at the same time; none: as many as the "
        "cluster has workers for",
    )
    units: int | None = Field(None, ge=1, description="number of units of a new store; none: one per 250 articles")
    memory_gb: float = Field(1.5, gt=0, description="memory that one worker reserves")

    def listing_gb(self, held: int = 0) -> float:
        """Memory of the task that lists the source, where the store holds so many articles."""
        all_of_pmc = self.source == "pmc" and self.source_endpoint_url is None
        listed = _PMC_ARTICLES if all_of_pmc else held
        return max(self.memory_gb, _LISTING_GB + (_LISTED_BYTES * listed + _HELD_BYTES * held) / GIB)

    def needs(self) -> tuple[Need, ...]:
        """A worker, and the task that lists the source."""
        listing = Need((Ask("source", "memory", self.listing_gb() * GIB),))
        return (Need.of(self, memory="memory_gb"), *([listing] if self.listing_gb() > self.memory_gb else []))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.source == "packages" and not self.packages:
            raise ValueError(f"packages: missing; source packages needs a directory, or a prefix at {BUCKETS}")
        if self.max_fetches and self.fetches > self.max_fetches:
            raise ValueError(f"fetches: expected at most max_fetches, {self.max_fetches}, got {self.fetches}")
        return self
