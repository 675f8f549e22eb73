"""A caption cut into the parts that describe its panels.

Publishers mark panels with letters in brackets ``(A) ... (B, C) ... (D-F)``, emphasised letters ``**a** ...``, half
brackets ``a) ...``, letters with punctuation at the start of a sentence ``A, ...``, ``A: ...``, ``A. ...``, words
``Panel A ...``, items of a lettered list, and where there are no letters with ``(i)``, ``(1)``, or positions
``Left: ...``. Each style is tried alone, then all together; the one that names most panels wins.

Two things keep running text apart from markers. Markers come in order: each has to name the first panel not named yet,
so that a later ``(A)``, or a ``(C)`` alone, marks nothing. And each one *leans*: what stands around a marker says
whether it leads what it describes (``(A) Wild type. (B) Mutant.``), trails it (``heart rate (A), pressure (B)``), or
refers to another panel (``as shown in (A)``), which is no marker.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from biomedica_ray.jats import markers
from biomedica_ray.jats.article import Panel
from biomedica_ray.jats.markers import Hint, Marker

_NO_PANELS = re.compile(
    r"(?:\breagents?\b[^.:]{0,20}[:.]|\bconditions?:|\babbreviations?:|\bletters?|\benzymes?:|\bnotes?:)\s*\Z",
    re.IGNORECASE,
)
_AFTER_MARKER = re.compile(r"[)\]]*\s*[,;.:]?")
_NEXT_SENTENCE = re.compile(r"(?<!\b[A-Z])\.\s(?=[a-z]?[A-Z(\[])|;\s|\n")
_SENTENCE_END = re.compile(r"(?:[.:;]\s|\n)(?=\S)")
# A caption of nothing but markers must not cost the square of its length.
_MOST_STARTS = 6


def split_panels(caption: str, hints: Iterable[Hint] = ()) -> list[Panel]:
    """Cut a caption at its panel markers.

    Args:
        caption: The caption.
        hints: Its emphasised parts and the items of its lettered lists, in order.

    Returns:
        The panels in the order of the caption, which do not overlap; what lies before the first is the preamble, and
        between them lies nothing but whitespace. Empty for a caption without markers. A single panel is returned only
        where one marker names several panels together: ``(a, b) Radiographs of the arm.``
    """
    hints = list(hints)
    if not hints and not markers.may_have_any(caption):
        return []
    items = _in_order(
        [markers.lettered((hint.style,), hint.start, hint.start, 3) for hint in hints if len(hint.style) == 1]
    )
    if len(items) > 1:
        return _panels(caption, items)
    for find in (markers.letters, markers.romans, markers.numbers):
        if chain := _best_chain(find(caption, hints), caption):
            return _panels(caption, chain)
    found = markers.positions(caption)
    return _panels(caption, found) if len(found) > 1 else []


def _best_chain(styles: Sequence[Sequence[Marker]], caption: str) -> list[Marker]:
    """The chain of markers that names most panels; an empty one if there is none.

    Of equally many panels, a chain in which all markers lead wins over one in which they trail, that over one in which
    some lead and some trail, and a chain of one style over one of several.
    """
    best: list[Marker] = []
    best_rank = (1, True, 2)
    for upper in (True, False):
        families = [[m for m in found if m.labels[0][0].isupper() == upper] for found in styles]
        families = [family for family in families if family]
        if len(families) > 1:
            families.append(_together(families))
        for family in families:
            for purity, chain in enumerate(_directed(family, caption)):
                rank = (_n_panels(chain), len(chain) > 1, purity)
                if rank > best_rank and _is_plausible(chain, caption):
                    best, best_rank = chain, rank
    return best


def _together(families: Sequence[Sequence[Marker]]) -> list[Marker]:
    """The markers of all styles that lead, where they overlap those of the first style."""
    chosen: list[Marker] = []
    for family in families:
        taken = [(marker.start, marker.end) for marker in chosen]
        chosen += [m for m in family if m.lean > 0 and all(m.end <= start or end <= m.start for start, end in taken)]
    return sorted(chosen, key=lambda marker: marker.start)


def _directed(family: Sequence[Marker], caption: str) -> Iterator[list[Marker]]:
    """The chains of markers of both leans, of those that trail, and of those that lead."""
    free = [marker for marker in family if marker.lean > 0 or not markers.is_reference(marker, caption)]
    yield _in_order(free)
    yield _in_order([marker for marker in free if marker.lean <= 0])
    yield _in_order([marker for marker in family if marker.lean > 0])


def _in_order(markers: Sequence[Marker]) -> list[Marker]:
    """Of the chains of markers in which each names the first panel not named yet, the one that names most panels."""
    starts = [index for index, marker in enumerate(markers) if 1 in marker.ordinals]
    if not starts and len(markers) > 2 and all(marker.lean > 2 for marker in markers):
        # A figure printed in parts: the part's first panel is not A.
        return _chain(markers, min(markers[0].ordinals))
    chains = [_chain(markers[index:], 1) for index in starts[:_MOST_STARTS]]
    return max(chains, key=lambda c: (_n_panels(c), len(c) if c[0].lean > 2 else min(len(c), 2)), default=[])


def _chain(markers: Sequence[Marker], awaited: int) -> list[Marker]:
    named: set[int] = set()
    labels: set[str] = set()
    chain: list[Marker] = []
    for index, marker in enumerate(markers):
        while awaited in named:
            awaited += 1
        ordinals = marker.ordinals
        # A1, A2, A3 are panels of A.
        is_part = labels.isdisjoint(marker.labels) and bool(chain) and ordinals[0] == chain[-1].ordinals[-1]
        if awaited in ordinals or is_part or _skips(marker, awaited, markers[index + 1 : index + 30]):
            chain.append(marker)
            named.update(ordinals, range(awaited, min(ordinals)))
            labels.update(marker.labels)
    return chain


def _skips(marker: Marker, awaited: int, later: Sequence[Marker]) -> bool:
    """Whether a marker may leave a panel out: it leads without doubt, and the panel is not named later either."""
    return marker.lean > 2 and min(marker.ordinals) == awaited + 1 and all(awaited not in m.ordinals for m in later)


def _is_plausible(chain: Sequence[Marker], caption: str) -> bool:
    """Whether a chain marks panels rather than reaction conditions, abbreviations or one word in passing."""
    first = chain[0]
    if len(chain) == 1 and not (first.lean > 2 and caption[first.end :].strip(" .:")):
        return False
    if _NO_PANELS.search(caption[max(0, first.start - 20) : first.start]):
        return False
    initials = [caption[marker.end :].lstrip(" :=,-")[:1].casefold() for marker in chain]
    return first.lean < 0 or any(m.labels[0].casefold() != initial for m, initial in zip(chain, initials, strict=True))


def _n_panels(chain: Sequence[Marker]) -> int:
    return len({ordinal for marker in chain for ordinal in marker.ordinals})


def _panels(caption: str, chain: Sequence[Marker]) -> list[Panel]:
    """The parts of a caption that a chain of markers cuts it into.

    A marker that leads begins its part, one that trails ends it; a marker in doubt does as the one before it. The part
    of a first marker that trails begins with its sentence, and the last part takes what is left.
    """
    leads: list[bool] = []
    for marker in chain:
        before = leads[-1] if leads else sum(m.lean for m in chain) >= 0
        leads.append(marker.lean > 0 if marker.lean else before)
    bounds = [chain[0].start if leads[0] else _sentence_start(caption, 0, chain[0].start)]
    for index, marker in enumerate(chain[1:], start=1):
        last = chain[index - 1]
        if leads[index]:
            bounds.append(marker.start)
        elif leads[index - 1]:
            start = _sentence_start(caption, last.end, marker.start)
            bounds.append(start if start > last.end else marker.start)
        else:
            bounds.append(_clause_end(caption, last.end, marker.start))
    panels = []
    for marker, lower, upper in zip(chain, bounds, [*bounds[1:], len(caption)], strict=True):
        text = caption[lower:upper]
        start = lower + len(text) - len(text.lstrip())
        stripped = text.strip()
        # Two markers at one place leave the first with nothing.
        if stripped:
            panels.append(Panel(", ".join(marker.labels), stripped, start, start + len(stripped)))
    return panels


def _clause_end(caption: str, start: int, end: int) -> int:
    """Where a part ends whose marker ends at ``start``: there, or with its sentence where another one follows."""
    punctuation = _AFTER_MARKER.match(caption, start, end)
    if punctuation is not None and punctuation[0].strip(" )]"):
        return punctuation.end()
    sentence = _NEXT_SENTENCE.search(caption, start, end)
    if sentence is not None:
        return sentence.end()
    return start if punctuation is None else punctuation.end()


def _sentence_start(caption: str, start: int, end: int) -> int:
    """Where the last sentence or clause before ``end`` begins, not before ``start``."""
    return max((found.end() for found in _SENTENCE_END.finditer(caption, start, end)), default=start)
