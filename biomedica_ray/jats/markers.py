"""The marks of panels in a caption: letters in brackets, emphasised letters, numerals, positions, style by style.

What stands around a marker says whether it leads what it describes (``(A) Wild type. (B) Mutant.``), trails it (``heart
rate (A), pressure (B)``), or refers to another panel (``as shown in (A)``): that is its *lean*.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_DASH = "-\u2010-\u2015\u2212~\u223c"
_JOINT = rf"\s*(?:,\s*(?:and|&)|,|;|/|&|\+|and\b|to\b|through\b|e\b|y\b|[{_DASH}])\s*"
_INDEX = r"(?:\d{1,2}(?:\s?[,-]\s?\d{1,2})*)?['\u2019\u2032-\u2034]{0,3}"
_UPPER = rf"[A-Z]{_INDEX}(?![A-Za-z\d])"
_LOWER = rf"[a-z]{_INDEX}(?![A-Za-z\d])"
_TOKEN = re.compile(rf"\b(?:to|through|and)\b|[A-Za-z]{_INDEX}|[{_DASH}]")
_LETTERS = rf"(?:{_UPPER}(?:{_JOINT}{_UPPER})*|{_LOWER}(?:{_JOINT}{_LOWER})*)"
_PANEL_WORDS = ("Panel ", "panel ", "Panels ", "panels ")
_PANEL = r"(?:[Pp]anels?\.?\s+|[Ff]igs?\.?\s*)"
# Each begins with a plain character, so that the engine can run to it.
_BRACKETED = re.compile(
    rf"[(\[](?<![A-Za-z\d][(\[])\s*{_PANEL}?({_LETTERS})\s*(?:[.:]|,\s*[^()\[\];:]{{3,40}})?\s*[)\]]:?"
)
_HALF_BRACKETED = re.compile(rf"(?<![\w(\[{_DASH}.'])({_LETTERS})\s?\)\.?(?=\s*\S)")
_BOUNDARY = r"(?:(?<=[.;:!?)\]]\s)|(?<=\n)|\A)"
_PUNCTUATED = re.compile(
    rf"(?:(?P<opener>[.;:!?)\]\n,&])(?:\sand)?\s?)({_LETTERS})"
    r"(?:[,|;](?=\s+\S)|[:.](?=\s*\S)|\s?=(?!\s*[-\u2212]?\d)|\.-|\s?[\u2013\u2014]\s?(?![A-Za-z]\b|\s)"
    r"|\s-\s?(?=\S)|-\s?(?=[A-Z]\w)|(?=\n))"
)
_WORDED = re.compile(
    rf"{_BOUNDARY}(?:In\s+)?(?:[Pp]anels?|[Ff]ig(?:ure)?s?\.?\s*\d+)\s?[(\s]?({_LETTERS})\)?[.:,)\u2013\u2014-]?"
    r"(?=\s*\S)"
)
_TRAILING_LETTER = re.compile(rf",\s({_LETTERS})(?=[;.](?:\s|\Z))")
_EMPHASISED = re.compile(rf"{_PANEL}?[(\[]?\s*({_LETTERS})\s*[)\]]?[.,:;|]?")
_ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
_ROMANS = re.compile(
    r"(?<!\w)\((?P<label>(?P<numeral>(?:i{1,3}|iv|vi{0,3}|ix|xi{0,2})(?=\))|(?:I{1,3}|IV|VI{0,3}|IX|XI{0,2}))"
    r"(?P<letter>[a-h]?))\):?"
)
_NUMBERS = re.compile(r"(?<!\w)\((\d{1,2})\):?(?=\s)")
_SIDE = r"(?:[Uu]pper|[Ll]ower|[Tt]op|[Bb]ottom|[Mm]iddle|[Ll]eft|[Rr]ight|[Cc]ent(?:er|re|ral))"
_PLACE = rf"{_SIDE}(?:(?:\s+|-|/){_SIDE})?"
_FIRST_PLACES = ("left", "Left", "top", "Top", "upper", "Upper")
_POSITION = re.compile(
    rf"\(({_PLACE})(?:\s+(?:panel|image|row|column|side)s?)?\):?"
    rf"|(?:{_BOUNDARY}|(?<=,\s))(?:(?:[OoIi]n|[Aa]t)\s+)?(?:[Tt]he\s+)?({_PLACE})"
    r"(?:(?:\s+(?:panel|image|row|column|side|plot|graph|figure)s?)"
    r"(?:[:,.](?=\s)|(?=\s(?:show|depict|display|represent)))|:(?=\s))"
)
# A letter that can begin a marker, or a word of place: captions without either have no panels.
_ANY = re.compile(
    r"(?<![A-Za-z])(?:[Aa1Ii](?=[\d'\u2019\u2032-\u2034]*\s?[)\].,:;|\-\u2010-\u2015\u2212~/&=]|\s)|[b-hB-H]\)|Ia\))"
    r"|\b(?:[Uu]pp|[Tt]op|[Ll]eft)"
)
# Letters side by side, "(a) (c)", "b, c", "(A) and (B)", mark what follows together.
_ADJACENT = re.compile(r"\s*(?:,\s*and|,|&|and|to|[-\u2010-\u2015\u2212~])?\s*")
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
# A letter in front of these stands for a value, or for a level of significance.
_STANDS_FOR = re.compile(
    r"[\s,:]*(?:=\s*[-\u2212]?\d|[*]*[Pp][\s-]*(?:values?\s*)?[<>=\u2264\u2265]|vs\b|versus\b|(?:very |not )?significan"
    r"|(?:indicates?|denotes?|represents?) (?:a )?significan)"
)
_SIGNIFICANCE = re.compile(r"[Pp]\s*[<>=\u2264\u2265]\s*0?\.\d+\s*\Z")
# A full stop behind these ends no sentence.
_ABBREVIATED = (
    " Fig. ",
    " Figs. ",
    " fig. ",
    " figs. ",
    " vs. ",
    " al. ",
    " sp. ",
    " No. ",
    " no. ",
    " cf. ",
    " ca. ",
    " i.e. ",
    " e.g. ",
)
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


def may_have_any(caption: str) -> bool:
    """Whether a look at the caption finds anything that could mark a panel; most captions have nothing."""
    return _ANY.search(caption) is not None


def expand_letters(text: str) -> tuple[str, ...]:
    """The letters that a marker names: ``A, C-E`` is A, C, D, E; a range that runs backwards is just its ends."""
    if len(text) == 1:
        return (text,)
    letters: list[str] = []
    is_range = False
    for token in _TOKEN.findall(text):
        if token in ("and", "to", "through") or not token[0].isalpha():
            is_range = token != "and"
            continue
        if is_range and letters and letters[-1][0] < token[0]:
            letters += map(chr, range(ord(letters[-1][0]) + 1, ord(token[0])))
        letters.append(token)
        is_range = False
    return tuple(dict.fromkeys(letters))


def letters(caption: str, hints: Sequence[Hint]) -> list[list[Marker]]:
    """The markers by letters, style by style."""
    styles = []
    if "(" in caption or "[" in caption:
        styles.append(_lettered(_BRACKETED, caption))
    styles.append(_emphasised([hint for hint in hints if hint.style == "bold"], caption, least=-9))
    if caption.count(")") > caption.count("("):
        found = _lettered(_HALF_BRACKETED, caption)
        styles.append([marker for marker in found if not _is_in_brackets(marker, caption)])
    styles.append(_punctuated(caption))
    if "anel" in caption or caption[:3] in ("Fig", "FIG"):
        styles.append(_lettered(_WORDED, caption, lean=3))
    styles.append(_emphasised([hint for hint in hints if hint.style == "italic"], caption, least=3))
    if ", " in caption:
        styles.append(_lettered(_TRAILING_LETTER, caption, lean=-2))
    return styles


def romans(caption: str, _: Sequence[Hint]) -> list[list[Marker]]:
    """Roman numerals in brackets, alone or with letters: ``(I) ... (II)``, ``(Ia) ... (Ib) ... (II)``."""
    if "(i" not in caption and "(I" not in caption:
        return []
    matches = list(_ROMANS.finditer(caption))
    if "(Ia)" not in caption:
        matches = [m for m in matches if not m["letter"]]
    # How many letters a numeral has is known from the caption alone, so that the series is what occurs in it.
    places = [(_ROMAN.index(m["numeral"].lower()), m["letter"] or "") for m in matches]
    series = sorted(set(places)) if any(letter for _, letter in places) else [(n, "") for n in range(len(_ROMAN))]
    found = [
        Marker((m["label"],), (series.index(place) + 1,), m.start(), m.end(), _lean(caption, m.start(), m.end()))
        for m, place in zip(matches, places, strict=True)
    ]
    return [found]


def numbers(caption: str, _: Sequence[Hint]) -> list[list[Marker]]:
    """Numbers in brackets that lead; others mark parts of the image, compounds or references."""
    if "(1)" not in caption:
        return []
    found = [
        Marker((m[1],), (int(m[1]),), m.start(), m.end(), lean)
        for m in _NUMBERS.finditer(caption)
        if (lean := _lean(caption, m.start(), m.end())) > 1
    ]
    return [found]


def lettered(labels: tuple[str, ...], start: int, end: int, lean: int) -> Marker:
    """A marker by letters."""
    return Marker(labels, tuple(ord(label[0].upper()) - 64 for label in labels), start, end, lean)


def _lettered(pattern: re.Pattern[str], caption: str, lean: int | None = None) -> list[Marker]:
    """The markers of a style, with the lean that the style has or that each one's surroundings give."""
    found = []
    for match in pattern.finditer(caption):
        labels = expand_letters(match[1])
        # H&E is a stain.
        if _names_panel(caption, match.end()) and (len(labels) == 1 or list(labels) == sorted(labels)):
            start = match.start()
            if caption.endswith(_PANEL_WORDS, 0, start):
                start = caption.rindex("anel", 0, start) - 1
            found.append(lettered(labels, start, match.end(), lean or 0))
    return _merged(found, caption, lean)


def _punctuated(caption: str) -> list[Marker]:
    """Letters with punctuation at the start of a sentence, or of an item in a list."""
    found = []
    # The caption's own start is a boundary like the others.
    text = f"\n{caption}"
    for match in _PUNCTUATED.finditer(text):
        start, end = match.start(2) - 1, match.end() - 1
        labels = expand_letters(match[2])
        if not _names_panel(caption, end) or caption.endswith(_ABBREVIATED, 0, start):
            continue
        if caption[end : end + 1] == "\n" and start and caption[start - 1] != "\n":
            continue
        if caption[end - 1] != ":" and caption.rfind("(", 0, start) > caption.rfind(")", 0, start):
            continue
        if match["opener"] in ",&":
            # A list of letters, or initials, unless the letter has a mark of its own.
            if caption[end - 1] not in ",;":
                found.append(lettered(labels, start, end, 2))
        elif len(text[match.start() : match.start(2)]) > 1 or match["opener"] == "\n":
            found.append(lettered(labels, start, end, 3))
    return _merged(found, caption, 3)


def _emphasised(hints: Sequence[Hint], caption: str, least: int) -> list[Marker]:
    markers = [
        lettered(expand_letters(match[1]), hint.start, hint.end, 0)
        for hint in hints
        if hint.end - hint.start < 20
        and (match := _EMPHASISED.fullmatch(caption, hint.start, hint.end))
        and _names_panel(caption, hint.end)
        and not _is_bracketed(hint, caption)
    ]
    return [marker for marker in _merged(markers, caption, None) if marker.lean >= least]


def _is_bracketed(hint: Hint, caption: str) -> bool:
    """Whether emphasis lies in a marker in brackets: ``(**A** and **B**)``."""
    bracket = _BRACKETED.match(caption, max(0, caption.rfind("(", 0, hint.start + 1)))
    return bracket is not None and bracket.end() > hint.start


def _names_panel(caption: str, end: int) -> bool:
    """Whether what follows a letter is not the value or the significance that the letter stands for."""
    return not _STANDS_FOR.match(caption, end)


def _merged(markers: Sequence[Marker], caption: str, lean: int | None) -> list[Marker]:
    """Markers side by side as one, each with its lean, or the one given."""
    merged: list[Marker] = []
    for marker in markers:
        if merged and _ADJACENT.fullmatch(caption, merged[-1].end, marker.start):
            last = merged.pop()
            between = caption[last.end : marker.start].strip()
            joint = "-" if between == "to" or (between and between in _DASH) else ","
            labels = expand_letters(f"{','.join(last.labels)}{joint}{','.join(marker.labels)}")
            merged.append(lettered(labels, last.start, marker.end, marker.lean))
        else:
            merged.append(marker)
    if lean is not None:
        return merged
    return [lettered(m.labels, m.start, m.end, _lean(caption, m.start, m.end)) for m in merged]


def _lean(caption: str, start: int, end: int) -> int:
    """How far what stands around a marker says that it leads (positive) or trails (negative) what it describes."""
    before = caption[max(0, start - _WINDOW) : start].rstrip(" \u00a0")
    after = caption[end : end + _WINDOW].lstrip(" \u00a0")
    opens = not before or before[-1] in ".;:!?\n"
    if start == 0:
        score = 4
    elif opens:
        score = 2
    elif before[-1] in f",&/{_DASH}|" or _BEFORE.search(before):
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


def _is_in_brackets(marker: Marker, caption: str) -> bool:
    return caption.rfind("(", 0, marker.start) > caption.rfind(")", 0, marker.start)


def positions(caption: str) -> list[Marker]:
    """Panels named by where they stand, each once: ``Left: ... Right: ...``, ``... (left) and ... (right)``."""
    found: list[Marker] = []
    if not any(word in caption for word in _FIRST_PLACES):
        return found
    for match in _POSITION.finditer(caption):
        label = match[1] or match[2]
        if all(marker.labels != (label,) for marker in found):
            lean = _lean(caption, match.start(), match.end()) if match[1] else 3
            found.append(Marker((label,), (0,), match.start(), match.end(), lean))
    return found
