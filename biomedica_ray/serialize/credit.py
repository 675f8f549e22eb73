"""Whom a figure is to be credited to, and under which licence it stands: what Creative Commons' licences ask for.

Title, author, source and licence, with a link to each, and the copyright notice (CC BY 4.0, section 3(a)(1)).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from biomedica_ray.jats.licenses import OTHER, code_of_url

Row = Mapping[str, Any]

AUTHORS = 10
"""Authors of a sample that are named; their number is told beside them."""
_IN_A_LINE = 3
"""Authors in a line of credit, before 'et al.'."""

ARTICLE_COLUMNS = [
    "pmcid",
    "version",
    "doi",
    "title",
    "authors",
    "citation",
    "language",
    "license_code",
    "license_url",
    "copyright",
]
FIGURE_COLUMNS = [
    "figure_id",
    "kind",
    "label",
    "alt_text",
    "language",
    "license_code",
    "license_url",
    "copyright",
]

_PMCID = re.compile(r"PMC\d+")
_VERSION = re.compile(r"/(\d\.\d)(?:/|$)")


def credit_fields(figure: Row, article: Row, panel: str | None = None) -> dict[str, Any]:
    """The fields of a sample that say what it is and whom to credit; None for what is not known.

    Args:
        figure: Columns :data:`FIGURE_COLUMNS` of the figure.
        article: Columns :data:`ARTICLE_COLUMNS` of its article.
        panel: What is cut out of the figure, where it is not the whole: ``panel B``.
    """
    # Stores of earlier versions have no licences of figures.
    is_own = figure.get("license_code") is not None
    licensed = figure if is_own else article
    code, url = licensed["license_code"], licensed["license_url"]
    # A text may permit less than the URL beside it, whose licence is not this one then.
    url = url if url and code_of_url(url) == code else None
    fields = {
        "figure_id": figure["figure_id"],
        "figure_label": figure["label"],
        "figure_kind": figure["kind"],
        "figure_language": figure["language"] or article["language"],
        "figure_alt_text": figure["alt_text"],
        "article_version": article["version"],
        "article_authors": [author["name"] for author in article["authors"][:AUTHORS]],
        "article_author_count": len(article["authors"]),
        "article_doi": article["doi"],
        "article_url": article_url(article),
        "license_name": license_name(code, url),
        "license_url": url,
        "license_is_own": is_own,
        "copyright": figure.get("copyright") or article["copyright"],
    }
    return {**fields, "attribution": attribution(fields, article["title"], article["citation"], panel)}


def article_url(article: Row) -> str | None:
    """Where to read the article: that version at PMC, or its DOI's resolver."""
    if _PMCID.fullmatch(article["pmcid"]):
        return f"https://pmc.ncbi.nlm.nih.gov/articles/{article['pmcid']}.{article['version']}/"
    return f"https://doi.org/{article['doi']}" if article["doi"] else None


def license_name(code: str, url: str | None) -> str:
    """``CC BY 4.0``: the licence's code, and its version where its URL tells one."""
    found = _VERSION.search(url or "")
    return f"{code} {found[1]}" if found else code


def attribution(fields: Row, title: str | None, citation: str, panel: str | None = None) -> str:
    """One line of credit.

    ``Figure 2 from: A. Doe, B. Roe, C. Poe, et al. Title. J Tests. 2021;1:1. https://... CC BY 4.0 (https://...)``, and
    the copyright notice. What is not known is left out. Of a panel it begins with ``Figure 2 (panel B, cut out)
    from:``, as what was changed has to be told (CC BY 4.0, section 3(a)(1)(B)).

    Args:
        fields: Those of :func:`credit_fields`.
        title: The article's.
        citation: Journal, year, volume, pages and DOI.
        panel: What is cut out of the figure; None for the whole.
    """
    authors = ", ".join(fields["article_authors"][:_IN_A_LINE])
    if fields["article_author_count"] > _IN_A_LINE:
        authors += ", et al"
    url = fields["license_url"]
    terms = "see the article for its terms" if fields["license_name"] == OTHER else fields["license_name"]
    label = fields["figure_label"] or fields["figure_kind"].replace("-", " ").capitalize()
    sentences = [
        authors,
        title,
        citation,
        fields["article_url"],
        f"{terms} ({url})" if url else terms,
        fields["copyright"],
    ]
    part = f" ({panel}, cut out)" if panel else ""
    return f"{label.rstrip('.:;, ')}{part} from: " + " ".join(
        _sentence(part) for part in sentences if part and part.strip()
    )


def _sentence(part: str) -> str:
    """A part of a line with a full stop behind it, but for addresses, which a stop would spoil."""
    part = " ".join(part.split())
    return part if part.startswith("https://") or part.endswith((".", "?", "!")) else f"{part}."
