"""A caption cut into the parts that describe its panels.

Four ways of marking panels are known, tried on the whole caption; the one that names most panels wins:

- letters in brackets: ``(A) ... (B, C) ... (D-F) ...``;
- emphasised letters: ``**a** ... **b**, **c** ...``;
- letters with punctuation at the start of a sentence: ``A, ... B, ...``, ``A: ... B: ...``, ``A) ... B) ...``;
- position words: ``Left: ... Right: ...``.

Letters count only in their order: each marker has to name the first letter not named yet, so that a later ``(A)`` in
running text, or a ``(C)`` alone, marks nothing. A marker may stand before what it describes, or behind it
(``fluorescence (A) and confocal (B) images``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from biomedica_ray.jats.article import Panel

_DASH = "-\u2010-\u2015\u2212"
_JOINT = rf"\s*(?:,\s*and|,|;|/|&|\+|and\b|to\b|through\b|[{_DASH}])\s*"
_LETTERS = rf"(?:[A-Z](?:{_JOINT}[A-Z](?![a-z]))*|[a-z](?:{_JOINT}[a-z](?![a-z]))*)"
_BRACKETED = re.compile(rf"(?:[Pp]anels?\s+)?[(\[](?:[Pp]anels?\s+)?({_LETTERS})[.:]?[)\]]:?")
_PUNCTUATED = re.compile(
    rf"(?:(?<=[.;:!?)\]]\s)|(?<=\n)|\A)(?:[Pp]anels?\s+)?({_LETTERS})(?:[,:.)|]|\.-)(?=\s+\S)"
    rf"|(?<=[,;]\s)({_LETTERS})\)(?=\s+\S)"
)
_EMPHASISED = re.compile(rf"(?:[Pp]anels?\s+)?({_LETTERS})[.,:;)]?")
_POSITION = re.compile(
    r"(?:(?<=[.;:!?)\],]\s)|(?<=\n)|\A|(?<=\())"
    r"((?:[Uu]pper|[Ll]ower|[Tt]op|[Bb]ottom|[Mm]iddle|[Ll]eft|[Rr]ight|[Cc]ent(?:er|re|ral))"
    r"(?:(?:\s+|-)(?:upper|lower|top|bottom|middle|left|right|cent(?:er|re)))?)"
    r"(?:\s+(?:panels?|images?|rows?|columns?|side))?(?::|\))(?=\s)"
)
# Letters side by side, "(a) (c)", "b, c", "(A) and (B)", mark what follows together.
_ADJACENT = re.compile(r"\s*(?:,|&|and)?\s*")
_SENTENCE_END = re.compile(r"[.:;!?)\]\n]\s*\Z")
_LEADS = re.compile(r"(?:[.:;,!?)\]\n]|\band|&)\s*\Z")
_CLAUSE_END = re.compile(r"\s*(?:[.,;:)]|and\b|or\b|\Z)")


@dataclass(frozen=True, slots=True)
class _Marker:
    letters: tuple[str, ...]
    start: int
    end: int


def split_panels(caption: str, emphasised: Iterable[tuple[int, int]] = ()) -> list[Panel]:
    """Cut a caption at its panel markers.

    Args:
        caption: The caption.
        emphasised: Offsets of its bold and italic parts, in order.

    Returns:
        At least two panels in the order of the caption, which do not overlap; what lies before the first is the
        preamble, and between them lies nothing but whitespace. Empty for a caption without markers.
    """
    emphasis = [
        _Marker(expand_letters(match.group(1)), start, end)
        for start, end in emphasised
        if (match := _EMPHASISED.fullmatch(caption, start, end))
    ]
    candidates = [_lettered(_BRACKETED, caption), emphasis, _lettered(_PUNCTUATED, caption)]
    best: list[_Marker] = []
    for found in candidates:
        for upper in (True, False):
            family = [marker for marker in found if marker.letters[0].isupper() == upper]
            sequence = _in_order(_merged(family, caption))
            if len(sequence) > 1 and _n_letters(sequence) > _n_letters(best):
                best = sequence
    if best:
        labels = [", ".join(marker.letters) for marker in best]
        bounds = _leading(best, caption) if _is_leading(best, caption) else _trailing(best, caption)
        return _panels(caption, labels, bounds)
    positions = list(_POSITION.finditer(caption))
    if len(positions) < 2:
        return []
    starts = [_opened(match.start(), caption) for match in positions]
    return _panels(caption, [match.group(1) for match in positions], [*starts, len(caption)])


def expand_letters(text: str) -> tuple[str, ...]:
    """The letters that a marker names: ``A, C-E`` is A, C, D, E; a range that runs backwards is just its ends."""
    letters: list[str] = []
    is_range = False
    for token in re.findall(rf"to\b|through\b|[{_DASH}]|\band\b|[A-Za-z]", text):
        if token in ("and", "to", "through") or not token.isalpha():
            is_range = token != "and"
        else:
            if is_range and letters and letters[-1] < token:
                letters += map(chr, range(ord(letters[-1]) + 1, ord(token)))
            letters.append(token)
            is_range = False
    return tuple(dict.fromkeys(letters))


def _lettered(pattern: re.Pattern[str], caption: str) -> list[_Marker]:
    return [_Marker(expand_letters(m.group(m.lastindex or 0)), m.start(), m.end()) for m in pattern.finditer(caption)]


def _merged(markers: Sequence[_Marker], caption: str) -> list[_Marker]:
    merged: list[_Marker] = []
    for marker in markers:
        if merged and _ADJACENT.fullmatch(caption, merged[-1].end, marker.start):
            last = merged.pop()
            merged.append(_Marker(tuple(dict.fromkeys(last.letters + marker.letters)), last.start, marker.end))
        else:
            merged.append(marker)
    return merged


def _in_order(markers: Sequence[_Marker]) -> list[_Marker]:
    """Those markers that name the first letter not named before them."""
    seen: set[str] = set()
    chosen: list[_Marker] = []
    for marker in markers:
        awaited = "A" if marker.letters[0].isupper() else "a"
        while awaited in seen:
            awaited = chr(ord(awaited) + 1)
        if awaited in marker.letters:
            chosen.append(marker)
            seen.update(marker.letters)
    return chosen


def _n_letters(markers: Sequence[_Marker]) -> int:
    return len({letter for marker in markers for letter in marker.letters})


def _is_leading(markers: Sequence[_Marker], caption: str) -> bool:
    first = markers[0].start
    if first == 0 or _SENTENCE_END.search(caption, max(0, first - 3), first):
        return True
    return sum(_leads(marker, caption) for marker in markers) * 2 > len(markers)


def _leads(marker: _Marker, caption: str) -> bool:
    """Whether a marker stands before what it describes: a clause ends before it, or a sentence begins behind it."""
    if _CLAUSE_END.match(caption, marker.end):
        return False
    before = _LEADS.search(caption, max(0, marker.start - 5), marker.start)
    return before is not None or caption[marker.end :].lstrip()[:1].isupper()


def _leading(markers: Sequence[_Marker], caption: str) -> list[int]:
    return [*(marker.start for marker in markers), len(caption)]


def _trailing(markers: Sequence[_Marker], caption: str) -> list[int]:
    """Bounds where a marker ends its part; the first part begins with the sentence, the last takes what is left."""
    sentence = max(caption.rfind(end, 0, markers[0].start) + len(end) for end in (". ", "\n", ": ", "; "))
    start = sentence if caption[:sentence].endswith((". ", "\n", ": ", "; ")) else 0
    ends = []
    for marker in markers[:-1]:
        punctuation = re.compile(r"[)\]]*\s*[,;.:]?").match(caption, marker.end)
        ends.append(punctuation.end() if punctuation else marker.end)
    return [start, *ends, len(caption)]


def _opened(start: int, caption: str) -> int:
    return start - 1 if start and caption[start - 1] == "(" else start


def _panels(caption: str, labels: Sequence[str], bounds: Sequence[int]) -> list[Panel]:
    panels = []
    for label, lower, upper in zip(labels, bounds, bounds[1:], strict=False):
        text = caption[lower:upper]
        start = lower + len(text) - len(text.lstrip())
        stripped = text.strip()
        panels.append(Panel(label, stripped, start, start + len(stripped)))
    return panels
