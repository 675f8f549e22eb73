"""The marks of panels in a caption that has no letters: numerals and numbers, and places (``Left: ... Right: ...``)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from biomedica_ray.jats.lean import Hint, Marker, lean_of

_ROMAN = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x", "xi", "xii")
_ROMANS = re.compile(
    r"(?<!\w)\((?P<label>(?P<numeral>(?:i{1,3}|iv|vi{0,3}|ix|xi{0,2})(?=\))|(?:I{1,3}|IV|VI{0,3}|IX|XI{0,2}))"
    r"(?P<letter>[a-h]?))\):?"
)
# Without brackets only at the start of a sentence: "I, Control. II, Treated."
_PLAIN_ROMANS = re.compile(
    r"(?:\A|(?<=[.;:]\s)|(?<=\n))(?P<label>(?P<numeral>I{1,3}|IV|VI{0,3}|IX|XI{0,2}|i{1,3}|iv|vi{0,3}))(?P<letter>)[,.:](?=\s)"
)
_NUMBERS = re.compile(r"(?<!\w)\((\d{1,2})\):?(?=\s)")
# What is counted here is not pictures.
_ENUMERATION = re.compile(
    r"(?i:\b(?:types|categories|classes|groups|steps|stages|phases|kinds|criteria|reasons|components|factors|domains|questions)\b)"
    r"(?:[^.]|\.\s)*\Z"
)
# What goes on with numerals within its sentence are the parts of a process or a rule.
# Numbers that are the key to the peaks of one curve.
_CURVE = re.compile(r"\b(?:chromatograms?|spectr(?:um|a)|HPLC|peaks?)\b[^.;]{0,30}[:.]\s?\Z", re.IGNORECASE)
_PROCESS = re.compile(
    r"\b(?:via|by|through|using|for|includ\w+|were|are|is|namely|either|undergo\w*|completed|reported|answered|performed)\s?:?\s*\Z"
)
_SIDE = r"(?:[Uu]pper|[Ll]ower|[Tt]op|[Bb]ottom|[Mm]iddle|[Ll]eft|[Rr]ight|[Cc]ent(?:er|re|ral)|[Aa]bove|[Bb]elow)"
_PLACE = rf"{_SIDE}(?:(?:\s+|-|/){_SIDE})?"
_PART = r"(?:panel|image|row|column|side|plot|graph|figure|picture|photo|half|part)s?"
_FIRST_PLACES = ("left", "Left", "top", "Top", "upper", "Upper", "Above", "above")
_SENTENCE = r"(?:(?<=[.;:!?)\]]\s)|(?<=\n)|\A)"
_POSITION = re.compile(
    rf"\(({_PLACE})(?:\s+{_PART})?\):?"
    # With more in the bracket the word for a part has to be there: "(left panel; n = 240)", "(mice, top panel)".
    rf"|\((?:[^()]{{2,60}}[,;]\s)?(?:the\s)?({_PLACE})\s+{_PART}(?:[,;]\s[^()]{{1,60}})?\)"
    rf"|(?:{_SENTENCE}|(?<=,\s))(?:(?:[OoIi]n|[Aa]t)\s+)?(?:[Tt]he\s+)?({_PLACE})"
    rf"(?:(?:\s+{_PART})(?:[:,.](?=\s)|(?=\s(?:show|depict|display|represent)))|:(?=\s))"
    rf"|{_SENTENCE}({_PLACE}),(?=\s)"
)


def romans(caption: str, _: Sequence[Hint]) -> list[list[Marker]]:
    """Roman numerals in brackets, alone or with letters: ``(I) ... (II)``, ``(Ia) ... (Ib) ... (II)``."""
    found = _series(_PLAIN_ROMANS, caption, lean=3) if "II" in caption or "ii" in caption else []
    return [series for series in (_series(_ROMANS, caption), found) if series]


def _series(pattern: re.Pattern[str], caption: str, lean: int | None = None) -> list[Marker]:
    matches = list(pattern.finditer(caption))
    if matches and _PROCESS.search(caption[max(0, matches[0].start() - 20) : matches[0].start()]):
        return []
    if "(Ia)" not in caption:
        matches = [m for m in matches if not m["letter"]]
    # How many letters a numeral has is known from the caption alone, so that the series is what occurs in it.
    places = [(_ROMAN.index(m["numeral"].lower()), m["letter"] or "") for m in matches]
    series = sorted(set(places)) if any(letter for _, letter in places) else [(n, "") for n in range(len(_ROMAN))]
    return [
        Marker(
            (m["label"],), (series.index(place) + 1,), m.start(), m.end(), lean or lean_of(caption, m.start(), m.end())
        )
        for m, place in zip(matches, places, strict=True)
    ]


def numbers(caption: str, _: Sequence[Hint]) -> list[list[Marker]]:
    """Numbers in brackets that lead; others mark parts of the image, compounds or references."""
    if "(1)" not in caption:
        return []
    found = [
        Marker((m[1],), (int(m[1]),), m.start(), m.end(), lean)
        for m in _NUMBERS.finditer(caption)
        if (lean := lean_of(caption, m.start(), m.end())) > 1
    ]
    before = caption[max(0, found[0].start - 80) : found[0].start] if found else ""
    if _ENUMERATION.search(before) or _CURVE.search(before):
        return []
    return [found]


def positions(caption: str) -> list[Marker]:
    """Panels named by where they stand, each once: ``Left: ... Right: ...``, ``... (left) and ... (right)``."""
    found: list[Marker] = []
    if not any(word in caption for word in _FIRST_PLACES):
        return found
    for match in _POSITION.finditer(caption):
        bracketed = match[1] or match[2]
        label = bracketed or match[3] or match[4]
        if all(marker.labels != (label,) for marker in found):
            lean = 3 if not bracketed else -1 if match[2] else lean_of(caption, match.start(), match.end())
            found.append(Marker((label,), (0,), match.start(), match.end(), lean))
    return found
