"""Identifiers as written to identifiers as compared: DOI, PMCID, PMID, ORCID."""

from __future__ import annotations

import re

_DOI = re.compile(r"10\.\d{4,9}/\S+")
_PMCID = re.compile(r"(?:PMC)?\s*(\d+)(?:\.\d+)?", re.IGNORECASE)
_PMID = re.compile(r"(?:pmid:?\s*)?(\d+)", re.IGNORECASE)
_ORCID = re.compile(r"(\d{4}-\d{4}-\d{4}-\d{3}[\dX])", re.IGNORECASE)


def doi(text: str | None) -> str | None:
    """A DOI in lower case, without resolver or prefix; None where there is none (DOI Handbook, 2.2)."""
    match = _DOI.search(text) if text else None
    return match.group().rstrip(".,;").lower() if match else None


def pmcid(text: str | None) -> str | None:
    """A PMC accession id as ``PMC123``, its version dropped; None where there is none."""
    match = _PMCID.fullmatch(text.strip()) if text else None
    return f"PMC{match.group(1)}" if match else None


def pmid(text: str | None) -> str | None:
    """A PubMed id as bare digits; None where there is none."""
    match = _PMID.fullmatch(text.strip()) if text else None
    return match.group(1) if match else None


def orcid(text: str | None) -> str | None:
    """An ORCID iD without its URL; None where there is none."""
    match = _ORCID.search(text) if text else None
    return match.group(1).upper() if match else None
