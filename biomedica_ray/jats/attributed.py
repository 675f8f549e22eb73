"""Pictures that a caption gives to somebody by its structure: a kind of picture, a preposition, a source.

Where :mod:`biomedica_ray.jats.borrowed` knows the words of taking over, here there is none: what tells is that a
*picture*, and not data, cells or methods, is from, of, in, by or after a *work*, a person's or a house's.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from biomedica_ray.jats.stems import has_any
from biomedica_ray.jats.works import AFTER_WORK, BY_HAND, NAME, NO_COUNTRY, NO_SOURCE

# Made by hand or printed: never taken from a patient, a donor or an experiment, as photographs and scans are.
_DRAWN = (
    r"(?:illustrations?|drawings?|engravings?|woodcuts?|lithographs?|etchings?|watercolou?rs?|paintings?|frescos?|posters?"
    r"|cartoons?|caricatures?|sketch(?:es)?|diagrams?|schematics?|schemes?|infographics?|clip\s?art|icons?|silhouettes?"
    r"|screen\s?shots?|(?:film|video)\sstills?|algorithms?|flow\s?charts?|tables?|pathway\smaps?|advertisements?|portraits?"
    r"|postcards?|stamps?|frontispieces?|artworks?)"
)
_PICTURED = (
    r"(?:images?|photo(?:graph|micrograph)?s?|pictures?|micrographs?|maps?|figures?|structures?|views?|radiographs?|plates?"
    r"|scans?|panels?|insets?|charts?|graphs?|curves?|sections?|(?:forest|funnel)\splots?"
    rf"|{_DRAWN[3:-1]})"
)
# A name of several words, to the end of its clause: "the US Department of Health", "Gray's Anatomy".
_RUN = rf"{NO_SOURCE}{NAME}(?:\s(?:(?:of|the|and|de|for|&)\s){{0,2}}{NAME}){{0,7}}(?=\s?(?:[.,;:)(\n]|\Z))"
_GIVEN = r"(?:[A-Z][\w\u00e0-\u00ff-]+\s|[A-Z]\.\s?){0,3}"
_POSSESSIVE = (
    rf"{_GIVEN}(?!(?:Child|Children|Patient|Participant|Subject|Wom[ae]n|M[ae]n|Girl|Boy|Student|Teacher|Mother|Father|Parent|Author"
    rf"|Nurse|Surgeon|Reader|User|It|Today|World)['\u2019s])[A-Z\u00c0-\u00de][\w-]+(?:['\u2019]s|s['\u2019])"
)
# One name and a year are as often where and when a picture was taken.
_LONE = rf"\s{NAME},?\s[\[(]?(?:1[89]|20)\d\d"
_PUBLICATION = (
    r"(?:manuals?|brochures?|guidelines?|guides?|books?|patents?|leaflets?|package\sinserts?|data\s?sheets?|catalog(?:ue)?s?"
    r"|thesis|dissertations?|newspapers?|magazines?|films?|movies?|documentar(?:y|ies)|posters?|monographs?|treatises?"
    r"|articles?|papers?|publications?|web\s?sites?|web\s?pages?|home\s?pages?|Cochrane\sreviews?|atlas|textbooks?)"
)
_TAKEN = r"(?:re-?produced|taken|extracted|copied|sourced|borrowed|drawn|adapted|modified)"


class _Structure(NamedTuple):
    """A way: what a text must contain, in lower case, the pattern, what may stand neither before nor in it.

    Where a kind of picture has to stand before the pattern, ``behind`` says so: it is looked for from the rarer words
    back, as most of what is said of pictures is said of the authors' own.
    """

    stems: tuple[str, ...]
    pattern: re.Pattern[str]
    unless: re.Pattern[str] | None = None
    between: re.Pattern[str] | None = None
    behind: re.Pattern[str] | None = None


# What is another's beside a picture of the authors' own: a plasmid, a curve, records.
_NO_PICTURE = re.compile(
    r"\b(?:data\w*|results?|values?|sequences?|estimates?|strains?|rates?|measurements?|points?|lines?|samples?|specimens?"
    r"|scores?|isolates?|circles?|squares?|triangles?|symbols?|records?|sites?|locations?|localit\w+|occurrences?|stations?"
    r"|plasmids?|constructs?|vectors?|antibod\w+|cells?|mice|patients?|tissues?|methods?|protocols?|parameters?|equations?"
    r"|primers?|compar\w+|versus|vs|models?|stain\w*|algorithms?|software|code|obtained|calculated|estimated|computed|derived"
    r"|predict\w+|using|by)\b[^.;]*\Z",
    re.IGNORECASE,
)
# Who shows what another's model makes of his own numbers.
_USED = re.compile(
    r"\b(?:compar\w+|versus|vs|predict\w+|using|fit\w*|fitted|simulat\w+|calculat\w+|estimat\w+|comput\w+|results?|performance"
    r"|lines?|curves?|our|applied|methods?|algorithms?|test\w*|accuracy|values?|parameters?|outputs?|data)\b",
    re.IGNORECASE,
)
# What is worked with, of which a version may be another's.
_INSTRUMENT = re.compile(
    r"\b(?:questionnaires?|scales?|protocols?|methods?|procedures?|tests?|tasks?|maze|items?|surveys?|inventor\w+|algorithms?|software"
    r"|criteria|medium|buffers?)\b"
)
_TRAINED = re.compile(
    r"\b(?:train\w*|test\w*|validat\w+|perform\w*|accuracy|results?|classif\w+|number)\b", re.IGNORECASE
)

_PUBLICATION_STEMS = (
    *(
        "manual",
        "brochure",
        "guide",
        "book",
        "patent",
        "leaflet",
        "package insert",
        "sheet",
        "catalog",
        "thesis",
        "dissert",
    ),
    *("newspaper", "magazine", "film", "movie", "documentar", "poster", "monograph", "treatise", "article", "paper"),
    *("publication", "website", "web site", "webpage", "web page", "homepage", "home page", "cochrane", "atlas"),
)
_STRUCTURES = (
    # "Illustration from Gray's Anatomy", "Poster from the US Department of Health".
    _Structure(
        (" from ",),
        re.compile(
            rf"\sfrom\s(?:the\s)?(?:\d{{4}}\s)?(?!SPSS|SAS|Stata|STATA|Excel|MATLAB|Matlab|Python|Prism|GraphPad|COMSOL|A(?:NSYS|nsys)|Abaqus"
            rf"|ABAQUS|AutoCAD|SolidWorks|LabVIEW|Simulink|ImageJ|Cytoscape|QGIS|ArcGIS|R\b){_RUN}"
        ),
        behind=re.compile(rf"\b(?i:{_DRAWN})(?:,|\s(?i:is|was|are|were))?(?:\s{_TAKEN})?\Z"),
    ),
    # "Map of cholera deaths, from John Snow's On the Mode", "in Haeckel's book".
    _Structure(
        ("'s ", "\u2019s ", "s' ", "s\u2019 "),
        re.compile(
            rf"\b(?:(?:[Ff]rom|of|after|[Ii]n)\s{_POSSESSIVE}\s"
            rf"(?:\w+\s){{0,2}}?(?:{_PUBLICATION}|{BY_HAND}|work|paper|original)\b"
            # Diseases, hospitals and tests have names too.
            rf"|(?:[Ff]rom|after)\s{_POSSESSIVE}\s(?!Disease|Syndrome|Hospital|College|University|Palsy|Day|Test|Exact|Index"
            r"|Church|Island|Laws?\b|Rules?\b|Theorem|Equation|Formula|Model|Isotherm|Number|Distribution|Correction|Method|Techni|Procedure"
            r"|Operation|Stain|Trichrome|Iodine|Prussian|Blue\b|Red\b|Silver|Solution|Reagent|Medium|Buffer|Wire|Scor|Scale|Criteri)[A-Z\u00c0-\u00de]\w+)"
        ),
        behind=re.compile(rf"(?:\b(?i:{_PICTURED})(?:\s\w+){{0,2}}|,|\A|[.(])\s?\Z"),
    ),
    # "Cajal's original drawing of the retina", "a facsimile of Harvey's plate".
    _Structure(
        ("'s ", "\u2019s ", "s' ", "s\u2019 "),
        re.compile(
            # Kirchhoff's plate is a part of a bridge.
            rf"(?<![\w-])(?:[Aa]l-|[Ee]l-)?{_POSSESSIVE}\s(?!plates?\b)(?:(?:original|famous|classic(?:al)?|early|own|anatomical|first)\s){{0,2}}{BY_HAND}\b"
        ),
    ),
    # "Plate XII of Vesalius, De fabrica (1543)", "Fig. 7 of Darwin (1862)": the caption says what it shows.
    _Structure(
        ("plate", "fig", "table", "folio", "page", "cover"),
        re.compile(
            r"\b(?:[Pp]lates?|[Pp]l\.|[Ff]igs?\.?|[Ff]igures?|[Tt]ables?|[Ff]olios?|[Ff]ol\.|(?:[Tt]itle\s)?[Pp]ages?|[Ff]rontispiece|[Cc]over)"
            rf"\s?(?:[\dIVXLC]+\w?(?:[,\u2013-]\s?[\dIVXLC]+\w?)*,?\s(?:of|from|in)\s(?:the\s)?|(?:of|from|in)\s(?:the\s|(?={_POSSESSIVE})))"
            rf"(?:{_POSSESSIVE}\s[A-Z]|{_GIVEN}{NAME},?\s(?:et\sal\.?,?\s)?[(\[]?(?:1[4-9]|20)\d\d)"
        ),
        behind=re.compile(r"(?:\A|[.(;,\n]\s?|\bas\s)\Z"),
    ),
    # "as it appears in Roe et al. (2007)", "as depicted in [3]".
    _Structure(
        ("appear", "printed in", "published in", "reproduced in", "depicted in", "illustrated in", "drawn in"),
        re.compile(
            r"\b[Aa]s\s(?:it\s|they\s)?(?:is\s|are\s|was\s|were\s)?(?:originally\s|first\s)?(?:appear(?:s|ed)?|printed|published|reproduced|depicted|illustrated|drawn)"
            rf"\sin(?={AFTER_WORK.pattern}|\sthe\s(?:[a-z]+\s)?[A-Z])"
        ),
    ),
    # "Photograph taken from the manufacturer's manual", "Diagram from a Cochrane review".
    _Structure(
        _PUBLICATION_STEMS,
        re.compile(
            r"\b[Ff]rom\s(?:(?:the|an?|their|its)\s|(?=[A-Z]))"
            rf"(?:[\w'\u2019().-]+\s){{0,7}}?{_PUBLICATION}\b(?![-\u2010\u2011]|\s(?:search|screen|select|includ|analy))"
        ),
        re.compile(r"\b(?:our|own)\b[^.]*\Z", re.IGNORECASE),
        behind=re.compile(
            r"(?:(?:\A|[.(\n]\s?)(?i:(?:re-?produced|taken|extracted|copied|adapted)\s)?"
            rf"|\b(?i:{_PICTURED})(?:\s(?:is|was|are|were))?,?\s(?:{_TAKEN}\s)?)\Z"
        ),
    ),
    # "A modified version of the model of Roe and Doe (1998)", "adaptation of a figure by Roe et al.".
    _Structure(
        (
            "version",
            "adapted form",
            "adaptation",
            "reproduction",
            "copy of",
            "facsimile",
            "reprint",
            "redrawing",
            "tracing",
        ),
        re.compile(
            r"\b(?i:(?:modified|adapted|simplified|extended|revised|updated|expanded)\s(?:versions?|forms?)|adaptations?|reproductions?"
            r"|copy|facsimiles?|reprints?|redrawing|tracing|versions?)\sof\s(?:(?:an?|the)\s)?(?P<between>(?:[a-z-]+\s){0,4}?)(?:of|by|from|in)"
            rf"(?={AFTER_WORK.pattern})"
        ),
        between=_INSTRUMENT,
    ),
    # "From left to right from ref. 12", "Structure of the enzyme from Roe et al. (1999)": a sentence on a picture.
    _Structure(
        (" from ",),
        re.compile(rf"\sfrom(?!{_LONE})(?={AFTER_WORK.pattern})"),
        between=_NO_PICTURE,
        behind=re.compile(rf"(?:(?<=[.;:(\n])|\A)[^.;:(\n]*?\b(?i:{_PICTURED})\b(?P<between>[^.;:\n]{{0,120}}?)\Z"),
    ),
    # "Structure of the enzyme from Roe (1999)", though not "View of the glacier from Zermatt (2014)".
    _Structure(
        (" from ",),
        re.compile(rf"\sfrom(?=\s{NO_COUNTRY})(?={_LONE})(?={AFTER_WORK.pattern})"),
        between=_NO_PICTURE,
        behind=re.compile(
            rf"(?:(?<=[.;:(\n])|\A)[^.;:(\n]*?\b(?i:{_DRAWN}|figures?|structures?)\b(?P<between>[^.;:\n]{{0,120}}?)\Z"
        ),
    ),
    # "Data: Roe et al.", "Reference: Roe (1999)".
    _Structure(
        (
            "data:",
            "datos:",
            "dados:",
            "daten:",
            "ref",
            "original:",
            "citation:",
            "credit:",
            "from:",
            "work:",
            "données",
        ),
        re.compile(
            r"(?:\A|[.(;\n]\s?)(?i:data|datos|dados|daten|données|reference|ref\.?|original|citation|from|original\swork)\s?:"
            rf"(?={AFTER_WORK.pattern}|\s{NAME}\s[A-Z]{{1,3}}\b[,.])"
        ),
    ),
    # Old pictures by what they are.
    _Structure(
        (
            "woodcut",
            "lithograph",
            "daguerreo",
            "frontispiece",
            "title page",
            "title-page",
            "oil on ",
            "engraving",
            "fresco",
            "etching",
        ),
        re.compile(
            r"\b(?:(?:woodcuts?|lithographs?|daguerreotypes?|frontispiece|oil\son\s(?:canvas|panel|wood))\b"
            r"|title[\s-]pages?\sof\s(?!our\b|the\s(?:questionnaire|app|web|survey|tool))"
            r"|(?:engravings?|etchings?|frescos?|frescoes)\s(?:by|from|after)\s(?:the\s)?(?-i:[A-Z][a-z]{2,}))",
            re.IGNORECASE,
        ),
    ),
    # "caricature published in Punch", "Engraving by Hogarth", "Etching after Rembrandt".
    _Structure(
        ("published in", "printed in", "published by", "printed by"),
        re.compile(rf"\s(?:(?:first|originally)\s)?(?:published|printed)\s(?:in|by)\s(?:the\s)?{_RUN}"),
        behind=re.compile(rf"\b(?i:{_DRAWN}|maps?|photographs?)(?:,|\s(?:was|were))?\Z"),
    ),
    # "Model of the synapse as proposed by Roe (1999)".
    _Structure(
        ("proposed", "suggested", "introduced", "postulated", "conceived", "developed", "devised", "formulated"),
        re.compile(
            r"(?:\A|[.(;\n]\s?)(?P<between>(?:\(\w\)\s)?[^.;:()]{0,40}?\b(?i:models?|frameworks?|mechanisms?|schem[ae]\w*|pathways?|cycles?|theor\w+"
            r"|hierarch\w+|taxonom\w+|pyramids?|diagrams?|concept\w*|landscapes?|continuum|spectrum|typolog\w+|matrix|wheel|triangle)\b"
            r"[^.;:()]{0,60}?)\s(?:as\s)?(?:originally\s|first\s)?(?:proposed|suggested|introduced|postulated|conceived|developed"
            rf"|devised|formulated)\s(?:by|in)(?={AFTER_WORK.pattern})"
        ),
        between=_USED,
    ),
    # "The 5A model, based on Roe et al. [3]".
    _Structure(
        ("based on",),
        re.compile(
            r"(?:\A|[.(;\n]\s?)(?P<between>[^.;:()]{0,40}?\b(?i:models?|frameworks?|mechanisms?|schem[ae]\w*|pathways?|cycles?|theor\w+|hierarch\w+"
            rf"|pyramids?|diagrams?|illustrations?|maps?|drawings?)\b[^.;:()]{{0,60}}?),\sbased\son(?={AFTER_WORK.pattern})"
        ),
        between=_USED,
    ),
    # "Female imago, from the website of A. Roe".
    _Structure(
        (", from ",),
        re.compile(rf"(?:\A|[.;:(\n])(?P<between>[^.;:(\n]*?),\sfrom\sthe\s(?:[\w-]+\s){{0,4}}?{_PUBLICATION}\sof\s"),
        between=_NO_PICTURE,
    ),
    # "Cover illustration of Vesalius' Fabrica".
    _Structure(
        ("'s ", "\u2019s ", "s' ", "s\u2019 "),
        re.compile(rf"\b(?i:{BY_HAND})\sof\s{_POSSESSIVE}\s[A-Z\u00c0-\u00de]"),
    ),
    # "Reproducción del dibujo original de Cajal", "Adaptação do modelo de Andersen".
    _Structure(
        ("reprodu", "adapta"),
        re.compile(
            r"(?i:reproducci[oó]n|reprodu[çc][ãa]o|riproduzione|adapta[çc][ãa]o|adaptaci[oó]n|adattamento)\sd(?:el?|[oaei]l?)\s(?:la\s)?"
            rf"(?:[\w-]+\s){{0,4}}?d(?:e|i|a|o|el)\s{NAME}"
        ),
    ),
    # "Drawing in the notebook of Leonardo da Vinci".
    _Structure(
        (
            "notebook",
            "manuscript",
            "book",
            "atlas",
            "treatise",
            "papers",
            "letter",
            "diar",
            "codex",
            "work of",
            "works of",
        ),
        re.compile(
            rf"\b(?i:{_PICTURED})\s(?:in|from)\s(?:the|an?)\s(?:\w+\s)?(?:notebooks?|manuscripts?|books?|atlas|treatises?|papers|letters?|diary"
            rf"|diaries|codex|works?)\s(?:of|by)\s{NAME}"
        ),
    ),
    # "N Engl J Med 2010;362:1312-24".
    _Structure(
        (";", ", "),
        re.compile(
            r"\b(?:19|20)\d\d\s?[;,]\s?(?!(?:[01]?\d|2[0-3]):[0-5]\d(?![\d\u2013-]))\d{1,4}(?:\s?\([\w\s-]{1,12}\))?\s?:\s?[A-Za-z]?\d{2,}"
        ),
        re.compile(
            r"\b(?:criteri\w+|methods?|described|according|scores?|scales?|classif\w+|see|guidelines?|stag\w+|grad\w+|defin\w+)\b[^.]*\Z",
            re.IGNORECASE,
        ),
    ),
    # "Image from the manufacturer", "Tafel aus Linnés Systema Naturae".
    _Structure(
        (
            *("manufacturer", "company", "vendor", "publisher", "artist", "photographer", "producer", "distributor"),
            *("kupfer aus", "stich aus", "tafel aus", "bildung aus", "zeichnung aus", "schnitt aus"),
        ),
        re.compile(
            rf"\b(?i:{_PICTURED})\s(?:from|by)\sthe\s(?:manufacturers?|company|vendors?|publishers?|artists?|photographers?|producers?|distributors?)\b"
            r"|(?:[Kk]upfer|stich|[Tt]afel|[Aa]bbildung|[Zz]eichnung|[Hh]olzschnitt)\saus\s[A-Z\u00c0-\u00de]\w+s\s[A-Z]"
        ),
    ),
    # "Images from the ISIC 2018 challenge dataset", "a diagram obtained from the KEGG database".
    _Structure(
        ("database", "dataset", "data set", "repository", "corpus", "benchmark", "challenge", "portal"),
        re.compile(
            r"\b(?i:images?|photo(?:graph|micrograph)?s?|pictures?|scans?|slides?|radiographs?|x-rays?|diagrams?|illustrations?|mammograms?)"
            r"(?P<between>(?:\s[\w-]+){0,5})\s(?:from|of)\s(?:the\s)?(?!PDB|Protein\sData|UniProt|GenBank|NCBI|GEO\b|TCGA|Ensembl|CT\b|MRI?\b|PACS|Hospital"
            r"|(?:[A-Z]\w+\s){0,2}(?:Clinic|Department)|Radiology|Pathology|Institution|Universit|Patient)"
            rf"{NAME}(?:\s[A-Z\d(][\w()-]*){{0,6}}\s(?:challenge\s|public\s|image\s)?(?:databases?|data\s?sets?|repository|corpus|benchmark|challenge|portal)\b"
        ),
        between=_TRAINED,
    ),
    # "Structure of haemoglobin, taken from Proteopedia".
    _Structure(
        ("taken from", "copied from", "sourced from", "borrowed from"),
        re.compile(
            rf"\b(?i:{_DRAWN}|structures?|figures?)\b(?P<between>[^.;:\n]{{0,60}}?),?\s(?:taken|copied|sourced|borrowed)\sfrom\s(?:the\s)?"
            rf"(?!PDB|Protein\sData|UniProt|GenBank|NCBI|Molecular\sDyn|Monte\sCarlo|Density\sFunc){_RUN}"
        ),
        between=_NO_PICTURE,
    ),
    # "Florence Nightingale's rose diagram", "Maslow's hierarchy of needs" as what the caption is on.
    _Structure(
        ("'s ", "\u2019s "),
        re.compile(
            rf"(?:(?:\A|[.(\n]\s?)[A-Z]\w+\s(?!(?:Moran|Geary|Pareto|Venn|Ishikawa|Gantt|Nyquist|Bode|Smith|Fick|Sankey|Voronoi|Shewhart|Feynman"
            rf"|Pourbaix|Mohr|Hasse|Jablonski|Bayes)['\u2019]){NAME}['\u2019]s\s(?:\w+\s){{0,2}}?(?:diagrams?|maps?|charts?|graphs?|figures?)\b"
            rf"|\A{_POSSESSIVE}\s(?:\w+[\s-]){{0,2}}?(?:theory|hierarchy|pyramid|wheel|taxonomy|ladder)\b(?=[^.]{{0,60}}\.?\Z))"
        ),
    ),
    # "Modelo teórico de Pender, adaptado.", "of Roe and Doe, modified".
    _Structure(
        ("adapt", "modif", "redrawn", "verändert"),
        re.compile(
            rf"\s(?:of(?=\s{NAME}\sand\s)|by|after|from|de|di|da|nach|von)\s{NAME}(?:\s(?:and|y|e|et|und)\s{NAME})?,\s(?:adapted|modified|redrawn|adaptad[oa]|modificad[oa]|adatt?ato"
            r"|modifi[zc]i?ert|verändert|modifiée?|adaptée?|modificat[oa])\s?(?=[.;)]|\Z)|\bas\sadapted\sby\s[A-Z]"
        ),
    ),
    # "Roe et al. Implementation Science 2011".
    _Structure(
        (" et al",),
        re.compile(
            rf"(?:[.,;(]\s?){NAME}\set\sal[.,]{{0,2}}\s(?:[A-Z][\w.]*\s(?:(?:of|the|and)\s)?){{1,6}}\(?(?:19|20)\d\d"
        ),
    ),
    # "d'après", "nach", "a partir de" behind what is the authors' own making of another's.
    _Structure(
        ("darstellung", "elabora"),
        re.compile(
            r"\b(?i:darstellung|elabora\w+)(?:\s\w+)?,?\s(?:nach|in\sAnlehnung\san|a\spartir\sde|con\sbase\sen|com\sbase\sem|basad[oa]\sen|based\son|from)"
            rf"(?={AFTER_WORK.pattern})",
        ),
    ),
)


# "Drawing of the hand reflex, Descartes, 1664": what the caption ends with, and what it is.
_OLD_YEAR = re.compile(r"[,(;]\s?(?:(?:c\.|ca\.|circa|around)\s?)?(?:1[4-8]\d\d|19[0-4]\d)\)?\s?\.?\Z")
_OLD_PICTURE = re.compile(rf"\b(?i:{BY_HAND}|photographs?|postcards?|posters?)\b[^\n]{{0,120}}\Z")
_LONGEST_YEAR, _LONGEST_BEHIND = 20, 240


def is_attributed(text: str, lower: str) -> bool:
    """Whether a text gives its picture to a work or a person without a word of taking over.

    Args:
        text: A caption or an attribution.
        lower: The same in lower case.
    """
    year = _OLD_YEAR.search(text, max(0, len(text) - _LONGEST_YEAR))
    if year and _OLD_PICTURE.search(text, max(0, year.start() - _LONGEST_BEHIND), year.start()):
        return True
    return any(has_any(lower, structure.stems) and _matches(structure, text) for structure in _STRUCTURES)


def _matches(structure: _Structure, text: str) -> bool:
    for found in structure.pattern.finditer(text):
        start = max(0, found.start() - _LONGEST_BEHIND)
        led = structure.behind.search(text, start, found.start()) if structure.behind else found
        if led is None or (structure.between is not None and structure.between.search(led["between"])):
            continue
        if structure.unless is None or not structure.unless.search(text, start, led.start()):
            return True
    return False
