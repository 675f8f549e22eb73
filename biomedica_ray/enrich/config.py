"""The config of the enrich stage."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from biomedica_ray.config import StageConfig


class EnrichConfig(StageConfig):
    """Fetch PubMed's record of each article: MeSH headings, publication types, dates. Optional; needs NCBI's servers.

    An API key is read from the environment variable NCBI_API_KEY.
    """

    example: ClassVar[str] = "--store mine --email me@my-university.edu"

    email: str = Field(
        pattern=r"^[^@\s]+@[^@\s]+$",
        description="your e-mail address, which NCBI asks for with each call, so that it can write before it blocks",
    )
    eutils_url: str = Field(
        "https://eutils.ncbi.nlm.nih.gov/entrez/eutils", pattern="^https?://", description="address of the E-utilities"
    )
    rate: float | None = Field(
        None,
        gt=0,
        description="calls per second of all jobs of the cluster together; none: NCBI's limits, 3, or 10 with an API "
        "key",
    )
    edition: str | None = Field(
        None,
        description="any text, such as 2027; when it changes, every record is fetched again, as NLM keeps indexing "
        "articles after their publication and revises all MeSH headings each year",
    )
