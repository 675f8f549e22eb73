"""Paragraphs that refer to a figure, by cross-reference or in plain words."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from biomedica_ray.jats.article import Mention
from biomedica_ray.jats.citations import (
    NO_FIGURE,
    Citation,
    Word,
    items_of,
    label_number,
    numbers_between,
    panels_at,
    words_of,
)
from biomedica_ray.jats.elsewhere import is_of_cited
from biomedica_ray.jats.figures import Image
from biomedica_ray.jats.joints import DASH, expand_letters
from biomedica_ray.jats.sections import Paragraph
from biomedica_ray.jats.text import Span
from biomedica_ray.jats.tree import Element

_RANGE = re.compile(rf"\s*{DASH}\s*")


def find_mentions(
    paragraphs: Sequence[Paragraph],
    images: Sequence[Image],
    labels: Sequence[str | None],
    group_labels: Sequence[str | None] = (),
) -> list[list[Mention]]:
    """For each image the paragraphs that refer to it, in document order.

    A paragraph refers to an image by a cross-reference to its figure, by lying between the ends of a range
    (``Figs. 1-3``), or by naming its number where there is no cross-reference. The figure's own caption does not, and
    neither does the number of a figure of another work. A sub-article means its own figures; a translation, a review
    or a reply without a figure of that number means the article's.

    Args:
        paragraphs: All paragraphs of the article.
        images: All images of the article.
        labels: The label of each image.
        group_labels: The label of the group around each.
    """
    mentions: list[list[Mention]] = [[] for _ in images]
    if not images:
        return mentions
    index = _Index(images, labels, group_labels or [None] * len(images))
    for paragraph in paragraphs:
        words = words_of(paragraph.text, index.kinds)
        if not words and not index.is_linked(paragraph.marked.elements):
            continue
        for number, panels in _referred(paragraph, words, index).items():
            if not _is_own(paragraph, images[number]):
                mentions[number].append(Mention(list(paragraph.path), paragraph.text, list(dict.fromkeys(panels))))
    return mentions


class _Index:
    """Images by element id, and by the number of their label within a (sub-)article."""

    def __init__(
        self, images: Sequence[Image], labels: Sequence[str | None], group_labels: Sequence[str | None]
    ) -> None:
        self.by_id: dict[str, list[int]] = {}
        self.by_number: dict[tuple[Element, str, str], list[int]] = {}
        self.letters: dict[int, str] = {}
        kinds: set[str] = set()
        self._scopes = [image.scope for image in images]
        for position, (image, label, group_label) in enumerate(zip(images, labels, group_labels, strict=True)):
            for id_ in image.ids:
                self.by_id.setdefault(id_, []).append(position)
            citation = label_number(label)
            if citation is None and (citation := label_number(group_label)) is not None:
                letter = _LETTER_LABEL.fullmatch(label or "")
                citation = citation._replace(panels=(letter[1],) if letter else ())
            if citation is not None:
                kinds.add(citation.kind)
                self.by_number.setdefault((image.scope, citation.kind, citation.number), []).append(position)
                if len(citation.panels) == 1:
                    self.letters[position] = citation.panels[0].lower()

        self.kinds = frozenset(kinds)

    def is_linked(self, xrefs: Iterable[Element]) -> bool:
        """Whether one of these cross-references points at an image."""
        return any(rid in self.by_id for xref in xrefs for rid in (xref.get("rid") or "").split())

    def linked(self, xref: Element, scope: Element) -> list[int]:
        """Images that a cross-reference points at; where copies of a figure share an id, those of its own part."""
        rids = xref.get("rid") or ""
        if rids in self.by_id:
            found = self.by_id[rids]
        elif " " in rids:
            found = [position for rid in rids.split() for position in self.by_id.get(rid, [])]
        else:
            return []
        return [position for position in found if self._scopes[position] is scope] or found

    def named(self, scope: Element, kind: str, number: str, panels: Sequence[str] = ()) -> list[int]:
        """Images whose label has this number, and where that ends with a letter of a panel one of these letters."""
        found = self.by_number.get((scope, kind, number))
        if found is None and _speaks_of_its_article(scope):
            around = next(scope.iterancestors("article", "sub-article"), None)
            return [] if around is None else self.named(around, kind, number, panels)
        wanted = {panel[0].lower() for panel in panels}
        lettered = [position for position in found or () if self.letters.get(position) in wanted]
        return lettered or found or []


_LETTER_LABEL = re.compile(r"\W*([A-Za-z])\W*")
# Types of sub-article and response that speak of the article's figures.
_ABOUT_THE_ARTICLE = re.compile(r"translat|review|report|letter|reply|response|comment|editor", re.IGNORECASE)


def _speaks_of_its_article(scope: Element) -> bool:
    kind = scope.get("article-type") or scope.get("response-type") or str(scope.tag)
    return scope.tag != "article" and _ABOUT_THE_ARTICLE.search(kind) is not None


def _referred(paragraph: Paragraph, words: Sequence[Word], index: _Index) -> dict[int, list[str]]:
    """Positions of the images that a paragraph refers to, with the panels it names."""
    text, scope, xrefs = paragraph.text, paragraph.scope, paragraph.marked.spans
    links = [index.linked(span.element, scope) for span in xrefs]
    notes = [span for span, linked in zip(xrefs, links, strict=True) if not linked]
    citations = items_of(text, words, notes, is_reply=scope.tag != "article")
    referred: dict[int, list[str]] = {}
    if not citations and len(notes) == len(xrefs):
        return referred

    def add(positions: Iterable[int], panels: Sequence[str] = ()) -> None:
        for position in positions:
            referred.setdefault(position, []).extend(panels)

    starts, ends = [span.start for span in xrefs], [span.end for span in xrefs]
    explained: set[int] = set()
    previous: Citation | None = None
    for citation in citations:
        over = range(bisect_right(ends, citation.start), bisect_left(starts, citation.end))
        named = index.named(scope, citation.kind, citation.number, citation.panels)
        if over:
            # Whoever made the links may have taken any "Fig. 4" for the article's.
            linked = [] if is_of_cited(text, citation.end, notes) else [position for n in over for position in links[n]]
            add(linked)
            # One cross-reference may hold several numbers ("Figs. 1A-3B"), of which it links the first only.
            beside = named if linked and not explained.isdisjoint(over) else linked
            add([position for position in linked if position in named] or beside, citation.panels)
        elif citation.is_elsewhere:
            continue
        elif citation.is_certain and not NO_FIGURE.match(text, citation.end):
            add(named, citation.panels)
        explained.update(over)
        if citation.ends_range and previous is not None:
            for number in numbers_between(previous.number, citation.number):
                add(index.named(scope, citation.kind, number))
            if previous.number == citation.number and previous.panels and citation.panels:
                panels = expand_letters(f"{previous.panels[-1]}-{citation.panels[0]}")
                add(index.named(scope, citation.kind, citation.number), panels)
        previous = citation
    last: tuple[Span, list[int]] | None = None
    for n, (span, positions) in enumerate(zip(xrefs, links, strict=True)):
        if not positions:
            continue
        if n not in explained:
            add(positions, panels_at(text, span))
            if last is not None and _RANGE.fullmatch(text, last[0].end, span.start):
                add(range(last[1][-1] + 1, positions[0]))
        last = (span, positions)
    return referred


def _is_own(paragraph: Paragraph, image: Image) -> bool:
    """Whether a paragraph belongs to the caption or content of the image's own figure or of its group."""
    if not paragraph.floats:
        return False
    nearest = next(
        (element for element in reversed(paragraph.floats) if element.tag not in ("supplementary-material", "media")),
        None,
    )
    return nearest is not None and any(nearest is own for own in (image.carrier, image.wording, image.group))
