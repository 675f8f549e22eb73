"""Rights in a single figure: its own permissions, and whether it comes from elsewhere.

Whoever keeps to a licence must not be given what the licence does not cover, so doubt counts as third party: a source
that is not said to be the authors' own, a credit to somebody who is no author, a copyright that is not the article's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import chain

from biomedica_ray.jats.borrowed import is_taken_over
from biomedica_ray.jats.credits import credited
from biomedica_ray.jats.houses import named_alone
from biomedica_ray.jats.licenses import OTHER, code_of_text, code_of_url, named_url, stricter
from biomedica_ray.jats.stems import has_any
from biomedica_ray.jats.text import readable
from biomedica_ray.jats.tree import Element, href
from biomedica_ray.jats.works import CITATION, is_of_cited

# The holder behind a year: "by the publisher Elsevier", "The Author(s)".
_HOLDER = (
    r"(?:by\s(?:the\s(?:[a-z]+\s){0,2})?)?"
    r"(?-i:[A-Z][\w&'\u2019-]*(?:\s(?:(?:of|and|&|the)\s)?[A-Z][\w&'\u2019-]*){0,7})(?:\(s\))?"
)
_COPYRIGHT = re.compile(
    rf"©|\(c\)\s*(?=(?:19|20)\d\d(?:,?\s{_HOLDER}|\.\s{_HOLDER}\s?(?:[.,;)\n]|\Z)))"
    r"|\bcopyright\b(?!\s(?:infring|laws?\b|issues|polic|protect(?!ed)|protected\s(?:works|goods|products|content)|violat|disput"
    r"|cases|legislat|transfer|exception|reform))",
    re.IGNORECASE,
)
# The full stop between a year and its holder, which ends no sentence.
_DATED = re.compile(rf"(?:©|\(c\)|copyright|\s)+(?:19|20)\d\d\.\s(?={_HOLDER}\s?(?:[.,;)\n]|\Z))", re.IGNORECASE)
# A source that is the authors' own: "Source: own elaboration", "Fonte: dados da pesquisa".
_OWN = re.compile(
    r"\b(?:own|(?:co-?)?authors?\b|our|ours|we|this (?:study|paper|work)|present (?:study|paper|work)|research data"
    r"|primary data|survey data|calculations?|elaborat\w+|elabora\w+|autor(?!i[sz])\w*|auteur\w*|pr[oó]pri[oa]s?"
    r"|propi[oa]s?|eigene\w*|nostr[aoei]|personnel\w*|dados d[aeo]s? (?:pesquisa|estudo)"
    r"|datos de(?:l| la| esta| este)? ?(?:investig|encuest|estudio)\w*"
    r"|field ?(?:work|surveys?|stud(?:y|ies)|data|experiments?|trials?)"
    r"|(?:study|survey|research) (?:data|results?|findings)|original data|database of th\w+ study"
    r"|(?:pesquisa|trabajo) de campo"
    r"|(?:hospital|medical|clinical|health|laboratory|patients?'?) (?:records?|files?|charts?|archives?)"
    r"|output|research team|results of (?:the )?(?:analysis|study|survey)|responses|interviews|datos obtenidos"
    r"|historias? cl[ií]nicas?"
    r"|researchers?|questionnaires?|hospital information|instrumento|registros? (?:del?|do) hospital|dados coletados"
    r"|pesquisa direta"
    r"|prontu[aá]rios?|expedientes? (?:cl[ií]nic|m[eé]dic)\w*"
    r"|(?:encuestas?|question[aá]rios?|cuestionarios?) (?:aplicad|realizad)\w*"
    r"|donn[ée]es de (?:l['\u2019 ]|cette |notre |la )?(?:[ée]tude|enqu[êe]te|recherche)"
    r"|(?:personal|private|family) (?:archives?|collections?|photo\w*|files?|pictures?|images?)"
    r"|(?:archivo|arquivo|acervo|archivio|archives?) (?:personal|pessoal|personale|personnelles?|d[aoe]s? autor\w*))\b",
    re.IGNORECASE,
)
_MADE_AFTER = re.compile(
    r"\b(?:based\son|adapted\sfrom|modified\sfrom|after|a\spartir\sde|con\sbase\sen|com\sbase\sem|basad[oa]\sen"
    r"|basead[oa]\sem|d['\u2019]après|in\sanlehnung\san|nach)(?=\s)",
    re.IGNORECASE,
)
# Attributions that attribute nothing: publishers put notes and keys into the element too.
_NO_ATTRIBUTION = re.compile(
    r"\W*(?:notes?|abbrev\w*|fig\w*|keys?|legends?|symbols?|nota|\*|\u2020)\b|[*\u2020]", re.IGNORECASE
)
# The article's own figures and tables: "Source: Table 2", though not "Source: Table 2 of the report".
_OWN_SOURCE = re.compile(
    r"(?:see\s)?(?:(?:supplementary|supplemental|supporting|additional|appendix)\s)?(?:figures?|fig\.|tables?)\s?S?\d(?!.*\b(?:of|in|from)\b)",
    re.IGNORECASE,
)
# Whoever adapts what is somebody else's makes it no source of his own: "Fonte: OMS. Adaptado pelos autores."
_ADAPTED_BY = re.compile(
    r"\b(?:adapt|modif)\w*\s(?:by|pel[oa]s?|por|da[li]?|par)\s(?:the\s|l[oae]s?\s)?(?:authors?|autor\w*|auteur\w*)",
    re.IGNORECASE,
)
_LONGEST_ATTRIBUTION = 80
_LONGEST_LICENCE = 80
_LICENCE = re.compile(
    r"(?i:creativecommons\.org/)|\bCreative\sCommons\b|\bCC[\s-]?BY\b|\bCC0\b|\bGNU\sFree\b"
    r"|\bOpen\s(?:Database|Government|Data\sCommons)\s[Ll]icen"
)
# Whose work is licensed: "Kidney by A. Roe, licensed under CC BY".
_LICENSED = re.compile(
    r"\bby\s(?P<who>(?:[A-Z]\.\s?)*[A-Z][^.;)\n]{0,60}?),?\s(?:is\s|are\s|and\s|which\sis\s)?"
    r"(?:(?:re)?used\s|shared\s|available\s)?(?:licen[sc]ed\s)?(?:under|via|CC)\b"
)
_LISTED = re.compile(r"\s?[,;(]")
_JOINED = re.compile(r"\s(?:and|&)\s")
_PERSON = re.compile(r"(?:(?:[A-Z]\.[\s-]?)+[A-Z]|[A-Z][a-z]+\s(?:[A-Z]\.\s)*[A-Z])[\w'\u2019-]+\s?(?=[.,;()]|\Z)")
_NOT_COVERED = re.compile(
    r"\bnot\s(?:\w+\s)?(?:covered|included|licen[cs]ed|subject)|\bexcluded\sfrom|\ball\srights\sreserved", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]{3,}")
_LETTERS = re.compile(r"\b[A-Z]{2,4}\b")
# Words of a copyright line that name nobody.
_NOBODY = """
copyright the and all rights reserved author authors published publishing licensee exclusive under license licence
licensed protected this article figure open access distributed terms creative commons attribution international with
from for ltd inc llc gmbh limited periodicals press publishers publications behalf its are noncommercial non commercial
derivatives unported https http creativecommons org licenses www des der prof professor mrs
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

    @cached_property
    def initials(self) -> frozenset[str]:
        """The initials of its authors, as a credit may have them: ``ABR`` and ``AR`` for Ann B. Roe."""
        meta = self.article.find("front/article-meta")
        names = [] if meta is None else [*meta.iter("name")]
        parts = ((readable(name.find(tag)) or "" for tag in ("given-names", "surname")) for name in names)
        letters = ["".join(re.findall(r"\b[^\W\d_]", " ".join(name))).upper() for name in parts]
        return frozenset([*letters, *(name[0] + name[-1] for name in letters if len(name) > 2)])

    def is_named(self, claim: str) -> bool:
        """Whether a copyright line or a credit names nobody but the article's own holders, publisher and authors."""
        if re.search(r"\bthe authors?\b|\bauthor\(s\)|\bauthors\b", claim, re.IGNORECASE):
            return True
        if set(_LETTERS.findall(claim)) <= self.initials and not _WORD.search(_LETTERS.sub(" ", claim)):
            return bool(_LETTERS.search(claim))
        words = {word for word in _WORD.findall(claim.lower()) if word not in _PHRASE}
        return bool(words) and words <= self.words


@dataclass(frozen=True, slots=True)
class Rights:
    """The rights in a single figure, as far as it has some of its own.

    Attributes:
        permissions: What is said of its licence, copyright and attribution.
        license_code: Code of its own licence, by its permissions, or else by its caption.
        license_url: URL of that licence.
        copyright: Its own copyright statement.
        third_party: Whether it comes from elsewhere, so that the article's licence may not cover it.
    """

    permissions: str | None
    license_code: str | None
    license_url: str | None
    copyright: str | None
    third_party: bool


def read_rights(homes: list[Element], caption: str | None, owner: Owner) -> Rights:
    """The rights in a figure.

    Args:
        homes: The elements that hold its words, its graphic and the group around it.
        caption: The caption.
        owner: Who owns the article's own figures.
    """
    permissions = read_permissions(homes)
    licences = [node for holder in _holders(homes) for node in holder.iterchildren("license")]
    named = list(_licences(caption)) if caption else []
    codes = [_code_of(node) for node in licences] or [code_of_text(text) for text in named]
    if codes and caption and "all rights reserved" in caption.lower():
        codes.append(OTHER)
    urls = [url for node in licences if (url := href(node) or named_url(readable(node) or ""))]
    urls += [url for text in named if (url := named_url(text))]
    return Rights(
        permissions=permissions,
        license_code=reduce(stricter, codes) if codes else None,
        license_url=urls[0] if urls else None,
        copyright=next((text for holder in _holders(homes) if (text := copyright_of(holder))), None),
        third_party=is_third_party(homes, caption, permissions, owner),
    )


def copyright_of(permissions: Element) -> str | None:
    """The copyright statement, or one made of year and holder where only these are given."""
    statement = readable(permissions.find("copyright-statement"))
    if statement:
        return statement
    parts = [readable(permissions.find(tag)) for tag in ("copyright-year", "copyright-holder")]
    return " ".join(["©", *(part for part in parts if part)]) if any(parts) else None


def _holders(homes: list[Element]) -> list[Element]:
    return [node for home in homes for node in home.iterchildren("permissions")]


def _code_of(license_: Element) -> str:
    code = code_of_url(href(license_) or "")
    text = code_of_text(readable(license_) or "")
    return text if code == OTHER else code if text == OTHER else stricter(code, text)


def read_permissions(homes: list[Element]) -> str | None:
    """What a figure says of its own licence, copyright and attribution, or None.

    Args:
        homes: The elements that hold its words, its graphic and the group around it.
    """
    parts = [text for holder in _holders(homes) for node in holder.iterchildren("*") if (text := readable(node))]
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
    if caption and (is_of_cited(caption) or _is_under_another_licence(caption, owner)):
        return True
    if permissions is None:
        return False
    return any(_attributes(text, owner) for text in _attributions(homes)) or any(
        _is_of_others(holder, owner) for holder in _holders(homes)
    )


def _is_of_others(permissions: Element, owner: Owner) -> bool:
    """Whether permissions name a copyright or a licence that are not the article's."""
    statements = permissions.iter("copyright-statement", "copyright-holder")
    if any(not owner.is_named(text) for node in statements if (text := readable(node))):
        return True
    return any(
        _code_of(node) not in (OTHER, owner.code) or _NOT_COVERED.search(readable(node) or "")
        for node in permissions.iterchildren("license")
    )


def _is_from_elsewhere(text: str, owner: Owner) -> bool:
    if is_taken_over(text):
        return True
    if any(not _is_own(who, owner) for who in chain(credited(text), named_alone(text, text.lower()))):
        return True
    return any(not owner.is_named(claim) for claim in _copyrights(text))


def _is_own(who: str, owner: Owner) -> bool:
    """Whether whoever is credited is an author, or a source the authors' own."""
    first, *others = _JOINED.split(who)
    if any(_PERSON.match(name) and not (_OWN.search(name) or owner.is_named(name)) for name in others):
        return False
    if _is_by_others(who):
        return False
    who = _ADAPTED_BY.sub("", who)
    if _OWN.search(who) or _OWN_SOURCE.match(who):
        return True
    return owner.is_named(_LISTED.split(first)[0])


def _is_by_others(who: str) -> bool:
    """Whether what is the authors' own is made after a work that is cited: ``own elaboration based on Doe (2010)``."""
    return any(CITATION.match(who, found.end()) for found in _MADE_AFTER.finditer(who))


def _is_under_another_licence(caption: str, owner: Owner) -> bool:
    """Whether a caption names a licence that is not the article's, or somebody else whose work is under it."""
    named = list(_licences(caption))
    if any(code_of_text(text) != owner.code for text in named):
        return True
    return bool(named) and any(not owner.is_named(found["who"]) for found in _LICENSED.finditer(caption))


def _copyrights(text: str) -> Iterator[str]:
    """What a text says of copyright, from the sign to the end of its sentence."""
    lower = text.lower()
    is_lettered = "(b)" in lower
    if "©" not in lower and "copyright" not in lower and (is_lettered or "(c)" not in lower):
        return
    for match in _COPYRIGHT.finditer(text):
        # "(a) 1990, (b) 2000 and (c) 2010" are panels.
        if not (is_lettered and match[0].lower().startswith("(c)")):
            dated = _DATED.match(text, match.start())
            yield text[dated.end() if dated else match.start() :].split(". ", maxsplit=1)[0]


def _licences(text: str) -> Iterator[str]:
    """The parts of a caption that name a licence."""
    if not has_any(text, ("CC", "Creative", "GNU", "Open ")) and "creativecommons" not in text.lower():
        return
    for match in _LICENCE.finditer(text):
        yield text[max(0, match.start() - 10) : match.end() + _LONGEST_LICENCE]


def _attributions(homes: list[Element]) -> list[str]:
    found = [text for home in homes for node in home.iter("attrib") if (text := readable(node))]
    return list(dict.fromkeys(found))


def _attributes(text: str, owner: Owner) -> bool:
    """Whether an attribution is to somebody else: ``WHO``, ``Illustration: A. Roe``."""
    if len(text) > _LONGEST_ATTRIBUTION or _NO_ATTRIBUTION.match(text):
        return False
    return not (_OWN.search(text) or owner.is_named(text))
