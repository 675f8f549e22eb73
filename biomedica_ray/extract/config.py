"""The config of the extract stage."""

from __future__ import annotations

from datetime import date
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from biomedica_ray.config import StageConfig
from biomedica_ray.config.needs import Need

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

    example: ClassVar[str] = "--store mine --source pmc --limit 50"

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

    def needs(self) -> tuple[Need, ...]:
        """A worker."""
        return (Need.of(self, memory="memory_gb"),)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.source == "packages" and not self.packages:
            raise ValueError("packages: expected a directory or s3:// prefix, as source is packages")
        if self.fetches > self.max_fetches:
            raise ValueError(f"fetches: expected at most max_fetches, {self.max_fetches}, got {self.fetches}")
        return self
