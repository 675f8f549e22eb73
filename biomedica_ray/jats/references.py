"""The reference list."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from biomedica_ray.jats import identifiers
from biomedica_ray.jats.article import Reference
from biomedica_ray.jats.text import normalise, readable
from biomedica_ray.jats.tree import Element, all_text, href

_CITATIONS = ("mixed-citation", "element-citation", "citation", "nlm-citation")
_TITLES = ("article-title", "chapter-title", "data-title", "source")
_VISITED = ("ref", "note", *_CITATIONS, *_TITLES, "year", "pub-id", "object-id", "ext-link", "uri")


def read_references(ref_lists: list[Element]) -> list[Reference]:
    """The references in reference lists, in order; one for each work that a ``ref`` cites."""
    return [reference for ref_list in ref_lists for reference in _references(ref_list)]


class _Citation(NamedTuple):
    """A citation in a ``ref``, and its fields at any depth."""

    ref: Element
    element: Element
    fields: list[Element]


def _references(ref_list: Element) -> Iterator[Reference]:
    cited: list[_Citation] = []
    ref = ref_list
    fields: list[Element] = []
    # One pass of libxml2 over the list: what follows a citation, up to the next one or the end of its ref, is in it.
    for node in ref_list.iter(*_VISITED):
        tag = node.tag
        if tag == "ref":
            yield from map(_reference, _works(cited))
            ref, cited, fields = node, [], []
        elif tag in _CITATIONS:
            fields = []
            cited.append(_Citation(ref, node, fields))
        elif tag == "note":
            fields = []
        else:
            fields.append(node)
    yield from map(_reference, _works(cited))


def _works(cited: list[_Citation]) -> list[_Citation]:
    """Of the citations in a ref, one a work: where it is given printed and tagged, the tagged one."""
    if len(cited) <= 1:
        return cited
    works: list[_Citation] = []
    alternatives: dict[Element | None, _Citation] = {}
    for citation in cited:
        parent = citation.element.getparent()
        if parent is None or parent.tag != "citation-alternatives":
            works.append(citation)
        elif parent not in alternatives:
            alternatives[parent] = citation
            works.append(citation)
        elif citation.element.tag == "element-citation" != alternatives[parent].element.tag:
            works[works.index(alternatives[parent])] = citation
            alternatives[parent] = citation
    tags = {citation.element.tag for citation in works}
    if {"mixed-citation", "element-citation"} <= tags:
        return [citation for citation in works if citation.element.tag == "element-citation"]
    return works


def _reference(citation: _Citation) -> Reference:
    ids: dict[str, str] = {}
    links: list[str] = []
    titles: dict[str, Element] = {}
    year: Element | None = None
    for node in citation.fields:
        tag = str(node.tag)
        if tag in _TITLES:
            titles.setdefault(tag, node)
        elif tag == "year":
            year = node if year is None else year
        elif tag in ("pub-id", "object-id"):
            ids[node.get("pub-id-type") or ""] = all_text(node) if len(node) else node.text or ""
        else:
            links.append(href(node) or "")
    title = next((titles[tag] for tag in _TITLES if tag in titles), None)
    doi = identifiers.doi(ids.get("doi"))
    return Reference(
        citation.ref.get("id"),
        identifiers.pmid(ids.get("pmid")),
        identifiers.pmcid(ids.get("pmc") or ids.get("pmcid")),
        doi or next((doi for link in links if (doi := _linked_doi(link))), None),
        readable(title),
        readable(year),
        _raw(citation.element),
    )


def _linked_doi(link: str) -> str | None:
    return identifiers.doi(link) if "doi" in link or link.startswith("10.") else None


def _raw(element: Element) -> str:
    """The printed line, or the fields of a tagged citation set side by side."""
    text, nodes = element.text, list(element)
    if (text and not text.isspace()) or any((tail := node.tail) and not tail.isspace() for node in nodes):
        return readable(element) or ""
    fields = [_people(node) if node.tag in ("person-group", "name") else _leaf(node) for node in nodes]
    return normalise(" ".join([field for field in fields if field])) or ""


def _people(node: Element) -> str | None:
    people = [node] if node.tag == "name" else node.iter("name", "string-name", "collab")
    return ", ".join([_person(person) for person in people]) or readable(node)


def _person(person: Element) -> str:
    return " ".join([part for node in person if (part := _leaf(node))]).strip() or readable(person) or ""


def _leaf(node: Element) -> str | None:
    """Text of a field: as it stands where nothing is in it."""
    if len(node):
        return readable(node)
    text = node.text
    return text if text and isinstance(node.tag, str) and not text.isspace() else None
