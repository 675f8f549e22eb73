"""What stands between the letters of panels: one list of dashes and of joining words, for captions and mentions."""

from __future__ import annotations

import re

DASHES = r"\-\u2010-\u2015\u2212~\u223c"
"""Dashes, for a class of characters in a pattern."""
DASH = f"[{DASHES}]"
"""Pattern of a dash, as printers set it between the ends of a range."""

AND_WORDS = ("and", "or", "und", "et", "y", "e", "\u0438")
TO_WORDS = ("to", "through", "thru", "bis", "\u00e0")
"""Words that join single letters, and those that join the ends of a range, in the languages of the articles."""

_AND = "|".join(AND_WORDS)
_TO = "|".join(TO_WORDS)
_LONG_AND = "|".join(word for word in AND_WORDS if len(word) > 1)
# Words of one letter could be panels themselves, unless white space is around them: "C e D", but "(c, e and f)".
JOINT = rf"(?:\s*(?:,\s*(?:{_LONG_AND})\b|,\s*&|,|;|/|&|\+|{DASH})\s*|\s(?:{_AND}|{_TO})\s)"
"""Pattern of what joins two letters, white space around it included."""

_DIGITS = rf"\d{{1,2}}(?:\s?[,{DASHES}]\s?\d{{1,2}}(?![A-Za-z\d]))*"
_PRIMES = r"['\u2019\u2032-\u2034]{0,3}"
INDEX = rf"(?:{_DIGITS})?{_PRIMES}"
ROMAN_INDEX = rf"(?:{_DIGITS}|[-\u2010\u2011]?(?:i{{1,3}}|iv|vi{{0,3}})(?![a-z]))?{_PRIMES}"
"""Pattern of what may follow a panel's letter: ``A1``, ``A\u2032``, and behind capitals ``Aii``, ``A-ii``."""

_RANGE = re.compile(rf"\s*(?:{DASH}|(?:{_TO})(?=\s))\s*")
_LABEL = re.compile(rf"[A-Z](?:\.\d)?{ROMAN_INDEX}|[a-z](?:\.\d)?{INDEX}")
_JOINED = re.compile(JOINT)


def expand_letters(text: str) -> tuple[str, ...]:
    """The letters that a marker names: ``A, C-E`` is A, C, D, E; a range that runs backwards is just its ends."""
    if len(text) == 1:
        return (text,)
    letters: list[str] = []
    position = 0
    is_range = False
    while label := _LABEL.match(text, position):
        if is_range:
            letters += _between(letters[-1], label[0])
        letters.append(label[0])
        joint = _JOINED.match(text, label.end())
        if joint is None:
            break
        is_range = _RANGE.fullmatch(joint[0]) is not None
        position = joint.end()
    return tuple(dict.fromkeys(letters))


def _between(first: str, last: str) -> list[str]:
    """What a range leaves out: B for A-C, A2 for A1-A3, B' for A'-C'."""
    if first[0] == last[0] and first[1:].isdecimal() and last[1:].isdecimal():
        return [f"{first[0]}{number}" for number in range(int(first[1:]) + 1, int(last[1:]))]
    index = first[1:] if first[1:] == last[1:] else ""
    return [f"{chr(place)}{index}" for place in range(ord(first[0]) + 1, ord(last[0]))]
