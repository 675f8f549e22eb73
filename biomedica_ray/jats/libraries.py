"""Libraries, maps, sites and machines that pictures are taken from, and pictures that are nobody's any more."""

from __future__ import annotations

import re

from biomedica_ray.jats.stems import has_any

# Libraries, maps and machines from which pictures are taken.
_SOURCES = re.compile(
    r"\b(?:google\s(?:earth|maps?|street)|openstreetmap|bing\smaps|getty\simages|shutterstock|istock\w*|adobe\sstock"
    r"|wikimedia|wikipedia\scommons|from\swikipedia|flickr|freepik|flaticon|pixabay|unsplash|pexels|vecteezy|rawpixel|alamy"
    r"|depositphotos|dreamstime|servier|smart\s(?:servier|medical\sart)|phylopic|mapchart|radiopaedia|noun\sproject"
    r"|science\sphoto\slibrary|biodiversity\sheritage|library\sof\scongress|wellcome\s(?:images|library|collection)"
    r"|public\shealth\simage\slibrary|copernicus\s(?:sentinel|data)|dall[\s\u00b7\u2022.-]?e\b|midjourney|stable\sdiffusion|chatgpt|blausen)"
    r"|\bPHIL\s?(?:#|ID\b|image\b)?\s?\d"
    r"|\b(?:figura|ima[gj]e[mn]|foto|mapa)\s\w+\s(?:del?|do|da)\s(?:libro|livro|atlas|tratado|s[ií]tio|p[aá]gina|site)\b"
    r"|\bscreen\s?(?:shot|capture)s?\s(?:\w+\s){0,2}from\s"
    r"|\b(?:images?|photo\w*|pictures?|figures?|illustrations?|diagrams?|drawings?|maps?|sections?|plates?|outlines?),?\s"
    r"(?:\w+\s){0,2}from\s(?:the\s|an?\s)?(?:[\w.'\u2019-]+\s){0,5}(?:atlas|museum|library|archives?|web\s?site|web\s?page|homepage"
    r"|internet|(?:text|hand)book|brochure|encyclop\w+)\b",
    re.IGNORECASE,
)
_STEMS = (
    *(
        "google",
        "screen",
        "atlas",
        "museum",
        "librar",
        "archive",
        "pexels",
        "vecteezy",
        "rawpixel",
        "alamy",
        "radiopaedia",
        "noun project",
        "heritage",
        "wellcome",
        "copernicus",
        "streetmap",
        "bing maps",
        "getty",
        "stock",
        "wiki",
        "flickr",
        "freepik",
        "flaticon",
        "pixabay",
        "unsplash",
    ),
    *(
        "deposit",
        "dreamstime",
        "servier",
        "phylopic",
        "mapchart",
        "dall",
        "midjourney",
        "diffusion",
        "chatgpt",
        "blausen",
    ),
    *(
        "web",
        "homepage",
        "internet",
        "book",
        "brochure",
        "encyclop",
        "phil",
        "libro",
        "livro",
        "tratado",
        "tio",
        "página",
        "site",
    ),
)

_PUBLIC_DOMAIN = re.compile(
    r"\bpublic[\s-]domain\b(?!\s?:|\s(?:data|software|dedication|code|sequence|program|tool))", re.IGNORECASE
)
# What is in the public domain and is no picture.
_NO_PICTURE = re.compile(r"\b(?:data\w*|sequences?|software|code|programs?|results?|records?)\b[^.]*\Z", re.IGNORECASE)


def is_from_library(text: str, lower: str) -> bool:
    """Whether a picture is out of a library, from a map service or a site, or in the public domain.

    Args:
        text: A caption or an attribution.
        lower: The same in lower case.
    """
    if has_any(lower, _STEMS) and _SOURCES.search(text):
        return True
    return "public" in lower and any(
        not _NO_PICTURE.search(text[max(0, found.start() - 60) : found.start()])
        for found in _PUBLIC_DOMAIN.finditer(text)
    )
