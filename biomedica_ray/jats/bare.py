"""Letters of panels that nothing sets off, as plain text has them: ``a Survival. b Relapse.``, ``7A Body 7B Head``.

A bare letter is nearly always something else, so that these are tried where a caption has no other markers, and only
whole series count: from A on in order, each once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from biomedica_ray.jats.joints import JOINT, expand_letters
from biomedica_ray.jats.lean import Hint, Marker
from biomedica_ray.jats.markers import lettered, names_panel
from biomedica_ray.jats.stems import has_any

_OPENS = r"(?:\A|(?<=[.;:]\s)|(?<=\n))"
# The first letter of a series with what follows it, and the series; most captions lack the first.
_SENTENCES = (
    # No sentence begins with a small letter; with a capital one it does, so that a capital has to follow: "A Map".
    (
        re.compile(r"a(?:,\sb)?\s[A-Z(\d\u0370-\u03ff]"),
        re.compile(rf"{_OPENS}(?P<letter>[a-z](?:{JOINT}[a-z])*)\s(?=[A-Z(\d\u0370-\u03ff])"),
    ),
    (
        re.compile(r"A\s(?:[A-Z][A-Za-z]|A\s)"),
        re.compile(rf"{_OPENS}(?P<letter>[A-Z](?:{JOINT}[A-Z])*)\s(?=[A-Z][a-z]|[A-Z]{{2,}}|A\s)"),
    ),
)
# Letters that are the subjects of their sentences: "A shows the cover; B shows the base".
_SUBJECTS = re.compile(rf"{_OPENS}(?P<letter>[A-Z])\s(?=(?:shows?|depicts?|displays?|illustrates?)\s)")
# Letters with a mark, though no sentence ends before them: "A: Cells B: Mice".
_RUN_ON = re.compile(r"(?<![\w.(-])(?P<letter>[A-Za-z])(?::\s(?=\S)|\.\s(?=[A-Z]))")
_OPENED = re.compile(rf"{_OPENS}[Aa][:.]\s")
# Small letters within a sentence that begins with one: "a Axial CT and b coronal CT".
_WITHIN = re.compile(r"(?:\A|(?<=[.;:,]\s)|(?<=\sand\s))(?P<letter>[a-z])\s(?=\w)")
# Views of one thing: "Skull in A, dorsal, B, ventral, and C, lateral views".
_VIEWS = re.compile(r"(?:(?<=\bin\s)|(?<=,\s)|(?<=,\sand\s)|(?<=\sand\s))(?P<letter>[A-Z]),\s(?=[a-z])")
_VIEWED = re.compile(r"\bin\sA,\s[a-z]")
_NUMBERED = re.compile(r"(?<![\w.])(?P<number>\d{1,2})(?P<letter>[A-Z])[.:]?\s(?=[A-Z(])")
_FOLLOWS = r"(?!(?:and|or|in|of|at|on|is|are|was|were|with|for|to|by|from|as|cells?|virus|type|group|mice|strains?)\b)"
_IN_ROW = re.compile(rf"(?<![\w(/-])(?P<letter>[A-Z])\s{_FOLLOWS}(?=[\w(])")
# Words whose kinds are named by letters.
_NAMES_A_KIND = re.compile(
    r"\b(?:hepatitis|vitamins?|proteins?|types?|groups?|class|stages?|factors?|influenza|model|site|arm|part|strains?|plan"
    r"|scenario|subunits?|domains?|cohort|sample|case|phase|grade|category|chromosome|and|or|of|the|kinase|immunoglobulin)\s\Z",
    re.IGNORECASE,
)
_ROW_OPENS = re.compile(rf"{_OPENS}A\s{_FOLLOWS}(?=[\w(])")
_LONGEST_NAME = 20
_LEAST_IN_ROW = 3


def bare(caption: str, _: Sequence[Hint]) -> list[list[Marker]]:
    """The series of bare letters, one a style; empty where a caption has none that is whole."""
    styles = [_series(list(pattern.finditer(caption)), 2) for first, pattern in _SENTENCES if first.search(caption)]
    if has_any(caption, ("A:", "A.", "a:", "a.")) and _OPENED.search(caption):
        run_on = [match for match in _RUN_ON.finditer(caption) if not _names_a_kind(caption, match.start())]
        styles.append(_series(run_on, 2))
    numbered = list(_NUMBERED.finditer(caption))
    if len({match["number"] for match in numbered}) == 1:
        styles.append(_series(numbered, 2))
    if _SUBJECTS.match(caption):
        styles.append(_series(list(_SUBJECTS.finditer(caption)), 2))
    if "in A," in caption and _VIEWED.search(caption):
        styles.append(_series(list(_VIEWS.finditer(caption)), 2))
    if _SENTENCES[0][0].match(caption):
        styles.append(_series(list(_WITHIN.finditer(caption)), 2))
    if "A " in caption and _ROW_OPENS.search(caption):
        in_row = [match for match in _IN_ROW.finditer(caption) if not _names_a_kind(caption, match.start())]
        styles.append(_series(in_row, _LEAST_IN_ROW))
    return [style for style in styles if style]


def _names_a_kind(caption: str, start: int) -> bool:
    return _NAMES_A_KIND.search(caption[max(0, start - _LONGEST_NAME) : start]) is not None


def _series(matches: Sequence[re.Match[str]], least: int) -> list[Marker]:
    """The markers, if they are all letters from A on, in order."""
    if not all(names_panel(match.string, match.end()) for match in matches):
        return []
    found = [lettered(expand_letters(match["letter"]), match.start(), match.end(), 3) for match in matches]
    named = [ordinal for marker in found for ordinal in marker.ordinals]
    return found if len(found) >= least and named == list(range(1, len(named) + 1)) else []
