"""Paragraphs of an article with their place: section path, float and sub-article around them."""

from __future__ import annotations

from dataclasses import dataclass, replace

from biomedica_ray.jats.article import Section
from biomedica_ray.jats.text import FLOATS, MarkedText, mark, readable
from biomedica_ray.jats.tree import Element, child

_UNITS = frozenset({"p", "disp-formula", "disp-quote", "verse-group", "preformat", "code", "def-item", "speech"})
_SCOPES = frozenset({"sub-article", "response"})
_TITLED = frozenset(
    {"sec", "app", "ack", "notes", "boxed-text", "glossary", "bio", "fn-group", "abstract", "trans-abstract"}
)
_DEFAULT_TITLES = {"ack": "Acknowledgements", "abstract": "Abstract", "trans-abstract": "Abstract"}
# Holders of text that is not the article's running text.
_ASIDE = FLOATS - {"boxed-text"} | {
    "front",
    "front-stub",
    "fn-group",
    "fn",
    "author-notes",
    "abstract",
    "trans-abstract",
}
_NO_PARAGRAPHS = frozenset(
    {"ref-list", "journal-meta", "permissions", "table", "contrib-group", "license", "history", "kwd-group"}
    | {"article-categories", "pub-date", "aff", "title", "label", "subtitle"}
)


@dataclass(slots=True)
class Paragraph:
    """A paragraph of running text, of a caption, a footnote or an abstract.

    Attributes:
        text: Its text, without the floats in it.
        marked: Its text with the cross-references in it marked.
        path: Titles of the sections around it, outermost first.
        home: The element whose own paragraph it is: a section, an appendix, a body.
        floats: The floats (fig, fig-group, table-wrap ...) around it, whose caption or content it is.
        scope: The article, sub-article or response it belongs to.
        is_running: Whether it is part of the full text, not of a caption, footnote or abstract.
    """

    text: str
    marked: MarkedText
    path: tuple[str, ...]
    home: Element
    floats: tuple[Element, ...]
    scope: Element
    is_running: bool


@dataclass(slots=True)
class FullText:
    """What one walk over an article and its sub-articles finds, in document order.

    Attributes:
        paragraphs: Every paragraph, once.
        ref_lists: The outermost reference lists of the article itself.
    """

    paragraphs: list[Paragraph]
    ref_lists: list[Element]


@dataclass(slots=True)
class _Place:
    """Where the walk stands; the fields are those of Paragraph."""

    path: tuple[str, ...]
    home: Element
    floats: tuple[Element, ...]
    scope: Element
    is_running: bool


def read_full_text(article: Element) -> FullText:
    """The paragraphs and reference lists of an article."""
    found = FullText([], [])
    _walk(article, _Place((), article, (), article, True), article, found)
    return found


def read_sections(paragraphs: list[Paragraph]) -> list[Section]:
    """The full text by section: each section's path and its own paragraphs, sections without paragraphs left out."""
    by_home: dict[Element, Section] = {}
    for paragraph in paragraphs:
        if paragraph.is_running:
            section = by_home.setdefault(paragraph.home, Section(list(paragraph.path), []))
            section.paragraphs.append(paragraph.text)
    return list(by_home.values())


def _walk(element: Element, place: _Place, article: Element, found: FullText) -> None:
    for node in element:
        tag = node.tag
        if tag in _UNITS:
            _add_paragraph(node, place, article, found)
        elif tag in _NO_PARAGRAPHS:
            if tag == "ref-list" and place.scope is article:
                found.ref_lists.append(node)
        elif len(node):
            _walk(node, _entered(node, place), article, found)


def _add_paragraph(node: Element, place: _Place, article: Element, found: FullText) -> None:
    """Add a paragraph and those of the floats in it, which are paragraphs of their own."""
    marked = mark(node, ("xref",))
    if text := marked.text:
        found.paragraphs.append(
            Paragraph(text, marked, place.path, place.home, place.floats, place.scope, place.is_running)
        )
    for float_ in marked.floats:
        _walk(float_, _entered(float_, place), article, found)


def _entered(node: Element, place: _Place) -> _Place:
    """The place inside an element."""
    tag = str(node.tag)
    is_running = place.is_running and tag not in _ASIDE
    if tag in _SCOPES:
        title = readable(next(node.iter("article-title"), None)) or node.get("article-type") or tag
        return _Place((*place.path, title), node, (), node, True)
    if tag in _TITLED:
        return _Place(_titled(place.path, node), node, place.floats, place.scope, is_running)
    if tag in FLOATS:
        return _Place(place.path, place.home, (*place.floats, node), place.scope, is_running)
    if tag in ("body", "back"):
        return replace(place, home=node)
    return replace(place, is_running=is_running) if is_running != place.is_running else place


def _titled(path: tuple[str, ...], node: Element) -> tuple[str, ...]:
    title = readable(node.find("title")) or readable(child(node, "caption", "title"))
    title = title or readable(node.find("label")) or _DEFAULT_TITLES.get(str(node.tag))
    return (*path, title) if title else path
