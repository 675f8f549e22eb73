"""Houses that a caption names and says nothing more of: agencies, museums, archives, societies behind a picture.

``(USGS)`` behind a satellite view, ``London Metropolitan Archives.`` as a last sentence, ``INSEE, 2019`` at the end:
there is no word of a credit, but a house that stands alone is no part of what a picture shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from biomedica_ray.jats.stems import has_any
from biomedica_ray.jats.works import NAME, NO_AUTHOR, NO_COUNTRY

_AGENCY = (
    r"(?:NASA|ESA|ESO|NOAA|USGS|NIH|NCI|NHGRI|CDC|WHO|USDA|FAO|JAXA|EPA|FDA|NIST|UNESCO|UNICEF|ECDC|JPL|Caltech|Esri|ESRI|Google"
    r"|DigitalGlobe|GeoEye|Maxar|CNES|Airbus|HERE|Garmin|TomTom|Mapbox|OpenStreetMap|GEBCO|IGN|Landsat(?:\s\d)?|Sentinel(?:-\d)?"
    r"|Copernicus|NIAID|Wikimedia|Wikipedia)"
)
_AGENCIES = rf"{_AGENCY}(?:(?:/|-|,\s|\sand\s|\s&\s|\s/\s){_AGENCY})*"
# What it is that an agency in brackets stands behind.
_SEEN = ("image", "photo", "picture", "map", "view", "scene")
_IN_BRACKETS = re.compile(rf"\((?P<house>{_AGENCIES})\)")
_OF_VIEW = re.compile(r"\b(?i:images?|photo\w*|pictures?|maps?|views?|imagery|scenes?)\b[^.()]{0,60}?\s\Z")
_MADE_WITH = re.compile(r"\b(?:in|with|using|software|by)\b[^.]*\Z", re.IGNORECASE)
_AT_END = re.compile(rf"(?:\A|[.\n]\s)(?P<house>{_AGENCIES})(?:,\sCC[\s-]BY[\w\s.-]*)?\s?\.?\Z")
# "Pyramid of ages, INSEE 2019."; others only with a comma or what they publish, as "gliomas, WHO 2021" are of a class.
_COUNTS = r"(?:INSEE|IBGE|DATASUS|INE|ISTAT|INEGI|DANE|ONS|OECD|OCDE|UNHCR|UNAIDS|UNDP|UNEP|Eurostat|Destatis)"
_DATED = re.compile(
    rf"[.;,(]\s?(?P<house>{_COUNTS}|{_AGENCY}(?:(?:\s[A-Z][a-z]+){{1,3}}|(?=,))),?\s(?:19|20)\d\d\)?\s?\.?\Z"
)
_WORD = r"[A-Z\u00c0-\u00de][\w.'\u2019&-]*"
_JOIN = (
    r"(?:[,/]?\s(?:(?:of|the|and|de|da|do|du|des|di|del|della|der|für|for|on|per|la|et|und|y|e|&|/)\s"
    r"|(?:[dl]|dell|nell|all)['\u2019]){0,2})"
)
# A bracket or a last sentence of names only: "(London Metropolitan Archives, City of London)".
_NAMES = re.compile(
    rf"(?:\(|[.,;\n]\s)(?P<house>{_WORD}(?:{_JOIN}{_WORD}){{0,11}})(?:,?\s(?:Bild\s|no\.\s)?\d+)?\s?(?:\)|\.?\Z|\.\s)"
)
# Those that hold pictures, and those that publish them.
_HOLDS = re.compile(
    r"\b(?i:museu|mus[eé]|archiv|arquiv|librar|\w*bibliot|galler|glypto|pinaco|kunsthal|rijks|national\strust|acervo|\w*archiv\b)"
)
_COLLECTS = re.compile(r"\b(?i:collection|sammlung)")
_PUBLISHES = re.compile(
    r"\b(?:Organi[sz]ation|Association|Society|Agency|Ministry|Bureau|Council|Commission|Collaboration|Consortium|Academy|Federation"
    r"|Foundation|Institut[oe]?\s(?:[Nn]a[ct]ional|Geogr[aá]\w+|Brasil\w+)|Minist[eé]r\w+|Sociedad\w?|Société|Gesellschaft|Bundesamt)\b"
)
# What makes it a picture of old times rather than where something is kept.
_OLD = re.compile(
    r"\b(?:1[0-8]\d\d|19[0-5]\d)\b|\b(?i:engravings?|woodcuts?|lithographs?|etchings?|watercolou?rs?|paintings?|frescos?|portraits?"
    r"|caricatures?|manuscripts?|statues?|sculptures?|papyrus|codex|bust|photographs?\sof\s(?:the\s)?(?:ward|hospital))\b"
)
_KEPT = re.compile(
    r"\b(?:holo|para|lecto|syn|neo)?types?\b|\bspecimens?\b|\b(?:deposited|housed|stored|herbarium)\b"
    r"|\b(?:habitus|aedeagus|genitalia|spermatheca|(?:fore|hind)wings?|dorsal|ventral|lateral)\b|\b(?-i:[A-Z]{2,})[\s-]\d",
    re.IGNORECASE,
)
# Whose numbers are drawn, "calculations based on ... (NBS, 2019)", and what letters stand for, "WHO, World Health ...".
_NO_SOURCE = re.compile(r"\b(?:based\son|data\s(?:from|of)|calculat\w+|estimat\w+)\b|\babbrev", re.IGNORECASE)
# What houses set the rules of, "classes of the New York Heart Association": the authors' own is sorted by them.
_BY_RULES = re.compile(
    r"\b(?:class(?:es)?|classif\w+|grad(?:es?|ing)|stag(?:es?|ing)|scor\w+|scales?|status|types?|criteri\w+|standards?|definitions?|cut-?offs?"
    r"|thresholds?|guidelines?|z-scores?)\b",
    re.IGNORECASE,
)
_SPELT_OUT = re.compile(r"\b[A-Z][A-Za-z]*[A-Z]\w*\s?[,:=]")
_HOUSES = (
    *(
        "muse",
        "musé",
        "archiv",
        "arquiv",
        "librar",
        "bibliot",
        "galler",
        "glypto",
        "pinaco",
        "kunsthal",
        "rijks",
        "national trust",
    ),
    *(
        "acervo",
        "collection",
        "sammlung",
        "organi",
        "association",
        "society",
        "agency",
        "ministry",
        "bureau",
        "council",
    ),
    *("commission", "collabor", "consortium", "academy", "federation", "foundation", "institut", "minist", "sociedad"),
    *("société", "gesellschaft", "bundesamt"),
)
_YEAR = re.compile(r"(?:19|20)\d\d\)?\.?\Z")
_LONGEST_BEHIND, _LONGEST_LAST = 80, 160
# A last sentence that is the name of a house, "XL Catlin Seaview Survey.", or two people's and a year.
_LAST = re.compile(
    rf"(?:[.)\]]\s|\n)(?P<house>(?=(?:\S+\s)*?[A-Z][a-z]{{2,}}\S*\s(?:\S+\s)*?[A-Z][a-z]{{2,}}){_WORD}(?:{_JOIN}{_WORD}){{1,9}})(?:,?\s(?:19|20)\d\d)?\s?\.?\Z"
)
_INSTITUTION = re.compile(
    r"\b(?:Survey|Project|Program(?:me)?|Service|Press|Publish\w+|Publications|Administration|National\s(?:Cent(?:er|re)s?|Librar\w+|Institut\w+)"
    r"|Instituto?\s(?:Nacional|Geogr\w+))\b"
)
# Whose numbers are drawn, where it is people that are surveyed.
_COHORT = re.compile(
    r"%|\b(?:n\s?=|prevalence|proportions?|percent\w*|trends?|rates?|means?|median|curves?|odds|hazard|regression|incidence|mortality|weighted"
    r"|ages?|scores?|survival|risk|associations?|diffusivity|connectivity|participants?|patients?|cohorts?)\b",
    re.IGNORECASE,
)
_TWO = re.compile(
    rf"(?!(?:Bosnia|Trinidad|Antigua|Newfoundland|Jammu|Castill?[ae]|North|South|East|West|Spring|Summer|Autumn|Winter)\b)"
    rf"{NO_AUTHOR}{NO_COUNTRY}{NAME}\s(?:and|&)\s{NAME},?\Z"
)
_NO_NAME = re.compile(
    r"\b(?:scale|bars?|magnif\w+|original|stain\w*|h[ae]?ematoxylin|eosin|giemsa|masson|trichrome|kaplan|student|test|means?|values?|error"
    r"|figures?|tables?|see|supplement\w*|colou?rs?|online|abbrev\w*|arrows?|notes?|sprague|whitney|wilcoxon|tukey|bonferroni|anova"
    r"|left|right|top|bottom|panels?|view|images?|mice|rats?|group|control)\b|[\d×]",
    re.IGNORECASE,
)
_CAPITALISED, _LONG_WORD = 0.8, re.compile(r"[^\W\d_]{4,}")


def named_alone(text: str, lower: str) -> Iterator[str]:
    """The houses that a bracket, a sentence or a caption's end names, and nothing else.

    Args:
        text: A caption or an attribution.
        lower: The same in lower case.
    """
    for found in _IN_BRACKETS.finditer(text) if "(" in text and has_any(lower, _SEEN) else ():
        view = _OF_VIEW.search(text, max(0, found.start() - _LONGEST_BEHIND), found.start())
        if view and not _MADE_WITH.search(text, max(0, view.start() - _LONGEST_BEHIND), view.start()):
            yield found["house"]
    end = text[-_LONGEST_BEHIND:]
    dated = _DATED.search(end)
    if at_end := _AT_END.search(end) or (
        None if dated and (_NO_SOURCE.search(text) or _BY_RULES.search(text)) else dated
    ):
        yield at_end["house"]
    last = _LAST.search(text, max(0, len(text) - _LONGEST_LAST))
    if last and _is_name(last, text) and not _is_in_title_case(text[: last.start()]):
        yield last["house"]
    if has_any(lower, _HOUSES) or (text.rstrip(" .").endswith(")") and _OLD.search(text)):
        yield from _alone(text)


def _is_name(last: re.Match[str], text: str) -> bool:
    """Whether a last sentence names a house that has pictures, or two people and a year: no place, stain or method."""
    house = last["house"]
    if _NO_NAME.search(house):
        return False
    if _HOLDS.search(house) or _COLLECTS.search(house):
        return not _KEPT.search(text[: last.start()])
    if _INSTITUTION.search(house) and not _COHORT.search(text[: last.start()]):
        return True
    return _YEAR.search(last[0].rstrip(" .")) is not None and _TWO.match(house) is not None


def _is_in_title_case(text: str) -> bool:
    words: list[str] = _LONG_WORD.findall(text)
    return sum(word[0].isupper() for word in words) > _CAPITALISED * len(words)


def _alone(text: str) -> Iterator[str]:
    is_kept, is_old = _KEPT.search(text) is not None, _OLD.search(text) is not None
    for found in _NAMES.finditer(text):
        house = found["house"]
        is_last = not text[found.end() :].strip(" .")
        in_bracket = found[0][0] == "(" and " " in house
        holds = _HOLDS.search(house) or (is_old and (_COLLECTS.search(house) or (is_last and in_bracket)))
        opens = (found[0][0] in "(.\n" or _YEAR.search(found[0])) and not _SPELT_OUT.match(house)
        if (holds and not is_kept) or (
            is_last
            and opens
            and _PUBLISHES.search(house)
            and not (_NO_SOURCE.search(text) or _BY_RULES.search(text[: found.start()]))
        ):
            yield house
