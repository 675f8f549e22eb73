"""Libraries, maps, sites and machines that pictures are taken from, and pictures that are nobody's any more."""

from __future__ import annotations

import re

from biomedica_ray.jats.stems import has_any

# Libraries, maps and machines whose name says enough.
_SOURCES = re.compile(
    r"\b(?:google\s(?:earth|maps?|street)|openstreetmap|bing\smaps|getty\simages|shutterstock|istock\w*|adobe\sstock"
    r"|wikimedia|wikipedia\scommons|from\swikipedia|flickr|freepik|flaticon|pixabay|unsplash|pexels|vecteezy|rawpixel"
    r"|alamy|depositphotos|dreamstime|servier|smart\s(?:servier|medical\sart)|phylopic|mapchart|radiopaedia|noun\sproject"
    r"|science\sphoto\slibrary|biodiversity\sheritage|library\sof\scongress|wellcome\s(?:images|library|collection)"
    r"|public\shealth\simage\slibrary|phil\s?(?:#|id\b)\s?\d|copernicus\s(?:sentinel|data)|dall[\s\u00b7\u2022.-]?e\b"
    r"|our\sworld\sin\sdata|midjourney|stable\sdiffusion|chatgpt|blausen|fotolia|123rf|bigstock|thinkstock|corbis|akg[\s-]images|bridgeman"
    r"|mary\sevans|agence\sfrance|magnum\sphotos|picture[\s-]alliance|ullstein\sbild|art\sresource|europeana|gallica|internet\sarchive"
    r"|mapbox|maptiler|sketchfab|thingiverse|turbosquid|scidraw|bioicons|openstax|khan\sacademy|macaulay\slibrary|antweb"
    r"|kegg\s(?:pathway\s)?maps?)"
    r"|[:(/©]\s?wikipedia"
    r"|\bscreen\s?(?:shot|capture)s?\s(?:\w+\s)?from\s"
    # A page that is somebody's, "Screenshot of the Roe dashboard", but not the authors' own program.
    r"|\bscreen\s?(?:shot|capture)s?\sof\s(?:the\s|an?\s)?(?!\(|[^\n]*\b(?:our|we|here|this\s(?:study|paper|work)|developed|proposed|authors?"
    r"|forms?|interface|gui|ui|app|application|software|plug-?in|used|during|experiment\w*|task|analysis|simulation|code|(?:video|movie)s?\s\S?\d+)\b)(?-i:[A-Z])",
    re.IGNORECASE,
)
_NAMED = (
    *(
        "google",
        "streetmap",
        "bing maps",
        "getty",
        "shutterstock",
        "istock",
        "adobe stock",
        "wiki",
        "flickr",
        "freepik",
    ),
    *("flaticon", "pixabay", "unsplash", "pexels", "vecteezy", "rawpixel", "alamy", "depositphotos", "dreamstime"),
    *("servier", "smart medical", "phylopic", "mapchart", "radiopaedia", "noun project", "photo library"),
    *("biodiversity heritage", "library of congress", "wellcome", "image library", "phil #", "phil#", "phil id"),
    *(
        "copernicus",
        "dall",
        "our world in data",
        "midjourney",
        "stable diffusion",
        "chatgpt",
        "blausen",
        "screenshot",
        "screen shot",
    ),
    *(
        "fotolia",
        "123rf",
        "bigstock",
        "thinkstock",
        "corbis",
        "akg",
        "bridgeman",
        "mary evans",
        "agence france",
        "magnum",
    ),
    *(
        "picture alliance",
        "picture-alliance",
        "ullstein",
        "art resource",
        "europeana",
        "gallica",
        "internet archive",
        "mapbox",
    ),
    *(
        "maptiler",
        "sketchfab",
        "thingiverse",
        "turbosquid",
        "scidraw",
        "bioicons",
        "openstax",
        "khan academy",
        "macaulay",
    ),
    *("antweb", "kegg"),
    *("screencapture", "screen capture"),
)
# What libraries of the bench hold, and what is done with them.
_OF_BENCH = (
    r"(?:DNA|RNA|phage|display|compound|mutant|sequenc|screen|peptide|genom|clone|molecul|chemical|fragment|plasmid|antibod"
    r"|crispr|knock|hybrid|inhibitor|drug|spectr|variant|barcod|oligo|combinatori|transpos|single-cell)"
)
# Kinds of places that a picture is from, and the picture before that. "Internet-connected" is none.
_PLACE = re.compile(
    r"\sfrom\s(?:the\s|an?\s)?(?:[\w.,&'\u2019-]+\s){0,5}(?:atlas|museum|archives?(?!\sof\s(?:the|our)\s(?:department|hospital|clinic|institution|laborator))|web\s?site|web\s?page|homepage"
    r"|internet|(?:text|hand)book|brochure|encyclop\w+"
    rf"|library(?!\s(?:prep|screen|construct|sequenc|generat|siz|clon|member|pool|of\s(?:[\w-]+\s){{0,2}}?[\w-]*{_OF_BENCH})))"
    r"\b(?![-\u2010\u2011]\w)"
    r"|\s(?:del?|do|da)\s(?:libro|livro|atlas|tratado|s[ií]tio|p[aá]gina|site)\b",
    re.IGNORECASE,
)
_BENCH_LIBRARY = re.compile(rf"{_OF_BENCH}[\w-]*\s(?:[\w-]+\s)?library\Z", re.IGNORECASE)
_PLACES = (
    *("atlas", "museum", "librar", "archive", "website", "web site", "webpage", "web page", "homepage", "internet"),
    *("textbook", "handbook", "brochure", "encyclop", " libro", " livro", " tratado", " sitio", " sítio", " página"),
    *("do site", "da pagina"),
)
_OF_PLACE = re.compile(
    r"\b(?:images?|photo\w*|pictures?|figures?|illustrations?|diagrams?|drawings?|maps?|sections?|plates?|outlines?|figura"
    r"|ima[gj]e[mn]|foto|mapa),?(?:\s\w+){0,2}\Z",
    re.IGNORECASE,
)
_LONGEST_PICTURE = 50
_PUBLIC_DOMAIN = re.compile(
    # A receptor may have a public domain.
    r"\b(?:dom[ií]nio\spúblico|domaine\spublic|gemeinfrei|pubblico\sdominio)\b|\bpublic[\s-]domain\b(?!\s?:|\s(?:data|software|dedication|code|sequence|program|tool))"
    r"(?:(?<=\bin\sthe\spublic[\s-]domain)|(?!\sof\b))",
    re.IGNORECASE,
)
# What is in the public domain and is no picture.
_NO_PICTURE = re.compile(r"\b(?:data\w*|sequences?|software|code|programs?|results?|records?)\b[^.]*\Z", re.IGNORECASE)


def is_from_library(text: str, lower: str) -> bool:
    """Whether a picture is out of a library, from a map service or a site, or in the public domain.

    Args:
        text: A caption or an attribution.
        lower: The same in lower case.
    """
    if has_any(lower, _NAMED) and _SOURCES.search(text):
        return True
    if has_any(lower, _PLACES) and any(
        _follows(_OF_PLACE, found) and not _BENCH_LIBRARY.search(found[0]) for found in _PLACE.finditer(text)
    ):
        return True
    return has_any(lower, ("public", "públic", "gemeinfrei", "pubblico")) and any(
        not _follows(_NO_PICTURE, found) for found in _PUBLIC_DOMAIN.finditer(text)
    )


def _follows(pattern: re.Pattern[str], found: re.Match[str]) -> bool:
    start = found.start()
    return pattern.search(found.string[max(0, start - _LONGEST_PICTURE) : start]) is not None
