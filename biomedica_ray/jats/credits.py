"""Whom a text credits with a picture: photographers, donors, sources, in the languages of the articles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from biomedica_ray.jats.stems import has_any, least
from biomedica_ray.jats.works import NAME

# A title is nothing else, and an initial has a sign behind it: else words in capitals could be read in countless ways.
_TITLE = r"(?:(?:Drs?|Dra|Prof|Profa|Mrs?|Ms)\.?\s)*+"
_BETWEEN = r"(?:[A-Z](?:\.\s?|\s)|(?:de|da|van|von|der|den|la|di|del)\s)"
_PERSON = rf"{_TITLE}(?:(?:[A-Z]\.[\s-]?)+{NAME}|{NAME}(?:\s{_BETWEEN}*{NAME})+)"
# Several of them: "Ann Roe and Jane Doe".
_PEOPLE = rf"{_PERSON}(?:(?:,|\sand|\s&)\s{_PERSON})*"
# Houses that have pictures.
_HOUSE = (
    r"(?=[A-Z])[^.;\n]{0,40}?\b(?i:museu|mus[eé]|archiv|arquiv|institut|universi|librar|bibliot|societ|agenc|foundation"
    r"|zoo\b|survey\b|administrat|ministr|\w*amt\b|bureau|council|commission|hospital|klini)\w*"
)
_SOMEBODY = rf"(?:{_PERSON}|[A-Z]{{2,}}\b|(?:the\s)?{NAME}(?=\s?(?:[.,;)\n/(]|\Z)))"
_PICTURES = (
    "photographs?|photos?|photomicrographs?|images?|pictures?|illustrations?|drawings?|artworks?|paintings?|portraits?"
    "|ilustraç[ãa]o|ilustraci[oó]n|illustrazione|fotos?|fotografias?|fotografías?|photographies?|fotografie|clichés?|bild|bilder|abbildung|immagin[ei]|im[aá]ge(?:ns?|nes)"
    "|imagem|imagen|dibujos?|desenhos?|dessins?|zeichnung|disegn[oi]|micrographs?|cartoons?|sketch(?:es)?|grafik|infographics?"
    "|phot|photogr|illus|illustr"
    "|photographers?|illustrators?|artists?|cartographers?|engravings?|etchings?|lithographs?|woodcuts?|watercolou?rs?|frescos?"
    r"|artist['\u2019]?s['\u2019]?\s(?:reconstructions?|impressions?)|(?:oil|tempera|acrylic)\son\s\w+|postcards?|posters?|daguerreotypes?"
)
_LONGEST_PICTURE = 30
# What is credited runs to the end of its clause; the full stops of initials do not end it.
_CLAUSE = r"(?:[A-Z]\.\s?)*[^.;)\n]+"
_MADE_BY = ("created by", "designed by", "prepared by", "produced by", "rendered by", "made by")
_FIGURE_BY = ("figure by", "map by", "diagram by", "scheme by")
_AGENCY = "NASA|ESA|ESO|NOAA|USGS|NIH|NCI|NHGRI|CDC|WHO|USDA|FAO|JAXA|EPA|FDA|NIST|UNESCO"
_SUPPLIED = (
    "made available by",
    "shared by",
    "provided by",
    "supplied by",
    "contributed by",
    "donated by",
    "lent by",
    "loaned by",
    "sent by",
    "gift of",
    "gift from",
)
_SOURCES = (
    *(
        "source",
        "fonte",
        "fuente",
        "quelle",
        "fonti",
        "nachweis",
        "rechte",
        "rights:",
        "bildautor",
        "urheber",
        "base carto",
    ),
    *("kartengrundlage", "fond de carte", "mapa base"),
)
_GIVEN = (
    "cedid",
    "facilitad",
    "proporcionad",
    "fornecid",
    "fourni",
    "gracieus",
    "fornit",
    "concess",
    "elaborad",
    "realizad",
)


# What is by somebody only where the word for it is "by": "Art: assisted reproduction", "Reconstruction: filtered".
_BY_SOMEBODY = "art|renderings?|reconstructions?|silhouettes?"


class _Credit(NamedTuple):
    """A way of naming whose a picture is: what a text has to contain, in lower case, and the pattern, who is named.

    Where a kind of picture has to stand before that, ``behind`` says so: it is looked for from the rarer word back,
    in as many characters as ``window`` has.
    """

    stems: tuple[str, ...]
    pattern: re.Pattern[str]
    behind: re.Pattern[str] | None = None
    window: int = _LONGEST_PICTURE


# Ways of naming somebody after whom there may be a technique instead: "Image by Scanning Electron Microscopy".
_MAKERS = (
    # "Photo: A. Roe", "Photograph by Ann Roe", "Foto: Ana Roe".
    _Credit(
        (":", "©", "(c)"),
        re.compile(rf"(?:[:©]|\([cC]\))\s*(?P<who>{_PEOPLE}|[A-Z]{{2,}}\b|{_HOUSE}|[\w-]+\.(?:com|org|net)\b)"),
        re.compile(
            rf"\b(?:{_PICTURES}|graphics?|maps?(?:\s(?:production|design|creation))?|cartography|carte|karte|mapa|mappa)\.?\s?\Z",
            re.IGNORECASE,
        ),
    ),
    _Credit(
        (" by ", " de ", " von ", " di ", " par ", " por "),
        re.compile(
            rf"\s(?i:by|de|von|di|par|por)\s(?:the\s(?:[a-z]+\s?){{1,2}},?\s)?(?P<who>{_PEOPLE}|[A-Z]{{1,3}}\s{NAME}|the\s{_HOUSE}|the\s{NAME}(?:\s{NAME})+(?=\s?[.,;)\n]|\Z))"
        ),
        re.compile(
            rf"\b(?:{_PICTURES}|{_BY_SOMEBODY}|graphics?|maps?|charts?)(?:\s(?:taken|made|drawn))?\Z", re.IGNORECASE
        ),
    ),
    # "Map created by Jane Doe", "Created by Jane Doe", "Figure by Jane Doe."
    _Credit(
        _MADE_BY,
        re.compile(
            rf"(?:\A|[.(\n]\s?|\b(?i:{_PICTURES}|figures?|maps?|diagrams?|schem[ae]\w*|graphics?)\s(?:was\s|were\s)?)"
            rf"(?i:created|designed|prepared|produced|rendered|made)\sby\s(?:the\s)?(?P<who>{_PERSON}|{_HOUSE}|[A-Z]{{3,}}\b)"
        ),
    ),
    _Credit(
        _FIGURE_BY,
        re.compile(rf"\b(?i:figure|map|diagram|scheme)\sby\s(?P<who>{_PEOPLE})(?=\s?[.;),\n]|\Z)"),
    ),
    # "Photo NASA", "Image NASA/JPL", "Image from NIH".
    _Credit(
        ("photo", "image", "picture", "illustration", "map "),
        re.compile(
            rf"\s(?:(?i:from)\s(?:the\s)?)?(?P<who>(?:{_AGENCY})\b|[A-Z]{{3,}}/[A-Z]\w{{2,}}"
            rf"|(?<=the\s)(?:U\.?S\.?|National|European|Royal|World)\s{NAME}(?:\s(?:of\s)?{NAME})*)"
        ),
        re.compile(r"\b(?:photos?|images?|pictures?|illustrations?|maps?)\Z", re.IGNORECASE),
    ),
    # "Photo Ann Roe.", as a sentence.
    _Credit(
        ("photo",),
        re.compile(
            r"(?:\A|[.(;\n]\s?)(?i:photos?)\s(?!(?:After|Before|Of|From|During|Show\w+|Document\w+|Credit\w*|Album|Series|Report)\b)"
            rf"(?P<who>{NAME}(?:\s[A-Z]\.)*,?\s{NAME}(?=\s?[.;)/\n]|\Z))"
        ),
    ),
    # "Photo A. Roe".
    _Credit(
        ("photo", "foto", "cliché"),
        re.compile(rf"\s(?P<who>(?:[A-Z]\.[\s-]?)+{NAME})"),
        re.compile(r"\b(?:photos?|photographs?|fotos?|clichés?)\Z", re.IGNORECASE),
    ),
    _Credit(
        ("drawn by", "illustrated by", "painted by", "photographed by", "sketched by"),
        re.compile(
            rf"\b(?i:drawn|illustrated|painted|photographed|sketched)\sby\s(?:the\s)?(?:[a-z]+\s){{0,2}}(?P<who>{_PERSON}|{NAME}(?=\sin\s1[4-9]\d\d|\s\(1[4-9]\d\d))"
        ),
    ),
    # "Life restoration of Anomalocaris by Ann Roe".
    _Credit(
        (" by ",),
        re.compile(rf"\sby\s(?P<who>{_PERSON}|{NAME}\sand\s{NAME})(?=\s?[.,;)\n]|\Z)"),
        re.compile(
            rf"\b(?:{_PICTURES}|{_BY_SOMEBODY}|restorations?|maps?|models?)\sof\s[^.;:()\n]{{1,80}}\Z", re.IGNORECASE
        ),
        window=120,
    ),
    # "Photograph of a toad, A. Roe."
    _Credit(
        ("photo", "foto", "drawing", "dessin", "dibujo", "zeichnung"),
        re.compile(
            r"\b(?i:photo(?:graph\w*)?s?|fotos?|fotograf\w+|drawings?|dessin|dibujo|zeichnung)\b[^.]{0,100}?(?:,|\()\s?"
            rf"(?P<who>(?![NSEWC]\.\s?(?:Africa|America|Asia|Europe|Korea|Ireland|Australia|Carolina|Dakota|Wales|Island|India|China)\b)"
            rf"(?:[A-Z]\.[\s-]?)+{NAME})\)?\s?\.?\Z"
        ),
    ),
    # "Phot. A. Roe".
    _Credit(
        ("phot.", "photogr.", "fot.", "illus.", "illustr.", "del.", "zeichn."),
        re.compile(rf"(?:\A|[.(;,\n]\s?)(?i:phot|photogr|fot|illustr?|del|zeichn)\.\s(?P<who>{_PERSON})"),
    ),
    # A service that is somebody's: "generated using Atlas by Doe Ltd".
    _Credit(
        ("generated ", "created ", "produced ", "designed ", "drawn "),
        re.compile(
            r"\b(?i:generated|created|produced|designed|drawn)\s(?i:using|with|in|via)\s[A-Z][^.;,()\n]{1,40}?\sby\s"
            rf"(?P<who>{NAME})"
        ),
    ),
)
_MADE_STEMS = (
    *_MADE_BY,
    *_FIGURE_BY,
    *(
        "photo",
        "foto",
        "image",
        "picture",
        "illustration",
        "drawing",
        "artwork",
        "painting",
        *(
            "portrait",
            "engraving",
            "etching",
            "woodcut",
            "fresco",
            "canvas",
            "postcard",
            "poster",
            "watercolo",
            "daguerreo",
        ),
        "ilustra",
        "cliché",
        "bild",
    ),
    *(
        "micrograph",
        "cartoon",
        "art by",
        "restor",
        "chart",
        "render",
        "reconstruct",
        "silhouette",
        "illus",
        "phot.",
        "fot.",
        "del.",
        "zeichn.",
        "sketch",
        "grafik",
        "artist",
        "graph",
        "map",
        "cart",
        "kart",
        "illustrat",
        "drawn by",
        "painted by",
    ),
    *("immagin", "imáge", "imagen", "imagem", "dibujo", "desenho", "dessin", "zeichnung", "disegn", " using ", " via "),
    *("ed with ", "ed in ", "wn with ", "wn in "),
)
_CREDITS = (
    # "Image credit NASA"; credit alone names anybody.
    _Credit(
        ("credit", "crédit", "bildnachweis"),
        re.compile(
            r"\b(?i:credits?|cr[ée]dit[oi]?s?|bildnachweis)(?:\s(?i:photo|foto|imagem|line))?\s?(?::|(?i:to)\b)\s*"
            rf"(?P<who>{_CLAUSE})"
        ),
    ),
    _Credit(
        ("credit", "crédit"),
        re.compile(rf"\b(?i:credits?|cr[ée]dit[oi]?s?)\s(?:(?i:photo\w*|by)\s)?(?P<who>{_SOMEBODY})"),
    ),
    # Courtesy names its donor whatever the word before is.
    _Credit(
        ("courtesy", "cortes", "courtoisie", "gracieuseté", "gentil"),
        re.compile(
            r"\b(?i:courtesy|cortes[ií]a|courtoisie|gracieuseté|gentileza|gentil\w+\s(?:concess\w+|cedid\w+|fornit\w+))\b"
            r"(?:\s(?i:of|to|from|by|de|del|di|du|da|do|por)\b|\s?[:,]|(?=\s(?:the\s)?[A-Z])|(?<!courtesy)(?<!Courtesy)(?=\s))\s?:?\s*"
            rf"(?P<who>{_CLAUSE})"
        ),
        re.compile(
            r"\A\W*\Z|\b(?!(?:samples?|cells?|strains?|mice|seeds?|antibod\w+|plasmids?|constructs?|vectors?|lines?|virus\w*|specimens?"
            r"|tissues?|reagents?|compounds?|materials?|software|data|code)\b)\w+\W*\Z",
            re.IGNORECASE,
        ),
    ),
    _Credit(
        ("aimable", "freundlicher", "verfügung"),
        re.compile(
            rf"\b(?i:avec\sl['\u2019]aimable\s\w+|mit\sfreundlicher\s\w+|zur\sVerfügung\sgestellt)\b\s*(?P<who>{_CLAUSE})"
        ),
    ),
    _Credit(
        _SUPPLIED,
        re.compile(
            rf"\b(?i:{_PICTURES}|figures?|maps?|scans?|slides?|radiographs?|x-rays?|videos?|schem[ae]\w*|CT|MRI|PET|angiogra\w+|tomogra\w+|histolog\w+)\b[^.;\n]{{0,60}}?\b(?i:kindly|generously)?\s?"
            r"(?i:provided|supplied|contributed|donated|gift|shared|lent|loaned|sent|made\savailable)\s(?i:by|of|from)\s"
            r"(?!(?:Hospital|Clinic|Group|Team|Cent(?:er|re)|Site|Lab(?:oratory)?|Reader|Observer|Rater|Camera|Factor)\s[A-Z\d]\b|the\s(?:Server|Client)\b)"
            r"(?P<who>(?:the\s)?(?:Drs?\.?\s|Prof\.?\s)?[A-Z][^.;)\n]*"
            r"|the\s(?:manufacturer|company|vendor|supplier|producer|distributor)\b[^.;)\n]*)"
        ),
    ),
    _Credit(
        ("provided by", "gift of"),
        re.compile(
            rf"(?:(?:\A|[.(\[;\n]\s?)(?i:kindly\sprovided\sby)|(?:\A|[.\n]\s?)(?:Provided\sby|Gift\sof)(?=\s(?:the\s)?[A-Z]))"
            rf"\s(?P<who>{_CLAUSE})"
        ),
    ),
    _Credit(
        _GIVEN,
        re.compile(
            rf"\b(?i:{_PICTURES}|figuras?|mapas?|carte)\b[^.;\n]{{0,60}}?\b(?i:cedid[oa]s?|facilitad[oa]s?|proporcionad[oa]s?"
            r"|fornecid[oa]s?|fourni\w*|fornit[aoei]|concess[aoei]|elaborad[oa]s?|realizad[oa]s?)\s(?i:por|par|da|dal|dalla|del|pel[oa])\s(?:el\s|la\s|o\s|a\s)?"
            rf"(?P<who>(?:{_TITLE})[A-Z][^.;)\n]*)"
        ),
    ),
    _Credit(
        ("autor", "author", "creator", "elabora", "erstellt", "réalisé"),
        re.compile(
            r"(?:\A|[.(\[;\n]\s?)(?:(?i:aut[oh]+re?s?|creators?)\s?:|(?i:elabora\w+|erstellt|réalisée?s?)\s(?i:por|da|von|par))"
            rf"\s*(?=(?:the\s|l[oae]s?\s|os?\s)?(?-i:[A-Z\u00c0-\u00de]|autor))(?P<who>{_CLAUSE})"
        ),
    ),
    # "Property of the Museum", "from the collection of J. Doe".
    _Credit(
        (
            "property of",
            "collection",
            "archive",
            "teaching file",
            "case file",
            "slide file",
            "photo file",
            "album",
            "estate",
            "papers of",
            "acervo",
            "archiv",
        ),
        re.compile(
            r"(?:(?:\A|[.(\n]\s?|\b(?:is|are)\s(?:the\s)?)(?i:property)\sof"
            rf"|(?:\A|[.(\n]\s?|\b(?i:{_PICTURES})\s)(?i:from)\sthe\s(?i:collections?|archives?|albums?|estate|papers|(?:teaching|case|slide|photo\w*)\s(?:files?|collections?|archives?))\sof"
            r"|(?:\A|[.(\n]\s?)(?i:(?:(?:photo\w*|image|picture)\s(?:archives?|collections?)|archives?)\sof|acervo(?:\sd[aeo])?|archivo\sdel?|archives\sde|archivio(?:\sd\w+)?|bildarchiv))\s(?:the\s)?"
            r"(?P<who>(?:Drs?\.?\s|Prof\.?\s)?(?:[A-Z]\.\s?)*[A-Z][^.;)\n]*)"
        ),
    ),
    # "From USGS.", "CDC/Ann Roe".
    _Credit(
        ("from usgs", "from nasa", "from cdc", "from noaa", "from who", "from the who", "from the cdc", "from fao"),
        re.compile(rf"(?:\A|[.(\n]\s?)(?i:from)\s(?:the\s)?(?P<who>(?:{_AGENCY})\b)(?=\s?[.;)]|\Z)"),
    ),
    _Credit(
        ("cdc/", "nasa/", "esa/", "noaa/", "usgs/", "nih/", "usda/"),
        re.compile(rf"\b(?P<who>(?:{_AGENCY})/\s?{_PERSON})"),
    ),
    # A maker's picture of what it makes: "Image of the robot: Robots, Inc.", though not of what is stained with it.
    _Credit(
        (" inc.", " inc)", " gmbh", " ltd", " corp."),
        re.compile(
            r":\s(?P<who>[A-Z][^.;:\n]{0,60}?\s(?:Inc|GmbH|Ltd|Corp)\b)(?=\.?(?:[;)\n]|,\s[A-Z]|\s[A-Z(]|\s?\Z))"
        ),
        re.compile(
            rf"\b(?:{_PICTURES})\sof\s[^.:;\n]*(?<!stained)(?<!labeled)(?<!labelled)(?<!treated)(?<!cultured)(?<!fected)\Z",
            re.IGNORECASE,
        ),
    ),
    # What lies below a map.
    _Credit(
        ("basemap", "base map", "map data", "background map", "satellite", "imagery", "aerial "),
        re.compile(
            r"\b(?i:base\s?maps?|background\smaps?|map\sdata|(?:satellite|aerial)\s(?:images?|photo\w*|pictures?|imagery)|imagery)\b[^.:;\n]{0,20}?\s?"
            r"(?::|©|\b(?i:source|from|by)\b)[\s:]*(?i:the\s)?(?P<who>[A-Z][^.;)\n]*)"
        ),
    ),
    # "Source: WHO", "Source [12]", "Image source: NASA".
    _Credit(
        _SOURCES,
        re.compile(
            r"(?:[Ss]ource|SOURCE|[Ff]ont[ei]|FONTE|[Ff]uente|FUENTE|[Qq]uelle|QUELLE|[Bb]ildquelle|[Bb]ildrechte"
            r"|[Bb]ildautor(?:in)?|[Uu]rheber|[Bb]ase\scartogr[áa]fica|[Kk]artengrundlage|[Ff]onds?\sde\scarte|[Mm]apa\sbase"
            r"|[Aa]bbildungsnachweis|[Ss]ources?\sof\s(?:the\s)?(?:data|image|figure|map|photo\w*|picture|information)|(?i:image|picture|photo)\s[Rr]ights)[snSN]?"
            r"\s?(?::\s*|(?=[\[(]\s?\d)|[\u2013\u2014-]\s(?=[A-Z]))(?P<who>[^\n]+)"
        ),
        re.compile(
            rf"(?:\A|[.(\[;:,\n]\s?|\b(?:{_PICTURES}|figure|map|data(?:\sand\smap)?)\s)(?:original\s)?\Z", re.IGNORECASE
        ),
    ),
)
# What may stand where a name is sought and is none: ways of making pictures.
_TECHNIQUE = re.compile(
    r"microscop|micrograph|tomograph|resonance|electron|imaging|camera|scann|software|radiograph|ultraso|fluoresc|confocal"
    r"|adobe|photoshop|illustrator|arcgis|\besri|qgis|imagej|matlab|prism|excel|powerpoint|biorender|chimera|pymol|python"
    r"|cytoscape|canva|inkscape|corel|sketchup|blender|version|package|program|statistic|\bage\b|group"
    # "by Local Authority": what maps and pictures are sorted by.
    r"|\b(?:authority|districts?|regions?|count(?:y|ies)|states?|provinces?|areas?|zones?|countr(?:y|ies)|types?|status|years?|race"
    r"|ethnicity|sex|gender|income|quintiles?|class|sites?|grades?|stages?"
    r"|strains?|genotypes?|treatments?|species|habitats?|depth|seasons?|diet|dose|days?|weeks?|months?|time)\b"
    r"|\b(?:leica|zeiss|nikon|olympus|philips|jeol|hitachi|siemens|canon|toshiba|keyence|shimadzu|bruker|fei)\s\w*?(?-i:[A-Z]{2}|\d)"
    r"|cubes|manifold|approximation|modell?ing|projection|filter|rendering|transform|interpolation|regression|weighting|kriging|entropy"
    r"|expression|intensity|method|casting|component|algorithm|tracing|vision|mapping|processing|learning|microsystem|graphpad|schr.dinger|mathworks|neighbou?r|likelihood|bayes|parsimony"
    r"|\b(?:SEM|TEM|MRI|CT|AFM|PET|LED|DNA|RNA|DAPI|GFP|RFP|HE|ECG|EEG)\b",
    re.IGNORECASE,
)
_CREDIT_STEMS = least(stem for credit in _CREDITS for stem in credit.stems)


def credited(text: str) -> Iterator[str]:
    """Whom a text gives a picture to, one by one: photographers, donors, sources, as far as the words name them."""
    lower = text.lower()
    for credit in _MAKERS if has_any(lower, _MADE_STEMS) else ():
        if has_any(lower, credit.stems):
            yield from (who for who in _named_by(credit, text) if not _TECHNIQUE.search(who))
    for credit in _CREDITS if has_any(lower, _CREDIT_STEMS) else ():
        if has_any(lower, credit.stems):
            yield from _named_by(credit, text)


def _named_by(credit: _Credit, text: str) -> Iterator[str]:
    for match in credit.pattern.finditer(text):
        before = text[max(0, match.start() - credit.window) : match.start()]
        if credit.behind is None or credit.behind.search(before):
            yield match["who"]
