"""The reference list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from biomedica_ray.jats import identifiers
from biomedica_ray.jats.article import Reference
from biomedica_ray.jats.text import mended, normalise, readable, script
from biomedica_ray.jats.tree import Element, all_text, href

_CITATIONS = ("mixed-citation", "element-citation", "citation", "nlm-citation")
_TITLES = ("article-title", "chapter-title", "data-title", "source")
_VISITED = ("ref", "note", *_CITATIONS, *_TITLES, "year", "pub-id", "object-id", "ext-link", "uri")


_PUBMED = re.compile(r"\b(?:pubmed\.ncbi\.nlm\.nih\.gov|ncbi\.nlm\.nih\.gov/(?:m/)?pubmed)/(\d{1,8})\b")
_PEOPLE = ("person-group", "name")
# Parts of a citation that stand apart from what is before them, even where nobody wrote a space.
_SET_OFF = frozenset(
    {
        "pub-id",
        "object-id",
        "source",
        "article-title",
        "chapter-title",
        "volume",
        "issue",
        "year",
        "fpage",
        "bold",
        "italic",
    }
    | {"person-group", "name", "publisher-name", "publisher-loc", "comment", "edition"}
)
_GLUED_BEHIND = re.compile(r"[\w.,;:)\]?!\u2013\u201d](?<!doi:)(?<!DOI:)(?<!pmid:)(?<!PMID:)\Z")


def read_references(ref_lists: list[Element]) -> list[Reference]:
    """The references in reference lists, in order; one for each work that a ``ref`` cites."""
    return [reference for ref_list in ref_lists for reference in _references(ref_list)]


class _Citation(NamedTuple):
    """A citation in a ``ref``, its fields at any depth, and the printed form of the same where there is one."""

    ref: Element
    element: Element
    fields: list[Element]
    printed: Element | None = None


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
    cited = _with_printed(cited)
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


def _with_printed(cited: list[_Citation]) -> list[_Citation]:
    """The citations of a ref, each tagged one with the printed one beside it, where there are as many of both."""
    printed = [each.element for each in cited if each.element.tag == "mixed-citation"]
    tagged = [each.element for each in cited if each.element.tag == "element-citation"]
    if len(printed) != len(tagged):
        return cited
    beside = dict(zip(tagged, printed, strict=True))
    return [each._replace(printed=beside.get(each.element)) for each in cited]


def _reference(citation: _Citation) -> Reference:
    ids: dict[str, str] = {}
    links: list[str] = []
    titles: dict[str, Element] = {}
    year: Element | None = None
    for node in citation.fields:
        tag = node.tag
        if tag in _TITLES:
            titles.setdefault(str(tag), node)
        elif tag == "year":
            year = node if year is None else year
        elif tag in ("pub-id", "object-id"):
            ids[node.get("pub-id-type") or ""] = (all_text(node) if len(node) else node.text) or href(node) or ""
        elif (kind := node.get("ext-link-type")) in ("pmid", "pmcid"):
            ids.setdefault(str(kind), href(node) or node.text or "")
        elif kind != "google-scholar":  # a search, which has all of it once more
            links.append(href(node) or "")
    title = next((titles[tag] for tag in _TITLES if tag in titles), None)
    doi = identifiers.doi(ids.get("doi"))
    return Reference(
        citation.ref.get("id"),
        identifiers.pmid(ids.get("pmid"))
        or next((found[1] for link in links if (found := _PUBMED.search(link))), None),
        identifiers.pmcid(ids.get("pmc") or ids.get("pmcid")),
        doi or next((doi for link in links if (doi := _linked_doi(link))), None),
        readable(title),
        readable(year),
        (None if citation.printed is None else _raw(citation.printed)) or _raw(citation.element),
    )


def _linked_doi(link: str) -> str | None:
    return identifiers.doi(link) if "doi" in link or link.startswith("10.") else None


def _raw(element: Element) -> str:
    """The printed line, or the fields of a tagged citation set side by side."""
    text, nodes = element.text, list(element)
    tails = [node.tail or "" for node in nodes]
    if (text and not text.isspace()) or "".join(tails).strip():
        return _printed(element, nodes, tails)
    fields = [_people(node) if node.tag in _PEOPLE else _leaf(node) for node in nodes]
    return normalise(" ".join([field for field in fields if field])) or ""


def _printed(element: Element, nodes: list[Element], tails: list[str]) -> str:
    """A printed line, without the identifiers that were added to it, and its parts not glued to one another.

    An identifier without anything between it and the line was not printed: PMC adds its own so.
    """
    tags = [node.tag for node in nodes]
    if not any((not tail or tail.isspace()) and tag in _SET_OFF for tag, tail in zip(tags, tails, strict=True)):
        return readable(element) or ""
    line = element.text or ""
    added, is_adjacent = False, False
    for node, tag, tail in zip(nodes, tags, tails, strict=True):
        if tag in ("pub-id", "object-id"):
            added = added or bool(_GLUED_BEHIND.search(line[-6:]))
            piece = "" if added else _piece(node, tag)
        else:
            piece = _piece(node, tag)
            if piece and tag in _SET_OFF and _is_glued(line, piece, is_adjacent=is_adjacent):
                line += " "
        line += piece + tail
        added = added and not tail.strip()
        is_adjacent = not tail
    return normalise(mended(line)) or ""


def _is_glued(line: str, piece: str, *, is_adjacent: bool) -> bool:
    """Whether a part needs a space before it: behind another part, or where it begins a sentence: ``On X.Nature``."""
    if is_adjacent:
        return piece[0].isalnum() and _GLUED_BEHIND.search(line[-6:]) is not None
    return piece[0].isupper() and not piece[1:2].isupper() and line.endswith((".", "?", "!"))


def _piece(node: Element, tag: object) -> str:
    """A part of a printed line, scripts as in the line."""
    if not isinstance(tag, str):
        return ""
    if tag in _PEOPLE and not (node.text or "").strip() and not any((part.tail or "").strip() for part in node):
        return _people(node) or ""
    if tag in ("sub", "sup"):
        return script(node)
    if len(node) == 0:
        return node.text or ""
    edge = " " if (node.text or " ")[0].isspace() else ""
    text = readable(node)
    return f"{edge}{text}" if text else ""


def _people(node: Element) -> str | None:
    if node.tag == "name":
        return _person(node) or None
    return ", ".join(map(_person, node.iter("name", "string-name", "collab"))) or readable(node)


def _person(person: Element) -> str:
    return " ".join([part for part in map(_leaf, person) if part]).strip() or readable(person) or ""


def _leaf(node: Element) -> str | None:
    """Text of a field: as it stands where nothing is in it."""
    text = node.text
    if len(node):
        return readable(node)
    return text if text and not text.isspace() and isinstance(node.tag, str) else None
