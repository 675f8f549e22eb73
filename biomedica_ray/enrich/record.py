"""What PubMed says of an article: the columns of the pubmed table that come from its record."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


class PubmedError(ValueError):
    """The bytes are no PubMed records; the message names the reason."""


@dataclass(frozen=True, slots=True)
class Qualifier:
    """A MeSH subheading of a heading; ``ui`` is its id in MeSH (``Q000379``)."""

    name: str
    ui: str | None
    major: bool


@dataclass(frozen=True, slots=True)
class MeshHeading:
    """A MeSH heading; a major topic of the article where it or one of its qualifiers is marked ``major``."""

    descriptor: str
    ui: str | None
    major: bool
    qualifiers: list[Qualifier]


@dataclass(frozen=True, slots=True)
class SupplementaryConcept:
    """A disease, protocol or organism that MeSH has no heading for."""

    name: str
    ui: str | None
    kind: str | None


@dataclass(frozen=True, slots=True)
class Chemical:
    """A substance; ``registry_number`` is a CAS, UNII or EC number."""

    name: str
    ui: str | None
    registry_number: str | None


@dataclass(frozen=True, slots=True)
class PubmedDate:
    """A date with its kind, ISO 8601 at the precision given."""

    kind: str
    date: str


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant as NLM normalises it."""

    id: str | None
    agency: str | None
    country: str | None


@dataclass(frozen=True, slots=True)
class Accession:
    """An entry of a data bank or trial registry: ``ClinicalTrials.gov`` and ``NCT01234567``."""

    databank: str
    accession: str


@dataclass(frozen=True, slots=True)
class RelatedRecord:
    """A comment, correction or retraction; ``kind`` is its ``RefType`` (``RetractionIn``, ``ErratumFor``)."""

    kind: str
    pmid: str | None
    citation: str | None


@dataclass(frozen=True, slots=True)
class PubmedRecord:
    """One record of PubMed.

    Attributes:
        pmid: PubMed id.
        kind: article or book.
        pmcid: PMC accession id, as PubMed has it.
        doi: DOI in lower case, as PubMed has it.
        status: How far NLM has come with it (MEDLINE, In-Process, PubMed-not-MEDLINE, ...); None for books.
        indexing_method: Automated or Curated where NLM says so; None means that people indexed it, or nobody yet.
        publication_status: ppublish, epublish, aheadofprint, ...
        published: Earliest date on which the issue or the article was published; a missing month or day counts as 1.
        dates: Every date of the record: ``issue``, ``electronic``, ``completed``, ``revised`` and PubMed's history.
        journal_nlm_id: The journal's id in NLM's catalogue.
        journal_abbreviation: The journal's abbreviated title as MEDLINE has it.
        journal_country: Where the journal is published.
        publication_types: MeSH publication types (Review, Randomized Controlled Trial).
        is_retracted: One of them is Retracted Publication.
        mesh_headings: MeSH headings in the order of the record.
        supplementary_concepts: What MeSH has no heading for.
        chemicals: Substances.
        keywords: Keywords of the authors and of others, each once.
        grants: Grants.
        accessions: Entries of data banks and trial registries.
        related: Comments, corrections and retractions.
        reference_pmids: PubMed ids of the references, each once, in order.
    """

    pmid: str
    kind: str
    pmcid: str | None
    doi: str | None
    status: str | None
    indexing_method: str | None
    publication_status: str | None
    published: dt.date | None
    dates: list[PubmedDate]
    journal_nlm_id: str | None
    journal_abbreviation: str | None
    journal_country: str | None
    publication_types: list[str]
    is_retracted: bool
    mesh_headings: list[MeshHeading]
    supplementary_concepts: list[SupplementaryConcept]
    chemicals: list[Chemical]
    keywords: list[str]
    grants: list[Grant]
    accessions: list[Accession]
    related: list[RelatedRecord]
    reference_pmids: list[str]
