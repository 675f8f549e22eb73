"""The reference list."""

from __future__ import annotations

import re

from biomedica_ray.jats import identifiers
from biomedica_ray.jats.article import Reference
from biomedica_ray.jats.text import readable
from biomedica_ray.jats.tree import Element, all_text, href

_CITATIONS = ("mixed-citation", "element-citation", "citation", "nlm-citation")


def read_references(article: Element) -> list[Reference]:
    """The references of an article, in order; one for each citation of each ``ref`` of its own reference lists."""
    back = article.find("back")
    if back is None:
        return []
    return [
        reference
        for ref in back.iter("ref")
        if not any(around.tag in ("sub-article", "response") for around in ref.iterancestors())
        for reference in _references(ref)
    ]


def _references(ref: Element) -> list[Reference]:
    citations: list[Element] = []
    for node in ref.iterchildren("*"):
        if node.tag in _CITATIONS:
            citations.append(node)
        elif node.tag == "citation-alternatives":
            # Renditions of one citation: the tagged one knows the ids, else whichever comes first.
            tagged = node.find("element-citation")
            citations += [tagged] if tagged is not None else list(node.iterchildren(*_CITATIONS))[:1]
    # A ref that gives the printed line beside the tagged citation names one work, not two.
    tags = {str(citation.tag) for citation in citations}
    if {"mixed-citation", "element-citation"} <= tags:
        citations = [citation for citation in citations if citation.tag == "element-citation"]
    return [_reference(ref, citation) for citation in citations]


def _reference(ref: Element, citation: Element) -> Reference:
    ids = {node.get("pub-id-type") or "": all_text(node) for node in citation.iter("pub-id", "object-id")}
    links = [href(link) or "" for link in citation.iter("ext-link", "uri")]
    title = next(
        (node for tag in ("article-title", "chapter-title", "data-title", "source") for node in citation.iter(tag)),
        None,
    )
    return Reference(
        id=ref.get("id"),
        pmid=identifiers.pmid(ids.get("pmid")),
        pmcid=identifiers.pmcid(ids.get("pmc") or ids.get("pmcid")),
        doi=identifiers.doi(ids.get("doi")) or next((doi for link in links if (doi := _linked_doi(link))), None),
        title=readable(title),
        year=_year(citation),
        raw=_raw(citation),
    )


def _linked_doi(link: str) -> str | None:
    return identifiers.doi(link) if "doi" in link or link.startswith("10.") else None


def _year(citation: Element) -> str | None:
    year = next(citation.iter("year"), None)
    return readable(year) if year is not None else None


def _raw(citation: Element) -> str:
    """The printed line, or the fields of a tagged citation set side by side."""
    if (citation.text and citation.text.strip()) or any((node.tail or "").strip() for node in citation):
        return readable(citation) or ""
    fields = []
    for node in citation.iterchildren("*"):
        people = [*node.iter("name", "string-name", "collab")] if node.tag in ("person-group", "name") else []
        parts = [_person(person) for person in people] or [readable(node) or ""]
        fields.append(", ".join(part for part in parts if part))
    return re.sub(r"\s+", " ", " ".join(field for field in fields if field))


def _person(person: Element) -> str:
    return " ".join(text for node in person.iterchildren("*") if (text := readable(node))) or readable(person) or ""
