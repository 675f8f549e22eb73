"""Whether a text that names a figure means one of another work: ``Figure 2 of Smith et al.``, ``ref. 12, Fig. 2``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from biomedica_ray.jats.text import Span

_WINDOW = 60
_NAME = r"[A-Z][\w'\u2019-]+"
_AUTHORS = (
    rf"(?!(?:Materials?|Methods?|Results?|Section|Supp\w+)\s){_NAME}"
    rf"(?:'s|\u2019s)?(?:,?\s(?:et\sal\b|and\scolleagues|(?:and|&)\s{_NAME})|,?\s[(\[]?(?:19|20)\d\d)"
)
_WORK = (
    r"(?:paper|article|work|study|publication|report|review|book|reference|manuscript|patent|preprint|supplement)s?\b"
)
_OF = r"\s?,?\s(?:of|in|from|by)\s(?:the\s)?"
_BEHIND = re.compile(
    rf"\stherein\b|(?:\s?\([^()]{{0,30}}\))?{_OF}"
    rf"(?:[Rr]efs?\b|[Rr]eferences?\s?[\[(]?\d|[\[(]\d|{_AUTHORS}|[Ss]upp|SI\b|ESI\b|[Oo]nline\b|[Ee]lectronic\s|[Aa]dditional\s[Ff]ile"
    rf"|[Aa]ppendix|[Ww]eb\s|(?:File|Text|Data|Note)\sS?\d|S\d+\s(?:File|Text|Appendix|Data)"
    rf"|(?:\w+\s){{0,2}}?(?:original|companion|accompanying|cited|previous|earlier|aforementioned)\s(?:\w+\s)?{_WORK}"
    rf"|(?:an?\s)?(?:\w+\s)?{_WORK}\s(?:of|by)\s{_NAME}|that\s(?:\w+\s)?{_WORK}|(?:our|their|his|her)\s(?:\w+\s){{0,2}}?{_WORK})"
)
_BEFORE = re.compile(
    r"(?:et\sal\.?(?:'s|\u2019s)|\b[A-Z]\w+(?:'s|\u2019s)|\b(?:[Tt]heir|[Hh]is|[Hh]er)|\b[Rr]efs?\.?\s?[\[(]?\d+[\])]?,|\[\d+,"
    r"|\([^()]*[A-Z][^()]*\W(?:19|20)\d\d[a-z]?[,:]|(?:[A-Z]\w+|\bal\.?)\s\((?:19|20)\d\d[a-z]?[,:;]|\bal\.?,?\s\[\d+\],|\(\[\d+\],|et\sal\.?\s\()\s?(?:see\s|in\s|their\s)?\Z"
)
_OURS = re.compile(r"\bour\s")
# What the word before a figure ends with where it gives the figure to somebody.
_GIVING = (": ", "'s ", "\u2019s ", "heir ", "his ", "her ", ", ", "; ", "see ", " in ", ",", "al. (", "al (")
_NOTE = re.compile(rf"{_OF}(?:[Rr]ef\w*\.?\s?)?[\[(]?")


def is_elsewhere(text: str, start: int, end: int, notes: Sequence[Span], *, is_reply: bool = False) -> bool:
    """Whether the words around a named figure give it to another work, or to a supplement.

    Args:
        text: A paragraph.
        start: Offset of the word ``Figure``.
        end: Offset behind its last number and panel.
        notes: Where references to the literature lie in the text.
        is_reply: Whether the paragraph is of a reply or a review, in which ``our paper`` is the article.
    """
    before = text[max(0, start - _WINDOW) : start]
    if before.endswith(_GIVING) and _BEFORE.search(before):
        return True
    behind = _BEHIND.match(text, end)
    if behind is not None and not (is_reply and _OURS.search(behind[0])):
        return True
    return is_of_cited(text, end, notes)


def is_of_cited(text: str, end: int, notes: Sequence[Span]) -> bool:
    """Whether a reference to the literature stands right behind ``Figure 2 in``."""
    of = _NOTE.match(text, end) if notes else None
    # The bracket of a reference may be part of its element or stand before it.
    return of is not None and any(
        of.end() - 1 <= note.start <= of.end() and note.element.get("ref-type") == "bibr" for note in notes
    )
