"""The marks of panels in a caption by letters, style by style: in brackets, emphasised, with punctuation, by words.

What stands around a marker says whether it leads what it describes (``(A) Wild type. (B) Mutant.``), trails it (``heart
rate (A), pressure (B)``), or refers to another panel (``as shown in (A)``): that is its *lean*
(:mod:`biomedica_ray.jats.lean`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from biomedica_ray.jats.joints import DASH, DASHES, INDEX, JOINT, ROMAN_INDEX, TO_WORDS, expand_letters
from biomedica_ray.jats.lean import Hint, Marker, lean_of

__all__ = ["Hint", "Marker", "expand_letters", "lettered", "letters", "may_have_any"]

_UPPER = rf"[A-Z]{ROMAN_INDEX}(?![A-Za-z\d])"
_LOWER = rf"[a-z](?:\.\d)?{INDEX}(?![A-Za-z\d])"
_LETTERS = rf"(?:{_UPPER}(?:{JOINT}{_UPPER})*|{_LOWER}(?:{JOINT}{_LOWER})*)"
_PANEL_NOUN = "[Pp]anels?|[Ff]ig(?:ure)?s?|[Ii]mages?|[Pp]arts?|[Gg]raphs?|[Pp]lots?|[Dd]iagrams?"
# Nouns that open a part together with its letter, where a sentence begins with them.
_NOUNS = re.compile(
    r"(?:\b[Pp]anels?|\b[Ss]ub-?(?:figure|plot|panel)s?"
    r"|(?:\A|(?<=[.;:]\s)|(?<=\n))(?:[Pp]lots?|[Gg]raphs?|[Ii]mages?|[Ff]igures?|[Pp]arts?|[Dd]iagrams?))\s\Z"
)
_PANEL = rf"(?:(?:{_PANEL_NOUN})\.?\s*)"
# Each begins with a plain character, so that the engine can run to it. Behind a letter a bracket belongs to a name,
# poly(A), unless it is glued to the end of a long word and a sentence begins behind it.
_BRACKETED = re.compile(
    rf"[(\[](?:(?<![A-Za-z\d][(\[])|(?<=[a-z]{{5}}[(\[])(?=[A-Za-z][)\]]\s?[A-Z]))"
    rf"\s*{_PANEL}?({_LETTERS})\s*(?:(?:,|(?<=[(\[][A-Za-z])[:;])\s*[^()\[\];:]{{3,40}}|[.:])?\s*[)\]]:?"
)
# The letter behind what a bracket says: "(ANP; F)".
_ENDS_BRACKET = re.compile(rf"[(\[][^()\[\]]{{2,60}};\s{_PANEL}?({_LETTERS})\s?[)\]]")
_HALF_BRACKETED = re.compile(rf"(?:(?<![\w(\[{DASHES}.'])|(?<=[a-z][a-z]\.))({_LETTERS})\s?\)\.?(?=\s*\S)")
_BOUNDARY = r"(?:(?<=[.;:!?)\]]\s)|(?<=\n)|\A)"
_PUNCTUATED = re.compile(
    # One class of characters in front, so that the engine can run from one to the next; a space only before "and".
    rf"(?P<opener>[.;:!?)\]\n,&\s])(?:(?<![^\S\n])(?:\sand)?\s?|(?P<and>and\s)(?=[A-Za-z],\s))({_LETTERS})"
    r"(?:\s?\||/(?=\s)|[,;](?=\s+\S)|[:.](?!\d\s)(?=\s*\S)|\s?=(?!\s*[-\u2212]?\d)|\.-|\s?[\u2013\u2014]\s?(?![A-Za-z]\b|\s)"
    r"|\s-\s?(?=\S)|-\s?(?=[A-Z]\w)|(?=\n))"
)
_CLAUSE_OPENS = r"(?:(?<=[,;]\s)|(?<=[,;]\sand\s)|(?<=[,;]\swhile\s)|(?<=[,;]\swhereas\s))"
_WORDED = re.compile(
    rf"(?:{_BOUNDARY}|{_CLAUSE_OPENS}(?=(?:in\s)?[Pp]anel))(?:(?:[Ii]n\s+)?(?:[Pp]anels?|[Ff]ig(?:ure)?s?\.?\s*\d+|[Ff]ig(?:ure)?\.?\s(?=[A-Z][:.)])|[Ss]ub-?(?:figure|plot|panel)s?|(?:[Pp]art|[Gg]raph|[Ii]mage|[Pp]lot"
    rf"|[Dd]iagram|[Pp]hoto|[Pp]hotograph|[Cc]hart|[Mm]ap)s?)\s?[(\s]?|(?:In|En|Em)\s(?=[A-Z],\s[a-z]))({_LETTERS})\)?[.:,)\u2013\u2014-]?"
    r"(?=\s*\S)(?!\s(?:of|vs)\b)"
)
# How these begin, so that the engine can run from one to the next.
_WORDS = re.compile(
    "Panel|panel|Fig|fig|Sub|sub|Part|part|Graph|graph|Image|image|Plot|plot|Diagram|diagram|Photo|photo|Chart|chart|Map|map"
    "|In |En |Em |in panel|in Panel"
)
_DOTTED = re.compile(rf"{_BOUNDARY}([a-zA-Z]\.\d)[.:,)]?\s(?=\S)")
_TRAILING_LETTER = re.compile(rf",\s({_LETTERS})(?=[;.](?:\s|\Z))")
_EMPHASISED = re.compile(rf"{_PANEL}?[(\[]?\s*({_LETTERS})\s*[)\]]?[.,:;|]?")
# A letter that can begin a marker, a numeral, or a word of place: captions without any have no panels.
_ANY = re.compile(
    r"(?<![A-Za-z])(?:[Aa1Ii](?=[\d'\u2019\u2032-\u2034iv.]*\s?[)\].,:;|\-\u2010-\u2015\u2212~/&=]|\s)|[b-zB-Z][,)\]\-\u2013]"
    r"|[B-Z]\s?[.:]|Ia\)|\d{1,2}A\s)|[a-z]\(?[Aa]\)|\b(?:[Uu]pp|[Tt]op|[Ll]eft|[Aa]bove|A[i1]\b)"
)
# Letters side by side, "(a) (c)", "b, c", "(A) and (B)", mark what follows together.
_ADJACENT = re.compile(rf"(?:\s*|{JOINT})")
# A letter in front of these stands for a value, or for a level of significance.
_STANDS_FOR = re.compile(
    r"[\s,:]*(?:=\s*[-\u2212]?\d|[*]*[Pp][\s-]*(?:values?\s*)?[<>=\u2264\u2265]|vs\b|versus\b"
    r"|(?:very |not )?significant(?:ly)? (?:differen(?:t|ce)|at|from|vs|versus|compared|increase|decrease|higher"
    r"|lower)s?\b"
    r"|(?:indicates?|denotes?|represents?) (?:a )?significan|different letters|adjusted (?:for|by)|Adjusted (?:for|by))"
)
# A full stop behind these ends no sentence.
_ABBREVIATED = (
    *(" Fig. ", " Figs. ", " fig. ", " figs. ", " vs. ", " al. ", " sp. ", " No. ", " no. ", " cf. ", " ca. "),
    *(" i.e. ", " e.g. "),
)
_MOST_KEYS = 10
"""Letters that equal something are panels up to here, and the key to a figure's codes beyond."""


def may_have_any(caption: str) -> bool:
    """Whether a look at the caption finds anything that could mark a panel; most captions have nothing."""
    return _ANY.search(caption) is not None


def letters(caption: str, hints: Sequence[Hint]) -> list[list[Marker]]:
    """The markers by letters, style by style."""
    styles = []
    if "(" in caption or "[" in caption:
        found = _lettered(_BRACKETED, caption)
        if "-ii)" in caption:
            found = sorted([*(m for m in found if "i" not in m.labels), *_subdivided(caption)], key=lambda m: m.start)
        if ";" in caption:
            behind = [lettered(expand_letters(m[1]), m.start(), m.end(), -1) for m in _ENDS_BRACKET.finditer(caption)]
            found = sorted([*found, *behind], key=lambda marker: marker.start)
        styles.append(found)
    styles.append(_emphasised([hint for hint in hints if hint.style == "bold"], caption, least=-9))
    if caption.count(")") > caption.count("("):
        found = _lettered(_HALF_BRACKETED, caption)
        styles.append([marker for marker in found if not _is_in_brackets(marker, caption)])
    styles.append(_punctuated(caption))
    if worded := _worded(caption):
        styles.append(worded)
    styles.append(_emphasised([hint for hint in hints if hint.style == "italic"], caption, least=3))
    if ", " in caption:
        styles.append(_lettered(_TRAILING_LETTER, caption, lean=-2))
    if ".1" in caption:
        styles.append(_lettered(_DOTTED, caption, lean=3))
    return styles


_SUBDIVIDED = re.compile(r"\(([a-h]-(?:i{1,3}|iv|vi{0,3}))\)")


def _subdivided(caption: str) -> list[Marker]:
    """Small letters with a numeral, ``(a-i) ... (a-ii)``, which by itself is a range."""
    return [
        lettered((match[1],), match.start(), match.end(), lean_of(caption, match.start(), match.end()))
        for match in _SUBDIVIDED.finditer(caption)
    ]


def _worded(caption: str) -> list[Marker]:
    """Letters behind words: ``Panel A shows``."""
    matches: list[re.Match[str]] = []
    for word in _WORDS.finditer(caption):
        if (match := _WORDED.match(caption, word.start())) and (not matches or match.start() >= matches[-1].end()):
            matches.append(match)
    return [marker for marker in _of_matches(matches, caption, 3) if not _is_in_brackets(marker, caption)]


def lettered(labels: tuple[str, ...], start: int, end: int, lean: int) -> Marker:
    """A marker by letters."""
    return Marker(labels, tuple(ord(label[0].upper()) - 64 for label in labels), start, end, lean)


def _lettered(pattern: re.Pattern[str], caption: str, lean: int | None = None) -> list[Marker]:
    """The markers of a style, with the lean that the style has or that each one's surroundings give."""
    return _of_matches(pattern.finditer(caption), caption, lean)


def _of_matches(matches: Iterable[re.Match[str]], caption: str, lean: int | None) -> list[Marker]:
    found = []
    for match in matches:
        labels = expand_letters(match[1])
        # H&E is a stain.
        if names_panel(caption, match.end()) and (len(labels) == 1 or list(labels) == sorted(labels)):
            start = match.start()
            if noun := _NOUNS.search(caption, max(0, start - 10), start):
                start = noun.start()
            found.append(lettered(labels, start, match.end(), lean or 0))
    return _merged(found, caption, lean)


def _punctuated(caption: str) -> list[Marker]:
    """Letters with punctuation at the start of a sentence, or of an item in a list."""
    found: list[Marker] = []
    keys: list[Marker] = []
    # The caption's own start is a boundary like the others.
    text = f"\n{caption}"
    for match in _PUNCTUATED.finditer(text):
        start, end = match.start(3) - 1, match.end() - 1
        labels = expand_letters(match[3])
        if not names_panel(caption, end) or caption.endswith(_ABBREVIATED, 0, start):
            continue
        if caption[end : end + 1] == "\n" and start and caption[start - 1] != "\n":
            continue
        if caption[end - 1] != ":" and caption.rfind("(", 0, start) > caption.rfind(")", 0, start):
            continue
        marker = None
        if match["and"] or match["opener"] in ",&":
            # A list of letters, or initials, unless the letter has a mark of its own.
            if match["and"] or caption[end - 1] not in ",;":
                marker = lettered(labels, start, end, 2)
        elif len(text[match.start() : match.start(3)]) > 1 or match["opener"] == "\n" or _ends_unspaced(text, match):
            marker = lettered(labels, start, end, 3)
        if marker is not None:
            (keys if caption[end - 1] == "=" else found).append(marker)
    if len(keys) <= _MOST_KEYS:
        found = sorted([*found, *keys], key=lambda marker: marker.start)
    return _merged(found, caption, 3)


def _ends_unspaced(text: str, opener: re.Match[str]) -> bool:
    """Whether the sentence before is in Chinese or Japanese, which have no space behind a full stop."""
    return "\u3040" <= text[opener.start() - 1 : opener.start()] < "\uac00"


def _emphasised(hints: Sequence[Hint], caption: str, least: int) -> list[Marker]:
    markers = [
        lettered(expand_letters(match[1]), hint.start, hint.end, 0)
        for hint in hints
        if hint.end - hint.start < 20
        and (match := _EMPHASISED.fullmatch(caption, hint.start, hint.end))
        and names_panel(caption, hint.end)
        and not _is_bracketed(hint, caption)
    ]
    return [marker for marker in _merged(markers, caption, None) if marker.lean >= least]


def _is_bracketed(hint: Hint, caption: str) -> bool:
    """Whether emphasis lies in a marker in brackets: ``(**A** and **B**)``."""
    bracket = _BRACKETED.match(caption, max(0, caption.rfind("(", 0, hint.start + 1)))
    return bracket is not None and bracket.end() > hint.start


def names_panel(caption: str, end: int) -> bool:
    """Whether what follows a letter is not the value or the significance that the letter stands for."""
    return not _STANDS_FOR.match(caption, end)


def _merged(markers: Sequence[Marker], caption: str, lean: int | None) -> list[Marker]:
    """Markers side by side as one, each with its lean, or the one given."""
    merged: list[Marker] = []
    for marker in markers:
        if merged and _ADJACENT.fullmatch(caption, merged[-1].end, marker.start):
            between = caption[merged[-1].end : marker.start].strip()
            if between == "or" and marker.ordinals[0] < merged[-1].ordinals[-1]:
                merged.append(marker)
                continue
            last = merged.pop()
            joint = "-" if re.fullmatch(DASH, between) or between in TO_WORDS else ","
            labels = expand_letters(f"{','.join(last.labels)}{joint}{','.join(marker.labels)}")
            merged.append(lettered(labels, last.start, marker.end, marker.lean))
        else:
            merged.append(marker)
    if lean is not None:
        return merged
    return [lettered(m.labels, m.start, m.end, lean_of(caption, m.start, m.end)) for m in merged]


def _is_in_brackets(marker: Marker, caption: str) -> bool:
    return caption.rfind("(", 0, marker.start) > caption.rfind(")", 0, marker.start)
