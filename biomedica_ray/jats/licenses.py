"""Licences: URL or text to a code, code to a group, and which of two codes permits less."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

from biomedica_ray.jats.text import readable
from biomedica_ray.jats.tree import Element, href

OTHER = "other"
COMMERCIAL = ("CC0", "CC BY", "CC BY-SA", "CC BY-ND")
NONCOMMERCIAL = ("CC BY-NC", "CC BY-NC-SA", "CC BY-NC-ND")
# From the most permissive; what is unknown permits nothing. The groups are those of PMC's Open Access Subset
# (https://pmc.ncbi.nlm.nih.gov/tools/openftlist/): oa_comm, oa_noncomm, oa_other.
CODES = (*COMMERCIAL, *NONCOMMERCIAL, OTHER)
GROUPS = ("commercial", "noncommercial", "other")

# All of these read lower case, in which the engine finds its way several times faster than without regard to case.
_URL = re.compile(
    # Of the licence itself, or of its badge: "i.creativecommons.org/l/by/4.0/88x31.png".
    r"(?:https?://)?(?:(?:www|i)\.)?(?:creativecommons\.org|licensebuttons\.net)/(?:(?:licen[sc]es?|l)/(?P<terms>[^\s<>\"']*)"
    r"|publicdomain/(?P<public>zero))"
)
# The six sets of terms that Creative Commons has; any other is a mistake that leaves in doubt what is permitted.
_TERMS = {
    frozenset({"by"}): "CC BY",
    frozenset({"by", "sa"}): "CC BY-SA",
    frozenset({"by", "nd"}): "CC BY-ND",
    frozenset({"by", "nc"}): "CC BY-NC",
    frozenset({"by", "nc", "sa"}): "CC BY-NC-SA",
    frozenset({"by", "nc", "nd"}): "CC BY-NC-ND",
}
_RUN_OF_TERMS = re.compile(r"(?:by|nc|nd|sa)+")
_NOT_A_LETTER = re.compile(r"[\W_]+")
_NAMED = re.compile(r"creative\s+commons|\bcc[\s-]?(?:by|0)\b|\battribution\b.{0,40}\bnon-?\s?commercial", re.S)
_ATTRIBUTION = re.compile(
    r"attribution|creative\scommons\s(?:cc[\s-]?)?by(?=[\s-]*(?:\d|nc\b|nd\b|sa\b"
    # Not "by licence holder".
    r"|licen[sc]es?(?=\s*(?:[^\w\s]|\Z|https?\b|(?:which|that|unless|where)\b))))"
    r"|\bcc[\s-]*by\b|\bby\b[\s-]*(?:nc|nd|sa)\b|\bcc[\s-]*nc\b"
)
_ZERO = re.compile(r"\bcc[\s-]?0\b|\b(?:cc|commons)[\s-]zero\b|public domain dedication")
_WORDS = r"(?:[^\w.]+\w+)"
_COMMERCIAL = r"(?:commercial|comercia|commercia|kommerziel)\w*"
_NC = re.compile(
    r"non[\s\u2010-\u2014-]*commercial|\bnc\b|\bnot[\s-]for[\s-]profit"
    # Whatever is said against commercial use, before the word and behind it.
    rf"|\b(?:not?|nor|never|neither|cannot|n[a\u00e3]o|nicht|pas|sans|sin|sem|senza|without|(?:prohibit|forbid|exclud|except"
    rf"|preclud|disallow|restrict)\w*){_WORDS}{{0,7}}?[^\w.]+{_COMMERCIAL}"
    rf"|\b{_COMMERCIAL}{_WORDS}{{0,8}}?[^\w.]+(?:(?:not|never|cannot|n[a\u00e3]o|nicht){_WORDS}{{0,3}}?[^\w.]+(?:permit"
    r"|allow|authori[sz]|grant|licen|includ|covered|use|erlaubt|gestattet)|prohibit|forbid|exclud|disallow"
    r"|requires?\s(?:\w+\s){0,3}?(?:permission|licen|agreement|consent)|(?:please\s)?contact)"
)
_ND = re.compile(
    r"no[n]?[\s\u2010-\u2014-]*deriv|\bnd\b|\bpassed along unchanged"
    r"|\b(?:no|not|without|nor)\s(?:\w+\s){0,2}?(?:(?:modif(?:ications?|ied|y)|adapt(?:ations?|ed)?|alter(?:ations?|ed)?"
    r"|chang(?:es?|ed)|transform(?:ed|ations?)?|edit(?:s|ed)?)\b(?!\s(?:were|was|have|has)\b))"
)
_SA = re.compile(
    r"share[\s\u2010-\u2014-]*a?like|\bsa\b"
    r"|\b(?:same|similar|identical)\s(?:(?:or|and)\s\w+\s)?(?:creative\scommons\s)?(?:licen[sc]|terms)"
)
# What permits, though it has a word that forbids: a licence for both uses, and freedom from asking.
_PERMITTED = re.compile(
    r"commercial(?<!non-commercial)(?<!non commercial)(?<!noncommercial)"
    r"\s*(?:and|or|/|as well as)\s*non[\s-]*commercial"
    r"|non[\s-]*commercial\s*(?:and|or|/|as well as)\s*commercial"
    r"|\b(?:without|no|not)\s(?:\w+\s){0,2}?(?:restrict\w*|limit\w*|permission|fee|charge)s?"
    r"(?:\s(?:is|are)\s(?:required|needed|necessary))?|\bpermission\sis\snot\s(?:required|needed)"
    r"|\bnot\s(?:prohibit|exclude|preclude|forbid)\w*|\bnot\s(?:only|just|limited\sto)\b"
)
# Words of terms that withhold something.
_WITHHELD = re.compile(
    r"\b(?:reserved|permission|authori[sz]ation|consent|only|not?|nor|cannot|without|personal|private|prohibit\w*|forbid\w*"
    r"|restrict\w*|exclu\w+|subscri\w+)\b"
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


def permits_parts(code: str | None) -> bool:
    """Whether a licence permits to share parts: none without derivatives (CC BY-ND 4.0, 2(a)(1)), no unknown one."""
    return code is not None and code != OTHER and not code.endswith("ND")


def stricter(a: str, b: str) -> str:
    """Of two licence codes the one that permits less; ``other`` permits least.

    Raises:
        ValueError: One of them is none of :data:`CODES`.
    """
    return max(a, b, key=CODES.index)


def stricter_group(a: str, b: str) -> str:
    """Of two of the :data:`GROUPS` the one that permits less."""
    return max(a, b, key=GROUPS.index)


def code_of_url(url: str) -> str:
    """Code of a Creative Commons licence by its URL, of any version and port; ``other`` for every other URL."""
    match = _URL.search(unquote(url).lower())
    return OTHER if match is None else _code_of_match(match)


def named_url(text: str) -> str | None:
    """The first URL of a Creative Commons licence in a text, None where it has none."""
    match = _URL.search(text.lower())
    return text[match.start() : match.end()].rstrip(".,;:)]") if match else None


def _code_of_match(match: re.Match[str]) -> str:
    """Code of the licence that a URL names, however its terms are set apart: ``by-nc``, ``by_nc``, ``bync``."""
    if match["public"]:
        return "CC0"
    terms: set[str] = set()
    for part in match["terms"].split("/"):
        found = [word for word in _NOT_A_LETTER.split(part.partition(".")[0]) if word and word != "cc"]
        if not all(_RUN_OF_TERMS.fullmatch(word) for word in found):
            if not terms:
                return OTHER
            break
        terms.update(word[at : at + 2] for word in found for at in range(0, len(word), 2))
    return _TERMS.get(frozenset(terms), OTHER)


@lru_cache(maxsize=1024)
def code_of_text(text: str) -> str:
    """Code of the licence that a text names in words or by URLs, the strictest where it names several.

    A CC0 waiver beside another licence covers the data only, so the other one counts. Publishers have few
    statements, so that most texts were read before.
    """
    lower = unquote(text).lower()
    codes = {_code_of_match(match) for match in _URL.finditer(lower)} - {OTHER}
    words = _PERMITTED.sub(" ", _URL.sub(" ", lower))
    is_named = _NAMED.search(words) is not None
    if is_named and not _ATTRIBUTION.search(words):
        if _ZERO.search(words):
            codes.add("CC0")
        is_named = False
    nc, nd, sa = (pattern.search(words) is not None for pattern in (_NC, _ND, _SA))
    if is_named or (codes - {"CC0"} and (nc or nd or sa)):
        codes.add(_code(nc=nc, nd=nd, sa=sa))
    if len(codes) > 1:
        codes.discard("CC0")
    return max(codes, key=CODES.index, default=OTHER)


def read_license(article: Element) -> License:
    """The licence of an article, by ``license/@xlink:href``, ``ali:license_ref`` and the text, in that order of trust.

    Where the text, PMC's own note of the licence or ``license/@license-type`` permits less than the URL says, that
    counts. The type alone counts where the article names no other address and withholds nothing in its texts.
    """
    meta = article.find("front/article-meta")
    licenses = [] if meta is None else [*meta.iterfind("permissions/license"), *meta.iterfind("license")]
    hrefs = [url for element in licenses if (url := (href(element) or "").strip())]
    refs = [text for element in licenses for ref in element.iter("license_ref") if (text := readable(ref))]
    if meta is not None:
        refs += [text for ref in meta.iterfind("permissions/license_ref") if (text := readable(ref))]
    named = ("ext-link", "uri", "graphic", "inline-graphic")
    links = [link for element in licenses for node in element.iter(*named) if (link := href(node))]
    texts = [text for element in licenses if (text := readable(element, skip=("license_ref",)))]
    statements: list[str] = []
    if meta is not None:
        nodes = [*meta.iterfind("permissions/copyright-statement"), *meta.iterfind("copyright-statement")]
        statements = [text for element in nodes if (text := readable(element))]
        texts += [text for text in statements if code_of_text(text) != OTHER]

    values = [] if meta is None else [_value(node) for node in meta.iterfind("custom-meta-group/custom-meta")]
    metas = [value for value in values if value]
    types = [kind for element in licenses if (kind := element.get("license-type") or "")]
    by_url = [code for url in [*hrefs, *refs] if (code := code_of_url(url)) != OTHER]
    words = "\n".join([*texts, *links, *metas])
    if by_url or code_of_text(words) != OTHER or not (hrefs or refs or _withholds([*texts, *statements, *metas])):
        words = "\n".join([words, *types])
    said = code_of_text(words)
    code = by_url[0] if by_url else said
    if said != OTHER:
        code = stricter(code, said)
    written = [found for text in texts if (found := named_url(text))]
    urls = [url for url in [*hrefs, *refs, *links, *written] if code_of_url(url) != OTHER] or [*hrefs, *refs]
    return License(urls[0] if urls else None, code, license_group(code))


def _withholds(texts: list[str]) -> bool:
    return any(_WITHHELD.search(_PERMITTED.sub(" ", text.lower())) for text in texts)


def _code(*, nc: bool, nd: bool, sa: bool) -> str:
    return "CC BY" + ("-NC" if nc else "") + ("-ND" if nd else "-SA" if sa else "")


def _value(custom: Element) -> str | None:
    """What a ``custom-meta`` says of the licence; PMC adds one to what it has from the publisher."""
    if (readable(custom.find("meta-name")) or "").lower() != "pmc-license-ref":
        return None
    return readable(custom.find("meta-value"))
