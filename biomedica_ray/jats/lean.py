"""A marker of panels, and its lean: whether it leads what it describes, trails it, or refers to another panel."""

from __future__ import annotations

import re
from dataclasses import dataclass

from biomedica_ray.jats.joints import DASHES

# Words behind which a marker leads, unless a clause ends right behind it: "of (a) mice and (b) rats".
_BEFORE = re.compile(
    r"(?:\b(?:of|for|in|on|at|by|with|from|to|the|as|than|shows?|see|shown|between|versus|vs|either|both|are|is"
    r"|showing|involving|comparing|representing|per|In|Note|and|or|e|y|de|da|do|em|including|into|under|against|note|after|before|using|via|only|while|whereas)\.?)\Z"
)
_REFERS = re.compile(r"\b(?:of|for|in|from|to|with|than|see|shown|as|on|by|between|versus|vs|only)\.?\Z")
# What follows a marker that trails: the end of a clause, or a word that goes on with the sentence.
_CLAUSE_END = re.compile(r"[.,;:)\]]|\Z")
_GOES_ON = re.compile(
    r"(?:and|or|in|of|at|on|is|are|was|were|after|before|by|from|with|to|for|as|showing|during|between|following|using"
    r"|than|under|per|against|versus|vs|but|while|whereas|when|e|y|em|that|which|across|among|through|within|without)\b"
    r"|\("
)
_JOINS = re.compile(rf"[,&/|{DASHES}]")
# "Pre- (A) and post-treatment (B)"
_HALF_WORD = re.compile(rf"[a-z][{DASHES}]\Z")
_SIGNIFICANCE = re.compile(r"[Pp]\s*[<>=\u2264\u2265]\s*0?\.\d+\s*\Z")
_WINDOW = 14


@dataclass(slots=True)
class Hint:
    """What the markup of a caption says of one place in it.

    Attributes:
        start: Offset of its first character in the caption.
        end: Offset behind its last character.
        style: ``bold``, ``italic``, or for an item of a lettered list its letter.
    """

    start: int
    end: int
    style: str


@dataclass(slots=True)
class Marker:
    """A marker: the panels it names, the place of each in its series from 1, and which way it leans."""

    labels: tuple[str, ...]
    ordinals: tuple[int, ...]
    start: int
    end: int
    lean: int


def lean_of(caption: str, start: int, end: int) -> int:
    """How far what stands around a marker says that it leads (positive) or trails (negative) what it describes."""
    before = caption[max(0, start - _WINDOW) : start].rstrip(" \u00a0")
    after = caption[end : end + _WINDOW].lstrip(" \u00a0")
    opens = not before or before[-1] in ".;:!?\n"
    if start == 0:
        score = 4
    elif opens:
        score = 2
    elif _HALF_WORD.search(before):
        score = -1
    elif _JOINS.match(before[-1]) or _BEFORE.search(before):
        score = 1
    else:
        score = 0 if before[-1] in ")]\"'\u2019\u201d" else -1
    if _CLAUSE_END.match(after):
        return score - (1 if opens else 3) if after else -4
    if _GOES_ON.match(after):
        return score - 1
    return score + (2 if opens else 1)


def is_reference(marker: Marker, caption: str) -> bool:
    """Whether a marker refers to a panel in passing, or is a level of significance: ``as shown in (A)``."""
    before = caption[max(0, marker.start - _WINDOW) : marker.start].rstrip()
    if _SIGNIFICANCE.search(before):
        return True
    after = caption[marker.end : marker.end + _WINDOW].lstrip()
    return bool(_REFERS.search(before) and (_CLAUSE_END.match(after) or _GOES_ON.match(after)) and after[:1] != "(")
