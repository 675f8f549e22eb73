"""The figures, schemes and tables that a text names by number, with the panels that it names of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from biomedica_ray.jats.elsewhere import is_elsewhere
from biomedica_ray.jats.joints import AND_WORDS, DASH, DASHES, JOINT, TO_WORDS, expand_letters
from biomedica_ray.jats.text import Span

_ALONE = "['\u2019\u2032-\u2034]*(?![A-Za-z0-9])"
# "Fig. 2b and a mouse" and "Fig. 2B, I saw" name one panel.
_JOINT = rf"(?!\s*;){JOINT}(?!a\s[a-z]|I\s[a-z])"
_ROMAN = "(?:i{1,3}|iv|vi{0,3})"
_UPPER = rf"[A-Z](?:\d|{_ROMAN}(?:\s?[,{DASHES}]\s?{_ROMAN})*)?{_ALONE}"
_LETTERS = rf"(?:{_UPPER}(?:{_JOINT}(?!S\d){_UPPER})*|[a-z]{_ALONE}(?:{_JOINT}[a-z]{_ALONE})*)"
_IN_BRACKETS = rf"[(\[]{_LETTERS}[)\]]"
# Panels without anything between them, "1AB"; no words, which have no number in front.
_RUN = "(?:[A-H]{2,6}|[a-h]{2,6}|I{2,3}|IV|VI{1,3})(?![A-Za-z0-9])"
_SHOWS = r"(?:shows?|depicts?|displays?|illustrates?|presents?|demonstrates?|represents?|summari[sz]es?)\b"
_PANELS = (
    rf"(?:(?:[.{DASHES}](?=[A-Za-z](?!\d)))?(?P<attached>{_LETTERS})|(?P<run>{_RUN})|\s?(?P<bracketed>{_IN_BRACKETS}(?:{_JOINT}{_IN_BRACKETS})*)"
    rf"|,?\s\(?(?:in\s)?[Pp]anels?\s\(?(?P<worded>{_LETTERS})\)?"
    rf"|,?\s(?!S\d)(?:(?P<apart>{_LETTERS})(?=\s*(?:[),.;:\]]|\Z|{_SHOWS}))|(?P<listed>{_UPPER}(?:{_JOINT}(?!S\d){_UPPER})+)))"
)
_ITEM = re.compile(rf"(?P<number>(?:[A-Z]{{1,3}}-?)?\d{{1,3}}(?:\.\d{{1,2}})?)(?!\d)(?P<panels>{_PANELS})?")
_ROMANS = ("i", "ii", "iii", "iv", "v", "vi", "vii", "viii")
_SUBPANELS = re.compile(rf"(?P<letter>[A-Z])(?P<first>{_ROMAN})(?P<rest>(?:\s?[,{DASHES}]\s?{_ROMAN})+)(?![a-z])")
_AGAIN = r"(?:(?:[Ff]igs?|[Ff]igures?|[Ss]chemes?|[Tt]ables?)\.?\s*)?"
_NEXT = re.compile(
    rf"\s*(?:(?P<range>{DASH}|\b(?:{'|'.join(TO_WORDS)}|a)\b)\s*{_AGAIN}"
    rf"|(?:,\s*and\b|,|;|/|&|\b(?:or|AND|{'|'.join(AND_WORDS)})\b)\s*)(?=(?:[A-Z]{{1,3}}-?)?\d)"
)
_BEFORE = re.compile(
    r"(?<!\d,\s)\b[Pp]anels?\s(?P<letters>\(?[A-Za-z](?:[() ,&/\u2013-]|and\b|[A-Za-z]\b)*?)(?:\s(?:of|in|from)|,)\s\Z"
)
# Series that are counted apart, by what stands before the word: supplementary, extended data and appendix figures.
_SERIES = re.compile(
    r"(?:(?<!\w)(?:(?P<S>[Ss]up[pl]\w*\.?(?:\s(?:[Ii]nformation|[Mm]aterials?|[Ff]ile|[Dd]ata|[Dd]igital\s[Cc]ontent|(?:[Nn]ote|[Tt]ext)\s\d+))?|[Ss]up\."
    r"|[Ss]upporting(?:\s[Ii]nformation)?|E?SI(?:\sAppendix)?|ESM|[Aa]dditional\s[Ff]iles?\s\d+|[Oo]nline(?:\s[Rr]esource(?:\s\d+)?)?|[Ww]eb|e)"
    r"|(?P<ED>[Ee]xt(?:ended|\.)\s[Dd]ata|ED)|(?P<EV>[Ee]xpanded\s[Vv]iew|EV)|(?P<A>[Aa]ppendix(?:\s[\dA-Z]+)?)"
    rf"|(?P<R>(?:[Rr]eviewer|[Rr]ebuttal|[Rr]esponse)s?))[\u2020,:]?[{DASHES}\s])\Z"
)
# The last words of these; looking closer takes longer than all the rest.
_LAST_OF_SERIES = frozenset(
    {"supplementary", "supplemental", "supplement", "supp", "suppl", "supplem", "sup", "supporting", "information"}
    | {
        "material",
        "materials",
        "content",
        "file",
        "files",
        "data",
        "si",
        "esi",
        "esm",
        "online",
        "resource",
        "web",
        "e",
        "ed",
        "ev",
    }
    | {"view", "appendix", "reviewer", "reviewers", "rebuttal", "response", "responses"}
)
_AROUND_WORDS = "([,:.\u2020-\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
_LONGEST_SERIES, _LONGEST_LABEL = 30, 60
_NO_WORD = re.compile(r"\W*")
# eLife's "Figure 3-figure supplement 1" is a figure of its own; the source data and videos of a figure are none.
_SUPPLEMENT = re.compile(rf"\s*{DASH}\s*[Ff]igure\s[Ss]upplements?\s(?=\d)")
NO_FIGURE = re.compile(rf"\s*{DASH}\s*(?:figure|source|video)\b", re.IGNORECASE)
_LONGEST_RANGE = 50

# The words for each kind of item, and how they begin: looking for that is many times faster.
_WORDS = {
    kind: re.compile(rf"(?:(?<!\w)(?P<word>{words})\b\.?|(?P<eastern>{eastern}))\s*(?=(?:[A-Z]{{1,3}}-?)?\d)")
    for kind, words, eastern in (
        # Words of the East stand without space in what is around them.
        (
            "figure",
            r"e?[Ff]igg?(?:ure|ura)?s?|FIG(?:URE|URA)?S?|Abb(?:ildung(?:en)?)?|[Рр]ис(?:ун\w+)?",
            "図|图|圖|그림",
        ),
        ("scheme", r"[Ss]chemes?|SCHEMES?|[Ee]squemas?", "(?!)"),
        ("table", r"[Tt]ab(?:le|la|ela)?s?|TABLES?", "表|표"),
        ("chart", r"[Cc]harts?|CHARTS?", "(?!)"),
        ("plate", r"[Pp]lates?|PLATES?", "(?!)"),
    )
}
_STEMS = {
    "figure": ("Fig", "eFig", "fig", "FIG", "Abb", "Рис", "рис", "図", "图", "圖", "그림"),
    "scheme": ("Schem", "schem", "SCHEM", "Esquem", "esquem"),
    "table": ("Tab", "tab", "TAB", "表", "표"),
    "chart": ("Chart", "chart", "CHART"),
    "plate": ("Plate", "plate", "PLATE"),
}

_ASCII_STEMS = {kind: tuple(filter(str.isascii, stems)) for kind, stems in _STEMS.items()}


Word = tuple[re.Match[str], str]
"""A word for an item and the kind of item."""


class Citation(NamedTuple):
    """One numbered item that a text names.

    Attributes:
        kind: figure, scheme, table, chart or plate.
        number: Its number, upper case: ``2``, ``S1``.
        panels: The panels named with it.
        start: Offset of the number in the text.
        end: Offset behind number and panels.
        ends_range: Whether it is the end of a range that the item before it begins.
        is_certain: False for a number joined to a singular word (``Figure 1 and 20 patients``).
        is_elsewhere: Whether the text says that it is another work's: ``Figure 2 of Smith et al.``
    """

    kind: str
    number: str
    panels: tuple[str, ...]
    start: int
    end: int
    ends_range: bool
    is_certain: bool
    is_elsewhere: bool


def find_citations(text: str) -> list[Citation]:
    """The figures, schemes and tables that a text names by number: ``Figs. 1A-C and 3``, ``Scheme 2``, ``Fig. S1``.

    Args:
        text: A paragraph.
    """
    return items_of(text, words_of(text, _WORDS), ())


def items_of(text: str, words: Sequence[Word], notes: Sequence[Span], *, is_reply: bool = False) -> list[Citation]:
    """What the words for items and the numbers behind them name; arguments as :func:`is_elsewhere` has them."""
    return [citation for word, kind in words for citation in _items(text, word, kind, notes, is_reply=is_reply)]


def words_of(text: str, kinds: Iterable[str]) -> list[Word]:
    """Where a text has a word for an item with a number behind it, and the kind of item, in the order of the text."""
    found = []
    stems = _ASCII_STEMS if text.isascii() else _STEMS
    for kind in kinds:
        for stem in stems[kind]:
            start = text.find(stem)
            while start >= 0:
                if word := _WORDS[kind].match(text, start):
                    found.append((word, kind))
                start = text.find(stem, start + 1)
    return sorted(found, key=lambda pair: pair[0].start()) if len(found) > 1 else found


def _items(
    text: str, word: re.Match[str], kind: str, notes: Sequence[Span], *, is_reply: bool = False
) -> Iterator[Citation]:
    """The items that a word and the numbers behind it name."""
    is_plural = (word["word"] or " ").endswith(("s", "S", "gg", "gg."))
    before = text[max(0, word.start() - _LONGEST_SERIES) : word.start()]
    apart = _SERIES.search(before) if _may_end_series(before) else None
    # JAMA's eFigures are supplementary.
    series = "S" if (word["word"] or "").startswith("e") else (apart.lastgroup if apart else None) or ""
    found: list[Citation] = []
    position, joint, supplement_of = word.end(), None, ""
    while item := _ITEM.match(text, position):
        number, start = f"{supplement_of}{_number(item['number'], series)}", item.start()
        if not item["panels"] and (supplement := _SUPPLEMENT.match(text, item.end())):
            supplement_of = f"{number}-FS"
            is_plural = "lements" in supplement[0]
            own = _ITEM.match(text, supplement.end())
            if own is None:
                break
            item, number = own, f"{supplement_of}{own['number']}"
        ends_range = joint is not None and joint["range"] is not None
        found.append(
            Citation(
                kind=kind,
                number=number,
                panels=_panels_of(item),
                start=start,
                end=item.end(),
                ends_range=ends_range,
                is_certain=joint is None or ends_range or is_plural or _goes_on(found[-1], item, number, joint[0]),
                is_elsewhere=False,
            )
        )
        joint = _NEXT.match(text, item.end())
        if joint is None:
            break
        position = joint.end()
    if not found:
        return
    if before.endswith(("of ", "in ", "from ", ", ")) and (panels := _BEFORE.search(before)):
        found[0] = found[0]._replace(
            panels=expand_letters(panels["letters"].translate(_WITHOUT_BRACKETS)) + found[0].panels
        )
    elsewhere = is_elsewhere(text, word.start(), found[-1].end, notes, is_reply=is_reply)
    yield from (citation._replace(is_elsewhere=True) for citation in found) if elsewhere else found


def _goes_on(last: Citation, item: re.Match[str], number: str, joint: str) -> bool:
    """Whether a number joined to a singular word names a figure as the one before: ``Fig. 2a and 3b``, ``Fig. 2/3``.

    ``Fig. 2 and 3D images`` names one.
    """
    if joint == "/" and not item["panels"]:
        return number.isdecimal() and last.number.isdecimal() and int(number) == int(last.number) + 1
    letters = item["attached"] or (item["bracketed"] or "").lstrip("([")
    if not letters or not last.panels or letters[0].islower() != last.panels[0][0].islower():
        return False
    return number == last.number or (number.isdecimal() and letters != "D")


def _may_end_series(before: str) -> bool:
    words = before.rsplit(None, 1)[-1:]
    word = words[0].strip(_AROUND_WORDS).lower() if words else ""
    return word in _LAST_OF_SERIES or word.isdecimal()


def _panels_of(item: re.Match[str]) -> tuple[str, ...]:
    """The panels that are named with a number: ``2A-C``, ``3(a) and (b)``, ``1Ai-iv``."""
    if run := item["run"]:
        return (run,) if run[0] in "IV" else tuple(run) if list(run) == sorted(set(run)) else ()
    letters = item["attached"] or item["bracketed"] or item["worded"] or item["apart"] or item["listed"]
    if not letters:
        return ()
    return expand_letters(_SUBPANELS.sub(_subpanels, letters.translate(_WITHOUT_BRACKETS)))


_WITHOUT_BRACKETS = str.maketrans("", "", "()[]")


def _subpanels(match: re.Match[str]) -> str:
    first, last = _ROMANS.index(match["first"]), _ROMANS.index(re.split(r"[^a-z]+", match["rest"])[-1])
    if "," in match["rest"]:
        numerals = [match["first"], *re.findall(r"[a-z]+", match["rest"])]
    else:
        numerals = list(_ROMANS[first : last + 1])
    return ", ".join(f"{match['letter']}{numeral}" for numeral in numerals)


def _number(number: str, series: str) -> str:
    """A number with its series: supplementary, extended data and appendix figures are counted apart."""
    plain = number.upper().replace("-", "")
    # "SI Appendix, Fig. S3" names its series twice.
    return plain if plain.startswith((series, "S")) else series + plain


def label_number(label: str | None) -> Citation | None:
    """What a label says it is: ``Figure 2.`` is figure 2; ``Figure 3—figure supplement 1`` is no numbered item."""
    return None if label is None else _number_in(label[:_LONGEST_LABEL])


@lru_cache(maxsize=4096)
def _number_in(label: str) -> Citation | None:
    if re.fullmatch(r"\d+[A-Za-z]?", label.strip(" .:")):
        label = f"Figure {label.strip(' .:')}"
    word, kind = next(iter(words_of(label, _WORDS)), (None, ""))
    if word is None or not (_NO_WORD.fullmatch(label, 0, word.start()) or _SERIES.search(label, 0, word.start())):
        return None
    citation = next(_items(label, word, kind, ()), None)
    return None if citation is None or NO_FIGURE.match(label, citation.end) else citation


_IN_SERIES = re.compile(r"((?:\d+-FS)?[A-Z]*)(\d+)")


def numbers_between(first: str, last: str) -> list[str]:
    """Numbers strictly between the ends of a range in the same series."""
    a, b = _IN_SERIES.fullmatch(first), _IN_SERIES.fullmatch(last)
    if a is None or b is None or b[1] not in ("", a[1]) or int(b[2]) - int(a[2]) > _LONGEST_RANGE:
        return []
    return [f"{a[1]}{number}" for number in range(int(a[2]) + 1, int(b[2]))]


def panels_at(text: str, span: Span) -> tuple[str, ...]:
    """Panels named in a cross-reference or right behind it."""
    supplement = _SUPPLEMENT.search(text, span.start, span.end)
    item = _ITEM.search(text, supplement.end() if supplement else span.start)
    return () if item is None or item.start() >= span.end else _panels_of(item)
