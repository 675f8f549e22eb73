"""Rights in a single figure: its own permissions, and whether it comes from elsewhere.

Whoever keeps to a licence must not be given what the licence does not cover, so doubt counts as third party: a source
that is not said to be the authors' own, a credit to somebody who is no author, a copyright that is not the article's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from biomedica_ray.jats.licenses import OTHER, code_of_text, code_of_url
from biomedica_ray.jats.text import readable
from biomedica_ray.jats.tree import Element, href

_NAME = r"[A-Z\u00c0-\u00de][\w'\u2019-]+"
# A source that a text names: "Roe et al.", "Roe and Doe", "Roe (2010)", "ref. 3", "[3]", a web address.
_SOURCE = (
    rf"(?:(?i:refs?\b|references?\b)|[\[(]\s?\d|(?:\w\.\s?)*{_NAME}(?:,?\s(?:et\sal|and\s|&\s|e\s{_NAME}|y\s{_NAME})"
    r"|,?\s[\[(]?(?:19|20)\d\d|,?\s\[\d)|(?i:https?:|www\.))"
)
_TAKEN = re.compile(
    r"\b(?i:reproduced|reprinted|adapted|redrawn|republished|reused|excerpted|modified)\s+"
    r"(?:\(?(?i:here|in part|directly|slightly|and \w+|or \w+)\)?,?\s+)*"
    r"(?i:(?:and\s+)?(?:used\s+)?(?:with|by|under|w/)\s+(?:\w+\s+){0,3}?permissions?|courtesy)\b"
    r"|\b(?i:reproduced|reprinted|adapted|redrawn|republished|reused|excerpted)\s+(?:\w+\s+){0,7}?(?i:from|after)\b"
    r"(?!\s(?i:figs?|figures?|tables?|panels?|(?:two|three|\d+) )(?!.{0,30}\b(?:from|of|in)\s))"
    r"|\b(?i:used|included|shown|taken|published|reuse[sd]?)\s+(?:with|by)\s+(?:\w+\s+){0,2}?permission"
    r"|\b(?i:with)\s+(?:\w+\s+){0,2}?permission\s+(?:from|of|by)\b"
    r"|\b(?i:(?:by|through)\s+courtesy|courtesy\s+(?:of|to)|courtesy:|kindly\s+provided\s+by|all\s+rights\s+reserved)\b"
    r"|\b(?i:google\s(?:earth|maps?)|openstreetmap|getty\simages|shutterstock|wikimedia)\b"
    r"|\b(?i:(?:adap\w*ad|reproduzid|reproducid|modificad|extra[ií]d|retirad|tomad)[oa]s?)"
    r"\s+(?i:de|do|da|dos|das|del|con|com|a partir)\b"
)
# What a caption of which _TAKEN finds something has in it, in lower case; most have nothing of it.
_TAKEN_STEMS = (
    "permission",
    "courtes",
    "adap",
    "reproduc",
    "reproduz",
    "reprint",
    "republ",
    "redrawn",
    "reuse",
    "excerpt",
    "kindly",
    "reserved",
    "google",
    "streetmap",
    "getty",
    "shutterstock",
    "wikimedia",
    "modificad",
    "extraíd",
    "extraid",
    "retirad",
    "tomad",
)
_BY = ("after ", "from ", "by ")
_BY_SOURCE = re.compile(rf"\b(?:from|after|by)\s(?:the\swork\sof\s)?{_SOURCE}")
_MADE = re.compile(
    r"\b(?:modified|taken|obtained|extracted|derived|images?|photographs?|photos?|pictures?|drawings?|maps?|figures?)"
    r"(?:\s\w+){0,2}\Z",
    re.IGNORECASE,
)
_COPYRIGHT = re.compile(r"©|\(c\)\s*(?=(?:19|20)\d\d)|\bcopyright\b", re.IGNORECASE)
_COPYRIGHT_STEMS = ("©", "(c)", "copyright")
_CREDIT = re.compile(
    r"(?:\A|[.(\[;\n]\s?)(?:original\s)?(?:sources?|fontes?|fuentes?|quelle)\s?:\s*(?P<source>[^\n]+)"
    r"|\b(?:photo(?:graph)?s?|images?|pictures?|figures?|illustrations?)?\s?credits?\s?(?::|to\b)\s*(?P<credit>[^.\n]+)",
    re.IGNORECASE,
)
_CREDIT_STEMS = ("source:", "sources:", "source :", "fonte", "fuente", "quelle", "credit")
# A source that is the authors' own: "Source: own elaboration", "Fonte: dados da pesquisa".
_OWN = re.compile(
    r"\b(?:own|authors?'?|our|ours|we|this (?:study|paper|work)|present (?:study|paper|work)|research data|survey data"
    r"|calculations?|elaborat\w+|elabora\w+|autor\w*|pr[oó]pri[oa]s?|propi[oa]s?|dados d[ae]|datos de|field ?work)\b",
    re.IGNORECASE,
)
# Attributions that attribute nothing: publishers put notes and keys into the element too.
_NO_ATTRIBUTION = re.compile(
    r"\W*(?:notes?|abbrev\w*|fig\w*|keys?|legends?|symbols?|nota|\*|\u2020)\b|[*\u2020]", re.IGNORECASE
)
_LONGEST_ATTRIBUTION = 80
_NOT_COVERED = re.compile(
    r"\bnot\s(?:\w+\s)?(?:covered|included|licen[cs]ed|subject)|\bexcluded\sfrom|\ball\srights\sreserved", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]{3,}")
# Words of a copyright line that name nobody.
_NOBODY = """
copyright the and all rights reserved author authors published publishing licensee exclusive under license licence
licensed this article figure open access distributed terms creative commons attribution international with from for
ltd inc llc gmbh limited periodicals press publishers publications behalf its are noncommercial non commercial
derivatives unported https http creativecommons org licenses www des der
"""
_PHRASE = frozenset(_NOBODY.split())


@dataclass(frozen=True)
class Owner:
    """Who owns the article's own figures.

    Attributes:
        article: The article.
        code: Code of its licence.
    """

    article: Element
    code: str

    @cached_property
    def words(self) -> frozenset[str]:
        """The words of its own permissions, of its publisher's name and of its authors' names, lower case."""
        meta, journal = self.article.find("front/article-meta"), self.article.find("front/journal-meta")
        nodes = [] if meta is None else [*meta.iter("permissions", "copyright-statement", "copyright-holder")]
        nodes += [] if meta is None else [*meta.iter("surname", "given-names", "collab", "string-name")]
        nodes += [] if journal is None else [*journal.iter("publisher-name")]
        texts = " ".join(readable(node) or "" for node in nodes)
        return frozenset(_WORD.findall(texts.lower()))

    def is_named(self, claim: str) -> bool:
        """Whether a copyright line or a credit names nobody but the article's own holders, publisher and authors."""
        if re.search(r"\bthe authors?\b|\bauthor\(s\)|\bauthors\b", claim, re.IGNORECASE):
            return True
        words = {word for word in _WORD.findall(claim.lower()) if word not in _PHRASE}
        return bool(words) and words <= self.words


def read_permissions(homes: list[Element]) -> str | None:
    """What a figure says of its own licence, copyright and attribution, or None.

    Args:
        homes: The elements that hold its words, its graphic and the group around it.
    """
    holders = [node for home in homes for node in home.iterchildren("permissions")]
    parts = [text for holder in holders for node in holder.iterchildren("*") if (text := readable(node))]
    parts += _attributions(homes)
    return " ".join(dict.fromkeys(parts)) or None


def is_third_party(homes: list[Element], caption: str | None, permissions: str | None, owner: Owner) -> bool:
    """Whether a figure comes from elsewhere, so that the article's licence may not cover it.

    It does where its caption or attribution says reproduced, reprinted, adapted or with permission (from a source),
    courtesy of somebody, or credits a source that is not the authors', or where it has a copyright or a licence that
    are not the article's.

    Args:
        homes: The elements that hold its words, its graphic and the group around it.
        caption: The caption.
        permissions: What :func:`read_permissions` gives.
        owner: Who owns the article's own figures.
    """
    if any(text and _is_from_elsewhere(text, owner) for text in (caption, permissions)):
        return True
    if permissions is None:
        return False
    if any(_attributes(text, owner) for text in _attributions(homes)):
        return True
    for holder in (node for home in homes for node in home.iterchildren("permissions")):
        statements = holder.iter("copyright-statement", "copyright-holder")
        if any(not owner.is_named(text) for node in statements if (text := readable(node))):
            return True
        for license_ in holder.iterchildren("license"):
            text = readable(license_) or ""
            code = code_of_url(href(license_) or "")
            code = code if code != OTHER else code_of_text(text)
            if code not in (OTHER, owner.code) or _NOT_COVERED.search(text):
                return True
    return False


def _is_from_elsewhere(text: str, owner: Owner) -> bool:
    lower = text.lower()
    if _has_any(lower, _TAKEN_STEMS) and _TAKEN.search(text):
        return True
    if any(_is_made_from(text, word) for word in _BY):
        return True
    if _has_any(lower, _COPYRIGHT_STEMS):
        claims = (text[match.start() :].split(". ", maxsplit=1)[0] for match in _COPYRIGHT.finditer(text))
        if any(not owner.is_named(claim) for claim in claims):
            return True
    if not _has_any(lower, _CREDIT_STEMS):
        return False
    credits_ = (match["source"] or match["credit"] for match in _CREDIT.finditer(text))
    return any(not (_OWN.search(credit) or owner.is_named(credit)) for credit in credits_)


def _is_made_from(text: str, word: str) -> bool:
    """Whether a text has the word with a source behind it, and in front of it something that is made from a source."""
    start = text.find(word)
    while start >= 0:
        if _BY_SOURCE.match(text, start):
            return word == "after " or _MADE.search(text[max(0, start - 40) : start].rstrip()) is not None
        start = text.find(word, start + 1)
    return False


def _has_any(text: str, stems: tuple[str, ...]) -> bool:
    # A loop takes half the time of any() here, and nearly every caption comes this far only.
    for stem in stems:  # noqa: SIM110
        if stem in text:
            return True
    return False


def _attributions(homes: list[Element]) -> list[str]:
    found = [text for home in homes for node in home.iter("attrib") if (text := readable(node))]
    return list(dict.fromkeys(found))


def _attributes(text: str, owner: Owner) -> bool:
    """Whether an attribution is to somebody else: ``WHO``, ``Illustration: A. Roe``."""
    if len(text) > _LONGEST_ATTRIBUTION or _NO_ATTRIBUTION.match(text):
        return False
    return not (_OWN.search(text) or owner.is_named(text))
