"""Paragraphs that refer to a figure, by cross-reference or in plain words."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from biomedica_ray.jats.article import Mention
from biomedica_ray.jats.figures import Image
from biomedica_ray.jats.panels import expand_letters
from biomedica_ray.jats.sections import Paragraph
from biomedica_ray.jats.text import Span
from biomedica_ray.jats.tree import Element

_DASH = "-\u2010-\u2015\u2212"
_SERIES = rf"\s?(?:,\s?and|,|/|&|and\b|[{_DASH}])\s?"
_ALONE = "(?![A-Za-z0-9])"
_LETTERS = rf"(?:[A-Z]{_ALONE}(?:{_SERIES}[A-Z]{_ALONE})*|[a-z]{_ALONE}(?:{_SERIES}[a-z]{_ALONE})*)"
_PANELS = (
    rf"(?:(?P<attached>{_LETTERS})|\s?\((?P<bracketed>{_LETTERS})\)|\s(?P<apart>{_LETTERS})(?=\s*(?:[),.;:\]]|\Z)))"
)
_WORD = re.compile(
    r"\b(?P<word>fig(?:ure|ura)?s?|schemes?|esquemas?|tab(?:le|la|ela)?s?)\b\.?\s*(?=(?:[A-Z]{1,3}-?)?\d)",
    re.IGNORECASE,
)
_SERIES_BEFORE = re.compile(r"\b(?:(?P<S>supp\w*\.?)|(?P<ED>extended\s+data)|(?P<A>appendix))\s+\Z", re.IGNORECASE)
_LONGEST_SERIES = 20
_LABEL = re.compile(rf"\W*(?:(?:supp\w*\.?|extended\s+data|appendix)\s+)?{_WORD.pattern}", re.IGNORECASE)
_ITEM = re.compile(rf"(?P<number>(?:[A-Z]{{1,3}}-?)?\d{{1,3}}(?:\.\d{{1,2}})?)(?!\d)(?P<panels>{_PANELS})?")
_AGAIN = r"(?:(?:figs?|figures?|schemes?|tables?)\.?\s*)?"
_NEXT = re.compile(
    rf"\s*(?:(?P<range>[{_DASH}]|\b(?:to|through|a)\b)\s*{_AGAIN}|(?:,\s*and\b|,|;|/|&|\b(?:and|or|y|e)\b)\s*)"
    r"(?=(?:[A-Z]{1,3}-?)?\d)",
    re.IGNORECASE,
)
# eLife's "Figure 3—figure supplement 1" is a figure of its own, and so is its source data.
_SUPPLEMENT = re.compile(rf"\s*[{_DASH}]\s*(?:figure|source|video)\b", re.IGNORECASE)
_LONGEST_RANGE = 50


@dataclass(frozen=True, slots=True)
class Citation:
    """One numbered item that a text names.

    Attributes:
        kind: figure, scheme or table.
        number: Its number, upper case: ``2``, ``S1``.
        panels: The panels named with it.
        start: Offset of the number in the text.
        end: Offset behind number and panels.
        ends_range: Whether it is the end of a range that the item before it begins.
        is_certain: False for a number joined to a singular word (``Figure 1 and 20 patients``).
    """

    kind: str
    number: str
    panels: tuple[str, ...]
    start: int
    end: int
    ends_range: bool
    is_certain: bool


def find_citations(text: str) -> list[Citation]:
    """The figures, schemes and tables that a text names by number: ``Figs. 1A-C and 3``, ``Scheme 2``, ``Fig. S1``."""
    return [citation for word in _WORD.finditer(text) for citation in _items(text, word)]


def find_mentions(
    paragraphs: Sequence[Paragraph], images: Sequence[Image], labels: Sequence[str | None]
) -> list[list[Mention]]:
    """For each image the paragraphs that refer to it, in document order.

    A paragraph refers to an image by a cross-reference to its figure, by lying between the ends of a range
    (``Figs. 1-3``), or by naming its number where there is no cross-reference. The figure's own caption does not.

    Args:
        paragraphs: All paragraphs of the article.
        images: All images of the article.
        labels: The label of each image.
    """
    index = _Index(images, labels)
    mentions: list[list[Mention]] = [[] for _ in images]
    for paragraph in paragraphs:
        for number, panels in _referred(paragraph, index).items():
            if not _is_own(paragraph, images[number]):
                mentions[number].append(Mention(list(paragraph.path), paragraph.text, list(dict.fromkeys(panels))))
    return mentions


class _Index:
    """Images by element id, and by the number of their label within a (sub-)article."""

    def __init__(self, images: Sequence[Image], labels: Sequence[str | None]) -> None:
        self.by_id: dict[str, list[int]] = {}
        self.by_number: dict[tuple[Element, str, str], list[int]] = {}
        for position, (image, label) in enumerate(zip(images, labels, strict=True)):
            for id_ in image.ids:
                self.by_id.setdefault(id_, []).append(position)
            citation = _label_number(label)
            if citation is not None:
                self.by_number.setdefault((image.scope, citation.kind, citation.number), []).append(position)

    def linked(self, xref: Element) -> list[int]:
        """Images that a cross-reference points at."""
        return [position for rid in (xref.get("rid") or "").split() for position in self.by_id.get(rid, [])]

    def named(self, scope: Element, kind: str, number: str) -> list[int]:
        """Images whose label has this number."""
        return self.by_number.get((scope, kind, number), [])


def _referred(paragraph: Paragraph, index: _Index) -> dict[int, list[str]]:
    """Positions of the images that a paragraph refers to, with the panels it names."""
    referred: dict[int, list[str]] = {}
    if index.by_id.keys().isdisjoint(paragraph.targets) and not find_citations(paragraph.text):
        return referred

    def add(positions: list[int], panels: Sequence[str] = ()) -> None:
        for position in positions:
            referred.setdefault(position, []).extend(panels)

    text, scope = paragraph.text, paragraph.scope
    starts, ends = [span.start for span in paragraph.xrefs], [span.end for span in paragraph.xrefs]
    explained: set[int] = set()
    previous: Citation | None = None
    for citation in find_citations(text):
        over = range(bisect_right(ends, citation.start), bisect_left(starts, citation.end))
        named = index.named(scope, citation.kind, citation.number)
        if over:
            linked = [position for n in over for position in index.linked(paragraph.xrefs[n].element)]
            add(linked)
            # One cross-reference may hold several numbers ("Figs. 1A-3B"), of which it links the first only.
            beside = named if linked and not explained.isdisjoint(over) else linked
            add([position for position in linked if position in named] or beside, citation.panels)
        elif citation.is_certain and not _SUPPLEMENT.match(text, citation.end):
            add(named, citation.panels)
        explained.update(over)
        if citation.ends_range and previous is not None:
            for number in _between(previous.number, citation.number):
                add(index.named(scope, citation.kind, number))
            if previous.number == citation.number and previous.panels and citation.panels:
                panels = expand_letters(f"{previous.panels[-1]}-{citation.panels[0]}")
                add(index.named(scope, citation.kind, citation.number), panels)
        previous = citation
    last: tuple[Span, list[int]] | None = None
    for n, span in enumerate(paragraph.xrefs):
        positions = index.linked(span.element)
        if not positions:
            continue
        if n not in explained:
            add(positions, _panels_at(text, span))
            if last is not None and re.fullmatch(rf"\s*[{_DASH}]\s*", text[last[0].end : span.start]):
                add(list(range(last[1][-1] + 1, positions[0])))
        last = (span, positions)
    return referred


def _is_own(paragraph: Paragraph, image: Image) -> bool:
    """Whether a paragraph belongs to the caption or content of the image's own figure or of its group."""
    nearest = next(
        (element for element in reversed(paragraph.floats) if element.tag not in ("supplementary-material", "media")),
        None,
    )
    return nearest is not None and any(nearest is own for own in (image.carrier, image.wording, image.group))


def _items(text: str, word: re.Match[str]) -> Iterator[Citation]:
    name = word["word"].lower()
    kind = {"f": "figure", "t": "table"}.get(name[0], "scheme")
    before = _SERIES_BEFORE.search(text, max(0, word.start() - _LONGEST_SERIES), word.start())
    series = (before.lastgroup if before else None) or ""
    position, joint = word.end(), None
    while item := _ITEM.match(text, position):
        letters = item["attached"] or item["bracketed"] or item["apart"]
        ends_range = joint is not None and joint["range"] is not None
        yield Citation(
            kind=kind,
            number=_number(item["number"], series),
            panels=expand_letters(letters) if letters else (),
            start=item.start(),
            end=item.end(),
            ends_range=ends_range,
            is_certain=joint is None or ends_range or name.endswith("s"),
        )
        joint = _NEXT.match(text, item.end())
        if joint is None:
            return
        position = joint.end()


def _number(number: str, series: str) -> str:
    """A number with its series: supplementary, extended data and appendix figures are counted apart."""
    plain = number.upper().replace("-", "")
    return plain if plain.startswith(series) else series + plain


def _label_number(label: str | None) -> Citation | None:
    """What a label says it is: ``Figure 2.`` is figure 2; ``Figure 3—figure supplement 1`` is no numbered item."""
    if label is None:
        return None
    word = _LABEL.match(label) and _WORD.search(label)
    citation = None if word is None else next(_items(label, word), None)
    if citation is None or _SUPPLEMENT.match(label, citation.end):
        return None
    return citation


def _between(first: str, last: str) -> list[str]:
    """Numbers strictly between the ends of a range in the same series."""
    a, b = re.fullmatch(r"([A-Z]*)(\d+)", first), re.fullmatch(r"([A-Z]*)(\d+)", last)
    if a is None or b is None or b[1] not in ("", a[1]) or int(b[2]) - int(a[2]) > _LONGEST_RANGE:
        return []
    return [f"{a[1]}{number}" for number in range(int(a[2]) + 1, int(b[2]))]


def _panels_at(text: str, span: Span) -> tuple[str, ...]:
    """Panels named in a cross-reference or right behind it."""
    item = _ITEM.search(text, span.start)
    if item is None or item.start() >= span.end:
        return ()
    letters = item["attached"] or item["bracketed"] or item["apart"]
    return expand_letters(letters) if letters else ()
