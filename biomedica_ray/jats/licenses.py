"""Licences: URL or text to a code, code to a group, and which of two codes permits less."""

from __future__ import annotations

import re
from dataclasses import dataclass

from biomedica_ray.jats.text import readable
from biomedica_ray.jats.tree import Element, href

OTHER = "other"
COMMERCIAL = ("CC0", "CC BY", "CC BY-SA", "CC BY-ND")
NONCOMMERCIAL = ("CC BY-NC", "CC BY-NC-SA", "CC BY-NC-ND")
# From the most permissive; what is unknown permits nothing. The groups are those of PMC's Open Access Subset
# (https://pmc.ncbi.nlm.nih.gov/tools/openftlist/): oa_comm, oa_noncomm, oa_other.
CODES = (*COMMERCIAL, *NONCOMMERCIAL, OTHER)

# All of these read lower case, in which the engine finds its way several times faster than without regard to case.
_URL = re.compile(r"creativecommons\.org/(?:licen[sc]es?/(?P<terms>by[a-z-]*)|publicdomain/(?P<public>zero))")
_NAMED = re.compile(r"creative\s+commons|\bcc[\s-]?(?:by|0)\b|\battribution\b.{0,40}\bnon-?\s?commercial", re.S)
_ATTRIBUTION = re.compile(r"attribution|\bcc[\s-]*by\b|\bby\b[\s-]*(?:nc|nd|sa)\b|\bcc[\s-]*nc\b")
_ZERO = re.compile(r"\bcc[\s-]?0\b|\bcc[\s-]zero\b|public domain dedication")
_NC = re.compile(r"non[\s\u2010-\u2014-]*commercial|\bnc\b")
_ND = re.compile(r"no[n]?[\s\u2010-\u2014-]*deriv|\bnd\b")
_SA = re.compile(r"share[\s\u2010-\u2014-]*a?like|\bsa\b")
# A licence that allows both uses names the word without forbidding anything.
_BOTH_USES = re.compile(
    r"commercial(?<!non-commercial)(?<!non commercial)(?<!noncommercial)"
    r"\s*(?:and|or|/|as well as)\s*non[\s-]*commercial"
    r"|non[\s-]*commercial\s*(?:and|or|/|as well as)\s*commercial"
)


@dataclass(frozen=True, slots=True)
class License:
    """An article's licence: where it is said to be, its code and its group."""

    url: str | None
    code: str
    group: str


def license_group(code: str) -> str:
    """commercial, noncommercial or other: what the licence lets one do, as PMC groups its Open Access Subset."""
    if code in COMMERCIAL:
        return "commercial"
    return "noncommercial" if code in NONCOMMERCIAL else "other"


def stricter(a: str, b: str) -> str:
    """Of two licence codes the one that permits less; ``other`` permits least.

    Raises:
        ValueError: One of them is none of :data:`CODES`.
    """
    return max(a, b, key=CODES.index)


def code_of_url(url: str) -> str:
    """Code of a Creative Commons licence by its URL, of any version and port; ``other`` for every other URL."""
    match = _URL.search(url.lower())
    if match is None:
        return OTHER
    if match["public"]:
        return "CC0"
    terms = match["terms"].strip("-").split("-")
    return _code(nc="nc" in terms, nd="nd" in match["terms"], sa="sa" in terms)


def code_of_text(text: str) -> str:
    """Code of the licence that a text names in words or by URLs, the strictest where it names several.

    A CC0 waiver beside another licence covers the data only, so the other one counts.
    """
    lower = text.lower()
    codes = {code_of_url(match.group()) for match in _URL.finditer(lower)}
    words = _BOTH_USES.sub(" ", _URL.sub(" ", lower))
    if _NAMED.search(words):
        if _ATTRIBUTION.search(words):
            codes.add(_code(nc=bool(_NC.search(words)), nd=bool(_ND.search(words)), sa=bool(_SA.search(words))))
        elif _ZERO.search(words):
            codes.add("CC0")
    elif codes - {"CC0"} and _NC.search(words):
        codes.add("CC BY-NC")
    codes.discard(OTHER)
    if len(codes) > 1:
        codes.discard("CC0")
    return max(codes, key=CODES.index, default=OTHER)


def read_license(article: Element) -> License:
    """The licence of an article, by ``license/@xlink:href``, ``ali:license_ref`` and the text, in that order of trust.

    Where the text permits less than the URL says, the text counts.
    """
    meta = article.find("front/article-meta")
    licenses = [] if meta is None else [*meta.iterfind("permissions/license"), *meta.iterfind("license")]
    hrefs = [url for element in licenses if (url := (href(element) or "").strip())]
    refs = [text for element in licenses for ref in element.iter("license_ref") if (text := readable(ref))]
    if meta is not None:
        refs += [text for ref in meta.iterfind("permissions/license_ref") if (text := readable(ref))]
    links = [link for element in licenses for node in element.iter("ext-link", "uri") if (link := href(node))]
    texts = [text for element in licenses if (text := readable(element, skip=("license_ref",)))]
    if meta is not None:
        statements = [*meta.iterfind("permissions/copyright-statement"), *meta.iterfind("copyright-statement")]
        texts += [text for element in statements if (text := readable(element)) and code_of_text(text) != OTHER]

    said = code_of_text("\n".join([*texts, *links]))
    by_url = [code for url in [*hrefs, *refs] if (code := code_of_url(url)) != OTHER]
    code = by_url[0] if by_url else said
    if said != OTHER:
        code = stricter(code, said)
    urls = [url for url in [*hrefs, *refs, *links] if code_of_url(url) != OTHER] or [*hrefs, *refs]
    return License(urls[0] if urls else None, code, license_group(code))


def _code(*, nc: bool, nd: bool, sa: bool) -> str:
    return "CC BY" + ("-NC" if nc else "") + ("-ND" if nd else "-SA" if sa else "")
