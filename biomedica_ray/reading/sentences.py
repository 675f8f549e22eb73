"""Where sentences of scientific prose begin and end.

The libraries for this are heavy (spaCy), fetch their models when they run (NLTK) or are no longer maintained (pySBD,
syntok), while a caption needs little: two sentences taken for one do no harm here, one cut at ``Fig. 2`` does.
"""

from __future__ import annotations

import re

_END = re.compile(r"[.!?]+[\"'”’»)\]]*(?=\s)|[。！？]|\n")
_OPENING = re.compile(r"[\s\"'“‘«(\[*]*")
_ABBREVIATION = re.compile(
    r"(?<![\w.])(?:(?:[^\W\d_]\.)+[^\W\d_]|[A-Z]|(?i:al|figs?|tabs?|eqs?|refs?|nos?|vols?|pp|ch|chap|sects?|suppl?|"
    r"vs|cf|ca|viz|resp|approx|spp?|subsp|var|st|drs?|profs?|mrs?|ms|jr|sr|inc|ltd|co|corp|dept|univ|"
    r"jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec))\Z"
)
"""What precedes a full stop that does not end a sentence: e.g, an initial or genus (E. coli), but not a unit (24 h)."""
_LONGEST_ABBREVIATION = 12
_WORD = re.compile(r"[^\W\d_]{2}|[^\x00-\x7f]")


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence, in order; between and around them lies nothing but whitespace.

    A sentence ends at a full stop, question or exclamation mark that whitespace follows and then no lower-case letter,
    unless the full stop belongs to an abbreviation, and at the end of a line. A number or marker alone (``1.``) is a
    part of the sentence after it.
    """
    spans = []
    start = 0
    for found in _END.finditer(text):
        if _WORD.search(text, start, found.start()) and _ends(text, found):
            spans.append((start, found.end()))
            start = found.end()
    spans.append((start, len(text)))
    return [span for span in (_stripped(text, *span) for span in spans) if span[0] < span[1]]


def word_spans(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Start and end of each word between two places of a text."""
    return [found.span() for found in re.compile(r"\S+").finditer(text, start, end)]


def _ends(text: str, found: re.Match[str]) -> bool:
    if found[0] == "\n":
        return True
    opening = _OPENING.match(text, found.end())
    following = text[opening.end() : opening.end() + 1] if opening else ""
    if following.islower():
        return False
    stop = found.start()
    return not (found[0] == "." and _ABBREVIATION.search(text, max(0, stop - _LONGEST_ABBREVIATION), stop))


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())
