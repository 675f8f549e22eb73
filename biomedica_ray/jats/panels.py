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
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from biomedica_ray.jats import markers
from biomedica_ray.jats.article import Panel
from biomedica_ray.jats.bare import bare
from biomedica_ray.jats.joints import DASH
from biomedica_ray.jats.lean import Hint, Marker, is_reference
from biomedica_ray.jats.numerals import numbers, positions, romans

_NO_PANELS = re.compile(
    r"(?:\breagents?\b[^.:]{0,20}[:.]|\bconditions?:|\babbreviations?:|\bletters?|\benzymes?:"
    r"|\b(?:if|unless|whether)|\b(?:criteria|reasons|questions|hypotheses|assumptions|options)(?:\s(?:were|are|included?))?\s?:?)\s*\Z",
    re.IGNORECASE,
)
# What letters without brackets stand for in a map or a drawing: "Sampling locations: A, the lake; B, the river".
_KEY_OPENS = re.compile(
    r"\b(?:locations?|localities|stations?|landmarks?|points?|peaks?|bands?|species|symbols?|legend|keys?|labels?)\s?:\s*\Z",
    re.I,
)
# What has parts that small letters point at, "Diagram of the heart: a, aorta", unless they are seen from several sides.
_OF_PARTS = re.compile(r"\b(?:diagram|sketch|cartoon|anatomy)\s(?:of|through)\s[^.:;]{1,60}:\s*\Z", re.IGNORECASE)
_SEEN = re.compile(
    r"\b(?:views?|sections?|details?|overview|habit\w*|aspects?|close-?ups?|dorsal|ventral|lateral|front|side|top|before|after)\b",
    re.IGNORECASE,
)
# Whom the letters tell apart where it is said who was chosen: "patients with (a) asthma or (b) COPD were excluded".
_OF_PEOPLE = re.compile(
    r"\b(?:patients|participants|subjects|cases|children|women|men|people|individuals|studies|articles|those)\s(?:with|who|having|had)\s(?:\w+\s)?\Z",
    re.IGNORECASE,
)
_OR = re.compile(r"\bor\s\Z")
_CHOSEN = re.compile(
    r"\b(?:were|was|are|is|be)\s(?:not\s)?(?:in|ex)cluded\b|\b(?:in)?eligib\w+|\benrol\w+|\brecruited\b|\binvited\b",
    re.IGNORECASE,
)
# Shares of a whole, "A, 42%; B, 11%; O, 47%", which say nothing else.
_SHARE = re.compile(r"[\s:=,]*\d+(?:\.\d+)?\s?%\s?(?=[.;,)\n]|(?:and|or)\b|\Z)")
_PERCENT = re.compile(r"\b(\d+(?:\.\d+)?)\s?%")
_WHOLE = range(99, 102)
# Species that are named in short without having been named in full: "D. simulans served as outgroup".
_EPITHET = re.compile(
    r"\s(?:elegans|briggsae|melanogaster|simulans|pseudoobscura|cerevisiae|pombe|albicans|coli|subtilis|aureus|aeruginosa"
    r"|pneumoniae|tuberculosis|falciparum|gondii|rerio|laevis|tropicalis|thaliana|musculus|norvegicus|sapiens)\b"
)
_PRIMES = "'\u2019\u2032\u2033\u2034"
_AFTER_MARKER = re.compile(r"[)\]]*\s*[,;.:]?")
# Where a sentence or clause ends, but not behind an initial, a genus or an abbreviation: "C. elegans", "i.e. both".
_SHORT = (r"\b[A-Za-z]", r"\bal", r"\bvs", r"\bsp", r"\bspp", "[Ff]ig", r"\bNo", r"\bca", r"\bcf")
_NO_END = "".join(rf"(?<!{before}\.)" for before in _SHORT)
_NEXT_SENTENCE = re.compile(rf"\.{_NO_END}\s(?=[a-z]?[A-Z\d(\[])|;\s|\n")
_SENTENCE_END = re.compile(rf"(?:\.{_NO_END}\s|[:;]\s|\n)(?=\S)")
_AND_CLAUSE = re.compile(r",\s(?=(?:and|while|whereas|but)\s)")
_MID_CLAUSE = re.compile(r"\s\w")
# Letters, digits and punctuation of East Asian print, one character for one.
_WIDE_SIGNS = "\uff08\uff09\uff3b\uff3d\uff0c\uff1a\uff1b\uff0e\uff0d"
_WIDE = str.maketrans(
    {
        **{sign: chr(ord(sign) - 0xFEE0) for sign in _WIDE_SIGNS},
        **{chr(ord(plain) + 0xFEE0): plain for plain in string.ascii_letters + string.digits},
        **dict(zip("\u3010\u3011\u3014\u3015\u3001\u3002", "[][],.", strict=True)),
    }
)
_HAS_WIDE = re.compile(f"[{''.join(map(chr, _WIDE))}]")
_WIDE_LETTER = re.compile(
    r"(?<![\uff21-\uff3a\uff41-\uff5a])[\uff21-\uff3a\uff41-\uff5a](?![\uff21-\uff3a\uff41-\uff5a])"
)
# What a range of letters is said of without telling what they show.
_MEASURE = re.compile(
    r"\bbars?\b|\bmagnif|\bn\s?=|\bmeans?\b|\bletters?\b|\bSEM?\b|\bp\s?[<=]|\bµm|\bmm\b", re.IGNORECASE
)
# A reference to a panel where the letter has marked one before: "the line in panel (a)".
_IN_PANEL = re.compile(r"\b(?:in|of|from|see|to)\s(?:the\s)?\Z")
# What letters in brackets behind it are the names of.
_DEFINES = re.compile(
    r"\s*(?:groups?|abbreviations?|treatments?|conditions?|controls?|units?|symbols?|legends?|keys?)\b[^.]{0,20}:"
    r"|(?:where|in which)\b",
    re.IGNORECASE,
)
# Letters that are mostly the initials of what follows are a key; of a few only where all are.
_GLOSSED, _FEW = 0.75, 3
# Where pictures of the same kind are told apart: "Seedlings (a) at day 7, (b) at day 14".
_APART = re.compile(r"(?:at|in|on|after|before|with|without|for|from|during|under|by)\b")
_LISTED = re.compile(r"(?:[,;]|\b(?:and|or))\s?\Z")
# Letters that a sentence refers to as where its pictures are: "The gel is shown in (A) and the blot in (B)".
_SHOWN_IN = re.compile(r"(?<!as )\b(?:shown|presented|displayed|illustrated|depicted|plotted)\sin\s\Z")
_IN = re.compile(r"\bin\s\Z")
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
    whole = caption
    if not caption.isascii() and _HAS_WIDE.search(caption):
        caption = caption.translate(_WIDE)
    if caption != whole:
        hints += [Hint(m.start(), m.end(), "bold") for m in _WIDE_LETTER.finditer(whole)]
    if not hints and not markers.may_have_any(caption):
        return []
    listed = [markers.lettered((hint.style,), hint.start, hint.start, 3) for hint in hints if len(hint.style) == 1]
    items = _in_order(listed)
    if len(items) > 1:
        return _panels(whole, items)
    styles = markers.letters(caption, hints)
    if chain := _best_chain(styles, caption) or _continued(styles, caption):
        chain = _without_genus(chain, caption)
        return _panels(whole, [*_filled(chain, caption), *_trailing_rest(chain, styles, caption)])
    for find in (romans, numbers, bare):
        if chain := _best_chain(find(caption, hints), caption):
            return _panels(whole, chain)
    if chain := _shown_in(styles[0] if styles else (), caption):
        return _panels(whole, chain)
    found = positions(caption)
    return _panels(whole, found) if len(found) > 1 else []


def _best_chain(styles: Sequence[Sequence[Marker]], caption: str) -> list[Marker]:
    """The chain of markers that names most panels; an empty one if there is none.

    Of equally many panels, a chain in which all markers lead wins over one in which they trail, that over one in which
    some lead and some trail, and a chain of one style over one of several.
    """
    chains = []
    for upper in (True, False):
        families = [[m for m in found if m.labels[0][0].isupper() == upper] for found in styles]
        families = [family for family in families if family]
        if len(families) > 1:
            families.append(_together(families))
        chains.append(_best_of_case(families, caption))
    outer, inner = sorted(chains, key=lambda chain: chain[0].start if chain else len(caption))
    if outer and inner and outer[0].start < inner[0].start < outer[-1].start and all(m.lean > 1 for m in outer):
        # Letters of the other kind in the parts of a series are details: "A, ... (a) ... (b) ... B, ... (a)".
        return outer
    return max(chains, key=lambda chain: (_n_panels(chain), len(chain) > 1))


def _best_of_case(families: Sequence[Sequence[Marker]], caption: str) -> list[Marker]:
    """The best chain of capital letters, or of small ones."""
    best: list[Marker] = []
    best_rank = (1, True, 9)
    for family in families:
        for purity, chain in enumerate(_directed(family, caption)):
            rank = (_n_panels(chain), len(chain) > 1, purity)
            if rank > best_rank and _is_plausible(chain, caption):
                best, best_rank = chain, rank
    return best


def _without_genus(chain: Sequence[Marker], caption: str) -> list[Marker]:
    """A chain without a last letter that is a genus, as in ``B. Mice. C. Rats. D. simulans was the outgroup``."""
    *others, last = chain
    if len(others) > 1 and caption[last.end - 1] == "." and _EPITHET.match(caption, last.end):
        return others
    return list(chain)


def _filled(chain: Sequence[Marker], caption: str) -> list[Marker]:
    """A chain with a marker that it lacks between two that lead, where the caption has it once, written as they are."""
    filled = list(chain[:1])
    for marker in chain[1:]:
        last = filled[-1]
        sets_off = caption[last.end - 1]
        if marker.ordinals[0] == last.ordinals[-1] + 2 and min(last.lean, marker.lean) > 2 and sets_off in ".:,)":
            letter = chr(ord(last.labels[-1][0]) + 1)
            opening = "(" if caption[last.start] == "(" else ""
            between = re.compile(rf"(?<=\s){re.escape(opening + letter + sets_off)}(?=\s)")
            found = list(between.finditer(caption, last.end, marker.start))
            if len(found) == 1:
                filled.append(markers.lettered((letter,), found[0].start(), found[0].end(), 3))
        filled.append(marker)
    return filled


def _trailing_rest(chain: Sequence[Marker], styles: Sequence[Sequence[Marker]], caption: str) -> list[Marker]:
    """The markers in brackets that name panels after those of a chain that leads, as ``B, Mice. Cats (C), rats (D)``.

    They count in further sentences, where they name further panels without a gap, each once; one alone has to end its
    sentence.
    """
    awaited = 1 + max(ordinal for marker in chain for ordinal in marker.ordinals)
    is_upper = chain[-1].labels[0][0].isupper()
    if any(marker.lean <= 0 for marker in chain):
        return []
    rest: list[Marker] = []
    named: set[int] = set()
    for marker in sorted((m for found in styles for m in found), key=lambda marker: marker.start):
        trails = marker.start >= chain[-1].end and marker.lean <= 0 and caption[marker.start] in "(["
        is_letters = all(len(label) == 1 and label.isupper() == is_upper for label in marker.labels)
        if not trails or not is_letters or min(marker.ordinals) < awaited or is_reference(marker, caption):
            continue
        if named.isdisjoint(marker.ordinals):
            rest.append(replace(marker, lean=-1))
            named.update(marker.ordinals)
    while awaited in named:
        awaited += 1
    rest = [marker for marker in rest if max(marker.ordinals) < awaited]
    if not rest or any(_is_gloss(marker, caption) for marker in rest):
        return []
    begin = _sentence_start(caption, chain[-1].end, rest[0].start)
    if begin == chain[-1].end or _DEFINES.match(caption, begin) or _DEFINES.search(caption[chain[-1].end : begin]):
        return []  # within the last one's sentence they may be anything: "B, Mice given drug (C)"
    return rest if len(rest) > 1 or all(_ends_sentence(marker, caption) for marker in rest) else []


def _is_gloss(marker: Marker, caption: str) -> bool:
    """Whether what a letter stands for is before it: ``control (C)``, ``rate constant (c)``."""
    words = caption[max(0, marker.start - 30) : marker.start].split()
    initials = {label[0].casefold() for label in marker.labels}
    return any(word.lstrip("(").casefold().startswith(tuple(initials)) for word in words[-2:])


def _together(families: Sequence[Sequence[Marker]]) -> list[Marker]:
    """The markers of all styles that lead, where they overlap those of the first style."""
    chosen: list[Marker] = []
    for family in families:
        taken = [(marker.start, marker.end) for marker in chosen]
        chosen += [m for m in family if m.lean > 0 and all(m.end <= start or end <= m.start for start, end in taken)]
    return sorted(chosen, key=lambda marker: marker.start)


def _directed(family: Sequence[Marker], caption: str) -> Iterator[list[Marker]]:
    """The chains of markers of both leans, of those that trail, and of those that lead."""
    family = _without_repeats(family, caption)
    free = [marker for marker in family if marker.lean > 0 or not is_reference(marker, caption)]
    yield _in_order(free)
    yield _in_order([marker for marker in family if marker.lean <= 0 and _ends_sentence(marker, caption)])
    yield _in_order([marker for marker in free if marker.lean <= 0])
    yield _in_order([marker for marker in family if marker.lean > 0])


def _without_repeats(family: Sequence[Marker], caption: str) -> list[Marker]:
    """The markers without those that only refer to a panel named before: ``the line in panel (a)``."""
    kept: list[Marker] = []
    named: set[str] = set()
    for marker in family:
        is_worded = caption[marker.start].isalpha() and caption[marker.start : marker.start + 5].lower() == "panel"
        if not (is_worded and named.issuperset(marker.labels) and _IN_PANEL.search(caption[: marker.start])):
            kept.append(marker)
        named.update(marker.labels)
    return kept


def _ends_sentence(marker: Marker, caption: str) -> bool:
    return caption[marker.end : marker.end + 1] in (".", "")


def _in_order(markers: Sequence[Marker]) -> list[Marker]:
    """Of the chains of markers in which each names the first panel not named yet, the one that names most panels."""
    starts = [index for index, marker in enumerate(markers) if 1 in marker.ordinals]
    chains = [_chain(markers[index:], 1) for index in starts[:_MOST_STARTS]]
    if _is_partition(markers):
        chains.append(list(markers))
    return max(chains, key=lambda c: (_n_panels(c), len(c) if c[0].lean > 2 else min(len(c), 2)), default=[])


def _continued(styles: Sequence[Sequence[Marker]], caption: str) -> list[Marker]:
    """The chain of a figure printed in parts, whose first panel is not A, or of one whose first panel has no marker."""
    best: list[Marker] = []
    for found in styles:
        leading = [marker for marker in found if marker.lean > 0]
        if (
            any(1 in marker.ordinals for marker in found)
            or not leading
            or leading[0].lean < 3
            or len(leading) < len(found)
        ):
            continue
        chain = _chain(leading, min(leading[0].ordinals))
        first = chain[0]
        named = [ordinal for marker in chain for ordinal in marker.ordinals]
        is_upper = {marker.labels[0].isupper() for marker in chain}
        if named != list(range(named[0], named[0] + len(named))) or len(is_upper) > 1:
            continue
        if 2 in first.ordinals and caption[: first.start].strip():
            chain = [_unmarked_first(first, caption), *chain]
        n_marked = len(leading) if len(leading) > 1 else len(_trailing_rest(chain, styles, caption))
        if n_marked > 1 and len(chain) > len(best) and len(chain) >= len(leading) and _is_plausible(chain, caption):
            best = chain
    return best


def _unmarked_first(second: Marker, caption: str) -> Marker:
    """The first panel of a series that has no marker for it, or has one in a sentence: ``Effect on A: pain; B:``."""
    letter = "A" if second.labels[0].isupper() else "a"
    sets_off = caption[second.end - 1]
    found = []
    if sets_off in ":.)" and caption[second.start] not in "([":
        found = list(re.compile(rf"(?<=\s){letter}{re.escape(sets_off)}(?=\s)").finditer(caption, 0, second.start))
    start, end = found[0].span() if len(found) == 1 else (0, 0)
    return Marker((letter,), (1,), start, end, 3)


def _shown_in(bracketed: Sequence[Marker], caption: str) -> list[Marker]:
    """The chain of a caption that says of all its letters what is in them: ``shown in (A) and ... in (B)``."""
    chain = [replace(marker, lean=-1) for marker in bracketed]
    if len(chain) < 2 or not _SHOWN_IN.search(caption[: chain[0].start]):
        return []
    is_each = all(_IN.search(caption[max(0, marker.start - 4) : marker.start]) for marker in chain)
    return chain if is_each and len(_in_order(chain)) == len(chain) else []


def _is_partition(markers: Sequence[Marker]) -> bool:
    """Whether markers that all trail name a series of panels in full, each once: ``(A, D), (B, C)``."""
    named = [ordinal for marker in markers for ordinal in marker.ordinals]
    return len(markers) > 2 and sorted(named) == list(range(1, len(named) + 1)) and all(m.lean <= 0 for m in markers)


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
        # A' is another view of A.
        is_part |= marker.lean > 2 and all(
            label[-1] in _PRIMES and label not in labels and label.rstrip(_PRIMES) in labels for label in marker.labels
        )
        later = markers[index + 1 : index + 30]
        if _is_heading(marker, later):
            continue
        if awaited in ordinals or is_part or _skips(marker, awaited, later):
            chain.append(marker)
            named.update(ordinals, range(awaited, min(ordinals)))
            labels.update(marker.labels)
    return chain


def _is_heading(marker: Marker, later: Sequence[Marker]) -> bool:
    """Whether a marker of several panels stands over those of each of them: ``(D-F) Liver. (D) Veins. (E) ...``."""
    if len(marker.labels) < 2:
        return False
    ahead = iter(m for m in later if m.lean > 0)
    found: list[str] = []
    for each in ahead:
        if not set(each.labels) <= set(marker.labels) or each.labels == marker.labels:
            break
        found += each.labels
    return len(set(found)) > 1 and set(found) >= set(marker.labels)


def _skips(marker: Marker, awaited: int, later: Sequence[Marker]) -> bool:
    """Whether a marker may leave a panel out: it leads without doubt, and the panel is not named later either."""
    return marker.lean > 2 and min(marker.ordinals) == awaited + 1 and all(awaited not in m.ordinals for m in later)


def _is_plausible(chain: Sequence[Marker], caption: str) -> bool:
    """Whether a chain marks panels rather than reaction conditions, abbreviations or one word in passing."""
    first = chain[0]
    if (
        len(chain) == 1
        and not (first.lean > 2 and caption[first.end :].strip(" .:"))
        and not _names_all(first, caption)
    ):
        return False
    before = caption[max(0, first.start - 80) : first.start]
    if _NO_PANELS.search(before[-30:]) or (caption[first.start] not in "([" and _is_key(before, chain, caption)):
        return False
    if _OF_PEOPLE.search(before) and _OR.search(caption[: chain[-1].start]) and _is_of_choice(chain, caption):
        return False
    if all(_SHARE.match(caption, marker.end) for marker in chain) and _is_whole(caption):
        return False
    initials = [caption[marker.end :].lstrip(" :=,-")[:1].casefold() for marker in chain]
    n_glossed = sum(
        len(m.labels) == 1 and m.labels[0].casefold() == initial for m, initial in zip(chain, initials, strict=True)
    )
    return first.lean < 0 or n_glossed < (_GLOSSED * len(chain) if len(chain) > _FEW else len(chain))


def _is_key(before: str, chain: Sequence[Marker], caption: str) -> bool:
    """Whether letters without brackets point at places or parts: ``Diagram of the heart: a, aorta; b, left atrium``."""
    points = chain[0].labels[0].islower() and len(chain) > 2 and not _SEEN.search(caption, chain[0].end)
    return _KEY_OPENS.search(before) is not None or (points and _OF_PARTS.search(before) is not None)


def _is_of_choice(chain: Sequence[Marker], caption: str) -> bool:
    """Whether the sentence of a chain says who was chosen, ``patients with (a) asthma or (b) COPD were excluded``."""
    end = _NEXT_SENTENCE.search(caption, chain[-1].end)
    start = _sentence_start(caption, 0, chain[0].start)
    return _CHOSEN.search(caption, start, end.start() if end else len(caption)) is not None


def _is_whole(caption: str) -> bool:
    return round(sum(float(share) for share in _PERCENT.findall(caption))) in _WHOLE


def _names_all(marker: Marker, caption: str) -> bool:
    """Whether a range that ends a sentence is all that names the panels: ``Sites of the survey (A-C)``."""
    if marker.ordinals[0] != 1 or len(marker.ordinals) < 3 or not _ends_sentence(marker, caption):
        return False
    is_range = re.search(DASH, caption[marker.start : marker.end]) is not None
    return is_range and not _MEASURE.search(caption[_sentence_start(caption, 0, marker.start) : marker.start])


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
    chain = list(chain)
    if _is_told_apart(chain, caption):
        leads = [True] * len(chain)
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
        if stripped := text.strip():  # an empty item of a list describes nothing
            panels.append(Panel(", ".join(marker.labels), stripped, start, start + len(stripped)))
    return panels


def _is_told_apart(chain: Sequence[Marker], caption: str) -> bool:
    """Whether the parts of a list all begin with a preposition, which then belongs to the marker before it."""
    return (
        len(chain) > 1
        and all(_APART.match(caption, marker.end + 1) for marker in chain)
        and all(_LISTED.search(caption[max(0, marker.start - 5) : marker.start]) for marker in chain[1:])
    )


def _clause_end(caption: str, start: int, end: int) -> int:
    """Where a part ends whose marker ends at ``start``, and that of the marker at ``end`` begins.

    A sentence between them that has no marker belongs to the part before it.
    """
    punctuation = _AFTER_MARKER.match(caption, start, end)
    begin = start if punctuation is None else punctuation.end()
    sentences = _ends(_NEXT_SENTENCE, caption, start, end)
    if sentences:
        return sentences[-1]
    if punctuation is not None and punctuation[0].strip(" )]"):
        return begin
    clauses = _ends(_AND_CLAUSE, caption, begin, end)
    return clauses[-1] if clauses else begin


def _sentence_start(caption: str, start: int, end: int) -> int:
    """Where the last sentence or clause before ``end`` begins, not before ``start``."""
    return max(_ends(_SENTENCE_END, caption, start, end), default=start)


def _ends(pattern: re.Pattern[str], caption: str, start: int, end: int) -> list[int]:
    """Where sentences end between two places, other than within brackets."""
    found = (match.end() for match in pattern.finditer(caption, start, end))
    return [
        place
        for place in found
        if all(
            caption.count(opens, start, place) <= caption.count(closes, start, place) for opens, closes in ("()", "[]")
        )
    ]
