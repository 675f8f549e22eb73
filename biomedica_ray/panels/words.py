"""What a caption says of each of its panels, and what it says of all of them.

A caption's parts, as :mod:`biomedica_ray.jats.panels` cuts it, are about one panel or a few. What stands before the
first (the title) and sentences that close the last (scale bars, abbreviations, statistics, credits) are about all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from biomedica_ray.jats.joints import JOINT, expand_letters

_OPENERS = (
    r"(?:(?:the|all)\s)?(?:scale\s?-?bars?|size bars?|bars?\b|error bars?|whiskers|box(?:es)?\s?plots?|note\b|data\b)",
    r"values?\b|results?\b|numbers?\b|magnifications?|original magnification|statistic|significan|asterisks?|stars\b",
    r"source data|source\b|reproduced|adapted|modified from|reprinted|permission|created (?:with|in|using)|courtesy",
    r"images? courtesy|photo(?:s|graphs)? (?:by|courtesy)|credits?\b|copyright|©|see (?:also|text|table|supp|material)",
    r"for (?:interpretation|all|each|more|further)|(?:full|further|more) details|each (?:experiment|dot|point|symbol)",
    r"all (?:experiments|images|panels|graphs|measurements|tests|scale)|(?:shown|presented|plotted) are",
    r"representative of|experiments? w",
    r"mean\b|n\s?=|n\.s\.|ns\b|[*#†‡±µ]|\(?p[\s-]?(?:values?|[<=>≤≥])|two-tailed|one-way|student|doi\b|https?:",
)
_CLOSING = re.compile("|".join(_OPENERS), re.IGNORECASE)
"""How a sentence begins that closes a caption, with others of that kind after it."""
_ALL_AFTER = re.compile(
    r"(?:in|for|throughout)\s(?:all|each)\s(?:of\s)?(?:the\s)?panels?\b|abbreviations?\b", re.IGNORECASE
)
"""How one begins with which, and with whatever follows, a caption speaks of all its panels."""
_ABBREVIATIONS = re.compile(
    r"(?:[A-Za-z][\w/+\-\u2013]{0,9}(?:,|:|\s?=|\sindicates|\smeans)\s[^.;]{3,80}(?:;|,(?=\s[A-Z]{2})|\.?\Z)\s*){2,}"
)
_SENTENCE = re.compile(r"(?<=[.!?)])\s+(?=[(\[*#†‡A-Z0-9]|[np]\s?[=<])")
_LETTERS = re.compile(rf"\w{{1,4}}['\u2032]?(?:{JOINT}\w{{1,4}}['\u2032]?)*")
_BEGIN = re.compile(r"\s*[(\[]?\s*(?:(?:panels?|figs?\.?|figures?)\s+)?", re.IGNORECASE)
_END = re.compile(r"\s?(?:[)\]][.:,;]?|[.:,;)|]|[\u2013\u2014-](?=\s))(?=\s|[A-Z(\[]|\Z)\s*")
_WORD = re.compile(r"[^\W\d_]{2}|\d")
_LONGEST_MARKER = 80
_BARE = re.compile(r"\w\d?\s[A-Z]")
"""A letter that is set apart by bold type alone: ``d Young beetle``."""
_ARTICLES = ("A", "I")
_TRAILING = re.compile(r"\s*[(\[](?P<letters>[^()\[\]]{1,60})[)\]]\s*[.,;:]?\s*(?:and|or)?\s*\Z")


class CaptionWords(NamedTuple):
    """What a caption says.

    Attributes:
        parts: For each of its parts the words about those panels, without the marker.
        context: What is about all panels, in the order of the caption; "" where there is nothing.
    """

    parts: list[str]
    context: str


def caption_words(caption: str, parts: Sequence[Mapping[str, Any]]) -> CaptionWords:
    """Tell the words of a caption's parts from those about all panels.

    Args:
        caption: The caption.
        parts: Its parts in order: label, text, start and end, as in the figures table.
    """
    if not parts:
        return CaptionWords([], caption.strip())
    own = [without_marker(part["text"], part["label"]) for part in parts]
    own = [text if _WORD.search(text) else "" for text in own]
    last = max(range(len(parts)), key=lambda number: int(parts[number]["end"]))
    own[last], closing = _closing(own[last])
    opening = caption[: parts[0]["start"]].strip()
    return CaptionWords(own, " ".join(text for text in (opening, closing) if text))


def without_marker(text: str, label: str) -> str:
    """A part without the marker that leads or trails it: ``(A, B) Mice.`` is ``Mice.``, and ``(B)`` is nothing."""
    begin = _BEGIN.match(text)
    start = begin.end() if begin else 0
    for end in _END.finditer(text, start, _LONGEST_MARKER):
        if _names(text[start : end.start()].strip(), label):
            return text[end.end() :].strip()
    if _BARE.match(text) and text.startswith(f"{label} ") and label not in _ARTICLES:
        return text[len(label) :].strip()
    found = _TRAILING.search(text)
    return text[: found.start()].strip() if found and _names(found["letters"].strip(), label) else text.strip()


def _names(letters: str, label: str) -> bool:
    if letters == label:
        return True
    return _LETTERS.fullmatch(letters) is not None and ", ".join(expand_letters(letters)) == label


def _closing(text: str) -> tuple[str, str]:
    """A text, and the sentences at its end that are about all panels; its first sentence always stays."""
    starts = [0, *(match.end() for match in _SENTENCE.finditer(text))]
    kept = next((n for n, start in enumerate(starts) if n and _ALL_AFTER.match(text, start)), len(starts))
    while kept > 1:
        end = starts[kept] if kept < len(starts) else len(text)
        sentence = text[starts[kept - 1] : end].strip()
        if not (_CLOSING.match(sentence) or _ABBREVIATIONS.match(sentence)):
            break
        kept -= 1
    if kept == len(starts):
        return text, ""
    return text[: starts[kept]].strip(), text[starts[kept] :].strip()
