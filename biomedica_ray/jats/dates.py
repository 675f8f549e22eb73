"""Dates of an article: publication dates and its history."""

from __future__ import annotations

import calendar
import datetime as dt
import re
import unicodedata
from typing import NamedTuple

from biomedica_ray.jats.article import ArticleDate
from biomedica_ray.jats.tree import Element, all_text

# Dates of hosting and manuscript handling that stand among the pub-dates without saying when it was published.
_NOT_PUBLICATION = re.compile(r"nihms|hwp-|archival|received|accepted|retract|correct", re.IGNORECASE)
# How the names of the months begin, without accents, in the languages of the articles: en, es, pt, fr, de, it.
_BEGINNINGS = (
    *(
        "jan ene gen janv",
        "feb fev",
        "mar",
        "apr abr avr",
        "may mai mag",
        "jun juin giu",
        "jul juil lug",
        "aug ago aou",
    ),
    *("sep set", "oct out okt ott", "nov", "dec dic dez"),
)
_MONTHS = {start: number for number, starts in enumerate(_BEGINNINGS, start=1) for start in starts.split()}
# What a history calls the date of publication; it counts where no pub-date says when.
_PUBLISHED = frozenset({"pub", "published", "publication", "epub"})
_YEAR = re.compile(r"[12]\d{3}")
_PRECISION = ("year", "month", "day")
_WRITTEN = re.compile(
    r"(?:(?:(?P<before>\d{1,2})(?:st|nd|rd|th|er|º)?\.?\s(?:de\s)?)?(?P<month>[^\W\d_]{3,10})\.?,?\s(?:del?\s)?"
    r"(?:(?P<behind>\d{1,2})(?:st|nd|rd|th)?,?\s)?)?(?P<year>[12]\d{3})\b"
)
# "2012 Dec 17", as PubMed has it, and "17.12.2012".
_YEAR_FIRST = re.compile(r"(?P<year>[12]\d{3})[\s,]+(?P<month>[^\W\d_]{3,10})\.?(?:\s(?P<day>\d{1,2}))?")
_DOTTED = re.compile(r"(?P<day>\d{1,2})\.\s?(?P<month>\d{1,2})\.\s?(?P<year>[12]\d{3})")
_ISO = re.compile(r"(\d{4})(?:[-/](\d{1,2})(?:[-/](\d{1,2}))?)?")


class Published(NamedTuple):
    """When an article was published: its first day, and whether the day, the month or the year is known."""

    date: dt.date | None
    precision: str | None


def read_dates(meta: Element) -> tuple[list[ArticleDate], Published]:
    """All dates of an article with their kinds, and the earliest at which it was published.

    The kind is ``@date-type`` or ``@pub-type``; of a date without either it is ``pub``. Dates that are not readable as
    numbers or names of months, and dates that no calendar has, are left out or cut to the part that is right.
    """
    elements = [
        *meta.iterfind("pub-date"),
        *meta.iterfind("history/date"),
        *meta.iterfind("history/event/date"),
        *meta.iterfind("pub-history//date"),
    ]
    dates: list[ArticleDate] = []
    published: list[str] = []
    for element in elements:
        iso = _iso(element)
        if iso is None:
            continue
        kind = element.get("date-type") or element.get("pub-type") or "pub"
        dated = ArticleDate(kind, iso)
        if dated not in dates:
            dates.append(dated)
        if element.tag == "pub-date" and not _NOT_PUBLICATION.search(f"{kind} {element.get('pub-type')}"):
            published.append(iso)
    if not published:
        published = [each.date for each in dates if each.kind in _PUBLISHED]
    return dates, _earliest(published)


def _earliest(dates: list[str]) -> Published:
    """The earliest of ISO dates of any precision; of those within its year or month the finer one says when.

    ``2012`` and ``2012-12-17`` are the 17th of December.
    """
    if not dates:
        return Published(None, None)
    earliest = min(dates, key=lambda iso: (first_day(iso), -len(iso)))
    while finer := [iso for iso in dates if iso.startswith(f"{earliest}-")]:
        earliest = min(finer, key=lambda iso: (first_day(iso), -len(iso)))
    return Published(first_day(earliest), _PRECISION[earliest.count("-")])


def first_day(iso: str) -> dt.date:
    """The first day of what :func:`iso_date` gives."""
    year, *rest = map(int, iso.split("-"))
    month, day = [*rest, 1, 1][:2]
    return dt.date(year, month, day)


def _iso(element: Element) -> str | None:
    parts = {part.tag: (part.text or "").strip() for part in reversed(element)}
    year, month, day = (parts.get(tag, "") for tag in ("year", "month", "day"))
    year = year.rstrip(".,")
    if not year:
        string = element.find("string-date")
        written = element.get("iso-8601-date") or ("" if string is None else string.get("iso-8601-date"))
        match = _ISO.match(written or "")
        if match is None:
            return _in_words(" ".join(all_text(element).split()))
        year, month, day = (number or "" for number in match.groups())
    return iso_date(year, month, day)


def _in_words(text: str) -> str | None:
    """A date that is written out: ``17 December 2012``, ``Dec 17, 2012``, ``December 2012``, ``2012-12-17``."""
    if match := _ISO.fullmatch(text):
        return iso_date(*(number or "" for number in match.groups()))
    if match := _YEAR_FIRST.fullmatch(text) or _DOTTED.fullmatch(text):
        return iso_date(match["year"], match["month"], match["day"] or "")
    match = _WRITTEN.search(text)
    if match is None:
        return None
    return iso_date(match["year"], match["month"] or "", match["before"] or match["behind"] or "")


def iso_date(year: str, month: str, day: str) -> str | None:
    """ISO 8601 at the precision that is right: ``2020``, ``2020-05``, ``2020-05-07``; None without a year.

    Args:
        year: Four digits.
        month: A number, or a name of which the first letters count; may be empty.
        day: A number; may be empty.
    """
    if not _YEAR.fullmatch(year):
        return None
    number = int(month) if month.isdecimal() else _month(month)
    if not 1 <= number <= 12:
        return year
    if not day.isdecimal() or not 1 <= int(day) <= calendar.monthrange(int(year), number)[1]:
        return f"{year}-{number:02}"
    return f"{year}-{number:02}-{int(day):02}"


def _month(name: str) -> int:
    """Number of a month by its name, 0 for what is none."""
    plain = unicodedata.normalize("NFD", name.strip().lower()).encode("ascii", "ignore").decode()
    return _MONTHS.get(plain[:4]) or _MONTHS.get(plain[:3], 0)
