"""Works that a text cites, and pictures that it says to be from, by or after one of them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from biomedica_ray.jats.stems import has_any

RAISED = "\u2070\u00b9\u00b2\u00b3\u2074-\u2079"
NAME = r"[A-Z\u00c0-\u00de][\w'\u2019-]+"
# "A. B.", and what some names begin with: "de Beer", "van der Roe".
_INITIALS = r"(?:[A-Z]{1,3}(?:\.[\s-]?|[\s-]))*(?:(?:de|van|von|der|den|da|dos|del|della|di|du|ter|ten)\s){0,2}"
_YEAR = r"(?:1[89]|20)\d\d"
# What may stand before a year and is nobody's name: "after Treatment (2010 cohort)", "(August 2013)". Some are surnames
# as well, as which they have the year in brackets or other authors beside them: "after Winter (1990)", "August et al.".
NO_AUTHOR = (
    r"(?!(?:Treatment|Surgery|Baseline|Lockdown|Intervention|Admission|Discharge|Exposure|Week|Month|Year|Wave|Phase|Hurricane"
    r"|Typhoon|Cyclone|Christmas|Easter|Ramadan|Fukushima|Chernobyl|Autumn|Jan(?:uary)?|Feb(?:ruary)?|Mar|Apr(?:il)?|June?"
    r"|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)\b(?!,?\set\sal)"
    r"|(?:May|March|Spring|Summer|Fall|Winter)\b(?=,?\s\d))"
)
_AND = r"(?:and|und|et|e|y|&)"
# "et al.", "y cols.", "u. a.", "and colleagues".
_OTHERS = r"(?:(?:et|&)\sal|(?:y|e|et)\scol|u\.\s?a\.|und\sMitarb|and\s(?:co-?workers|colleagues))"

# "https://...", "Roe A, Doe B. Anatomy of the hand.": what tells a work in any place.
_ADDRESS = r"(?:https?:|www\.|[\w-]+\.(?:com|org|net|gov)\b)"
_LISTED = rf"\s[A-Z]{{1,3}},\s{NAME}\s[A-Z]{{1,3}}\b"
_KIND_OF_WORK = (
    r"(?:work|stud(?:y|ie)|paper|article|review|atlas|thesis|dissertation|book|report|monograph|meta-analysis|trial)s?"
)
# "the work of", "a recent review by".
_WORK_OF = (
    rf"(?:(?:the|an?)\s(?:[\w-]+\s){{0,3}}?{_KIND_OF_WORK}\s(?:of|by)\s"
    r"|(?:l['\u2019](?:ouvrage|article|atlas)|(?:el|o)\s(?:libro|livro|trabajo|trabalho|art[ií]culo|artigo)"
    r"|(?:le|du)\s(?:livre|travail|traité)|dem\s(?:werk|buch|lehrbuch))\s(?:de|von)\s)"
)
_PICTURE_OF = (
    r"(?:\s?(?i:figs?|figures?|tables?)\.?\s?\d+\w?(?:,|\s(?:of|in|from))?"
    r"|\s(?:an?|the)\s(?:figure|drawing|diagram|illustration|image|map|photo\w*|picture)s?\s(?:of|in|from|by))"
)

CITATION = re.compile(
    rf":?{_PICTURE_OF}?\s?[\[(]?\s?(?:{_WORK_OF}|the\s)?(?:"
    # A number of the reference list: "ref. 3", "[3]", "(3)", raised, or bare at the end of a clause.
    rf"(?i:refs?\b|references?\b)|(?<=[\[(])\d|(?<=[\[(]\s)\d|[{RAISED}]|\^[\[(]?\d|\d{{1,3}}(?=\s?(?:[;)\]]|\.(?!\d))|\Z)"
    rf"|(?i:{_ADDRESS})"
    # Names with what makes them a citation: "Roe et al.", "Roe and Doe", "Roe (2010)", "Roe [3]".
    rf"|{_INITIALS}{NAME}(?:,?\s(?:{_OTHERS}|{_AND}\s{_INITIALS}{NAME})|,?\s[\[(]?{_YEAR}(?!\s[a-z]+\))|,?\s\[\d|\s?[{RAISED}]"
    rf"|{_LISTED}))"
)
"""A work that a text cites, at the place where it is named."""

# Those of them that a person's name makes somebody's work: Fick's diagram is a kind of diagram.
BY_HAND = (
    r"(?:illustrations?|drawings?|engravings?|woodcuts?|lithographs?|etchings?|watercolou?rs?|paintings?|frescos?|sketch(?:es)?"
    r"|plates?|portraits?|caricatures?|artworks?|manuscripts?|notebooks?|treatises?)"
)
# What is no picture: to take these over is to work as others did.
NO_PICTURE = re.compile(
    r"\b(?:protocols?|primers?|methods?|procedures?|parameters?|values?|sequences?|questionnaires?|criteria|definitions?"
    r"|equations?|algorithms?|strains?|plasmids?|antibod\w+|cells?|samples?|tissues?|sentences?|items?|questions)(?:\s\w+){0,2}\s\Z",
    re.IGNORECASE,
)
MADE = re.compile(
    r"\b(?:images?|photographs?|photos?|pictures?|drawings?|maps?|figures?|illustrations?|schem[ae]\w*|diagrams?|sketch\w*"
    r"|cartoons?|abbildung|bild|fotos?|karte|grafik|mapas?|figuras?|im[aá]ge[mn]s?|desenhos?|dibujos?|carte|dessin|mappa"
    r"|figura|immagine)(?:\s\w+){0,2}\Z"
    r"|\b(?:charts?|graphs?|infographics?|tables?|screen\s?shots?|engravings?|flow\s?charts?)(?:\s\w+){0,2}\Z"
    r"|\b(?:panels?|parts?)(?:\s\w+){0,4}\s(?:is|are|was|were)\Z",
    re.IGNORECASE,
)
_FROM_OR_BY = re.compile(
    r"\b(?:from|by|on|nach|aus|von|de|da|di|em|en|sur|auf|selon|seg[uú]n|segundo|secondo|d['\u2019]après)(?=\s)"
)
# A sentence or a bracket that begins with the source: "From Roe et al. (2010).", "(based on Roe [3])".
_SOURCE_FIRST = re.compile(
    # "De" in a bracket is somebody's name.
    r"\A(?i:d[aei]|according\sto|selon|seg[uú]n|segundo|secondo)(?=\s)|(?:\A|[.;(\[|\n]\s?|\([A-Za-z]\)\s)(?:d[aei]|(?i:from|after|based\son|nach|aus|d['\u2019]après"
    r"|basad[oa]\sen|basead[oa]\sem|basée?\ssur|basat[oa]\ssu|basierend\sauf|in\sanlehnung\san)):?(?=\s)"
)
_ACCORDING = re.compile(
    r"\b(?:modified|adapted|redrawn|drawn|altered)\saccording\sto(?=\s)"
    r"|\b(?:based\son|inspired\sby)\s(?:an?|the)\s(?:figure|drawing|diagram|illustration|map|photo\w*|image|picture)s?"
    r"\s(?:by|of|from|in)(?=\s)|\binspired\sby(?=\s)"
    r"|\b(?:modified|adapted|simplified|redrawn)\s(?:\w+\s){0,2}(?:frameworks?|figure|diagram|version|schem\w+|illustration"
    r"|drawing|map|chart|flow\s?chart|image|cartoon)s?\s(?:of|by|from)(?=\s)"
    r"|(?:modified|adapted|reproduced|reprinted|redrawn)\s?:(?=\s)",
    re.IGNORECASE,
)
_AFTER = re.compile(r"\bafter(?=\s)")
# To stage, to name or to correct after somebody is to work as they did.
_AS_OTHERS = re.compile(
    r"\b(?:stag\w+|correct\w+|classif\w+|number\w*|nomenclature|terminology|survival|scor\w+|fit\w*|calculat\w+|comput\w+"
    r"|estimat\w+|determin\w+|stain\w*|defin\w+|analy[sz]\w+)\s(?:\w+\s)?\Z",
    re.IGNORECASE,
)
AFTER_WORK = re.compile(
    rf"\s{_ADDRESS}|\s(?:(?i:figs?|figures?)\.?\s?\d+\w?,?\s(?:of|in|from)\s)?(?:"
    r"(?i:refs?|references?)\.?\s?[\[(]?\d|\[\d{1,3}(?:\s?[,\u2013-]\s?\d{1,3})*\]"
    rf"|(?:{_WORK_OF}|l['\u2019]|la\s|le\s)?{NO_AUTHOR}{_INITIALS}{NAME}(?:,?\s{_OTHERS}(?!\.?['\u2019]s)|(?:,?\s{_AND}\s{_INITIALS}{NAME})?,?\s"
    rf"(?:[\[(]?{_YEAR}(?![a-z]?\)?\s(?:to|until|cohorts?|data|seasons?)\b)|\[\d)|{_LISTED}))"
)
"""A work that is cited with certainty, where words alone lead to it: no bare number, no two names without a year."""
# A part of a sentence that is the source: "Circuit of the axon, from Roe (1999)".
_SOURCE_BEHIND = re.compile(r",\s(?:from|after|nach|aus|d['\u2019]après|segundo|seg[uú]n|selon|secondo|laut)(?=\s)")
# What may be from another work beside the authors' own in a picture of their own.
_PLOTTED = re.compile(
    r"\b(?:classifica\w+|crit[eé]\w+|m[eé]tod\w+|escalas?|estadi\w+|data\w*|results?|values?|sequences?|estimates?|strains?|rates?|measurements?|points?|curves?|lines?|samples?"
    r"|specimens?|scores?|isolates?|circles?|squares?|triangles?|symbols?)\b[^.;]*\Z",
    re.IGNORECASE,
)
# A source with what was done to it behind: "Fig. 2 in Roe et al. (2000), redrawn".
_DONE_TO = re.compile(
    rf"(?:et\sal\.?|\b{_YEAR}\)?|\[\d{{1,3}}\])(?:\s\(?{_YEAR}\)?)?,\s\(?(?:re-?drawn|modified|adapted|reproduced|reprinted|simplified"
    r"|with\s(?:modifications?|changes))\b(?=\s?[.;,)]|\Z)"
)
_DONE = ("drawn", "modif", "adapted", "reprod", "reprint", "simplif", "with changes")
NO_SOURCE = r"(?!(?:Fig|Tab|Pa[tcz]|Participant|Subject|Donor|Case|Child|Group|Panel|Exper|Wave|Site|Day|Week))"
# Whoever is named at the end of a clause: "from FlyBase.", "da Netter"; two names in a bracket: "from Roe Instruments".
_NAMED_AT_END = re.compile(
    rf"\s(?:from|de|da|aus|d['\u2019]après)\s(?:the\s)?{NO_SOURCE}{NAME}(?:\s?[.;)]|\Z|\s[A-Z]{{1,3}},\s{NAME}|(?P<two>\s{NAME}))"
)
# A picture that is made, not taken, by whoever is named so: "Immagine tratta da Netter", "Cartoon from FlyBase".
_DRAWN = re.compile(
    r"\b(?i:figures?|illustrations?|diagrams?|schem[ae]\w*|cartoons?|drawings?|clip\s?art|icons?|silhouettes?|figura|immagin[ei]"
    r"|ilustra[cç]\w+|dibujo|desenho|esquema|disegno|abbildung|zeichnung|imagen|imagem)(?:\s(?i:is|was|were|are|è|fue|foi))?"
    r"(?:\s(?i:taken|copied|sourced|extracted|borrowed|tomad\w|extra[ií]d\w|retirad\w|tratt\w|tirée?|entnommen))?\Z"
)
_OPENS_BRACKET = re.compile(r"[(\[](?i:images?|photo\w*|pictures?)(?:\sis|\sare)?\Z")
_LONGEST_DRAWN = 40
_AFTER_NAME = re.compile(rf"(?:(?:\A|[.(\n]\s?)[Dd]['\u2019]après|;\safter)\s{NO_AUTHOR}{NAME}\s?[.)]")
# Sets of pictures to look at.
_SET = re.compile(r"\sfrom\s(?:the\s)?(?:[A-Z][\w-]*\s){1,4}(?:Database|Set|Collection|Library|Faces)\b")
_OF_SET = re.compile(r"\b(?i:stimul\w+|faces?|pictures?|images?|photo\w*)(?:\s\w+){0,3}\Z")
# What somebody else's map or drawing is the ground of.
_GROUND = re.compile(
    r"\b(?:based\son|from\sthe|from\san?|after\sthe|after\san?)\s(?:\w+\s){0,2}?(?:maps?|figures?|drawings?|diagrams?"
    rf"|illustrations?)\s(?:of|by)\s(?:the\s)?{NO_SOURCE}{NAME}"
)
_GROUNDS = (" map", " figure", " drawing", " diagram", " illustration")
_LED_BY = ("based on", "from ", "after ")


def _cited_at(text: str, word: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """Where a word has the names of a citation behind it."""
    return (found for found in word.finditer(text) if AFTER_WORK.match(text, found.end()))


_DONE_STEMS = ("according", "based on", "inspired", "ed:", "ed :", "adapted ", "modified ", "simplified ", "redrawn ")
# What any work that is cited by its authors or its address has.
_ADDRESSED = (":", "www.", ".com", ".org", ".net", ".gov", ".edu")
_WORKS = ("et al", " ref", "(ref", "http", *_ADDRESSED[1:])
_YEAR_OR_NUMBER = re.compile(r"[12\[](?:(?<=\[)\d|(?<=1)[89]\d\d|(?<=2)0\d\d)")


def is_by_cited(text: str, lower: str) -> bool:
    """Whether a picture is said to be from, by or after a work that is cited."""
    if has_any(lower, _DONE_STEMS) and any(CITATION.match(text, at.end()) for at in _ACCORDING.finditer(text)):
        return True
    if not has_any(lower, _WORKS) and not _YEAR_OR_NUMBER.search(text):
        return False
    if has_any(lower, _DONE) and any(
        not NO_PICTURE.search(text[max(0, at.start() - 60) : at.start()]) for at in _DONE_TO.finditer(text)
    ):
        return True
    return (
        any(MADE.search(text[max(0, at.start() - 40) : at.start()].rstrip()) for at in _cited_at(text, _FROM_OR_BY))
        or any(not _AS_OTHERS.search(text[max(0, at.start() - 30) : at.start()]) for at in _cited_at(text, _AFTER))
        or any(True for _ in _cited_at(text, _SOURCE_FIRST))
        or any(
            not _PLOTTED.search(text[max(0, at.start() - 100) : at.start()]) for at in _cited_at(text, _SOURCE_BEHIND)
        )
    )


_ORGANISATION = (
    rf"(?:{NAME}\s(?:of\s|for\s|and\s|the\s|on\s)*){{0,6}}(?:Organi[sz]ation|Association|Society|Agency|Ministry|Institute|Department|Bureau|Council"
    rf"|Commission|Cent(?:er|re)s?|Committee|College|Bank|Fund|Academy|Office|Federation|Foundation|Survey)(?:\s(?:of|for|and|the|on|{NAME}))*"
)
# Where and when, "(Brazil, 2019)": the countries that most articles are on.
NO_COUNTRY = (
    r"(?!(?:Argentina|Australia|Austria|Bangladesh|Belgium|Bolivia|Bra[sz]il|Cameroon|Canada|Chile|China|Colombia|Cuba|Denmark"
    r"|Ecuador|Egypt|England|Espa[ñn]a|Ethiopia|Finland|France|Germany|Ghana|Greece|Hungary|India|Indonesia|Iran|Iraq|Ireland"
    r"|Israel|Italy|Japan|Kenya|Korea|Lebanon|Malawi|Malaysia|Mexico|M[ée]xico|Morocco|Mozambique|Nepal|Netherlands|Nigeria"
    r"|Norway|Pakistan|Paraguay|Peru|Perú|Philippines|Poland|Portugal|Romania|Russia|Rwanda|Scotland|Senegal|Singapore|Spain"
    r"|Sudan|Sweden|Switzerland|Taiwan|Tanzania|Thailand|Tunisia|Turkey|Uganda|Ukraine|Uruguay|USA|UK|Venezuela|Vietnam"
    r"|Wales|Zambia|Zimbabwe|Europe|Africa|Asia)\b)"
)
_ENDS_CITED = re.compile(
    r"(?P<last>[\w-]+)[)\"'\u2019\u201d]*\s(?:\[\d{1,3}(?:[,\u2013-]\s?\d{1,3})*\]"
    rf"|\((?:{NO_AUTHOR}{NO_COUNTRY}{NAME}(?:,?\s(?:{_OTHERS}\.?|{_AND}\s{NAME}))?|{_ORGANISATION}),?\s{_YEAR}[a-z]?(?:[,;:]\s(?:fig|figs|p|pp|plate|pl|table|tab)\.?\s?\w+|,\s(?:modified|adapted|redrawn))?\))\s?\.?\Z"
)
_HOW = re.compile(
    r"as|in|by|of|to|with|using|see|and|from|for|on|than|per|via|under|at|literature|methods?|models?|algorithms?|approach"
    r"|equations?|software|package|tests?|criteri\w+|protocols?|procedures?|data|datasets?|databases?|program(?:me)?s?|tools?"
    r"|toolbox|framework|scales?|scores?|index|classification|systems?|techniques?|analys[ei]s|stud(?:y|ies)|reported|described"
    r"|published|previously|works?|plasmids?|strains?|vectors?|primers?|medium|buffer"
    r"|inventory|questionnaires?|instruments?|checklists?|surveys?|guidelines?|recommendations?|corrections?|formulas?|staging"
    r"|grading|statistics?|assays?|kits?|nomenclature|terminology|numbering|definitions?|measures?|tasks?|paradigms?|mazes?",
    re.IGNORECASE,
)
# A method by its letters, "selection based on AIC", though not "structure of DNA", and any that something is based on.
_BY_METHOD = re.compile(
    r"\b(?i:by|using|with|via|through|per|under|based\son|compared\sto)\s(?:the\s)?[A-Z]{2,}[\w-]*\Z"
    r"|\b(?:based\son|compared\s(?:to|with))\s(?:[\w-]+\s){0,3}[\w-]+\Z"
)
_AUTHORS_WORK = re.compile(
    r"\b(?:here|own|ours?|this\s(?:work|study|paper)|present\s(?:work|study)|proposed|compar\w+)\b", re.IGNORECASE
)
_LONGEST_CITED = 200
# Titles that are on what a work has, more than on whose cells, tools or numbers were used: "The Bristol stool chart".
_ON_WORK = re.compile(
    r"(?:schem\w+|diagram|illustration|drawing|cartoon|sketch)\b|the\s(?:[\w\u2013-]+\s){1,4}(?:law|chart|model|framework|theory"
    r"|cycle|hierarchy|pyramid|pathway|taxonomy)\s[\[(]",
    re.IGNORECASE,
)
# A caption's first sentence; the full stops of initials and of "et al." end none.
_TITLE = re.compile(r"\A.*?(?:(?<!\bal)(?<!\b[A-Z])\.(?=\s[A-Z(])|(?=\n)|\Z)")
# "From: Doe J, Anatomy of the hand", "Available at: https://...": a title or an address without a year.
_SOURCE_NAMED = re.compile(
    r"(?:\A|[.(\[\n]\s?)(?:"
    r"(?i:from|after|aus|nach|d['\u2019]après|(?:tomad|extra[ií]d|retirad)[oa]s?\sde|tirée?\sde|tratt[oa]\sda)\s?:\s"
    rf"{_INITIALS}{NAME}(?:,|\s[A-Z]{{1,3}}\b)"
    # "From Roe's Review of Physiology, 23rd ed."
    r"|(?i:from)\s[A-Z][^.]{5,80}?\b\d+(?:st|nd|rd|th)\sed(?:ition|\.)"
    r"|(?i:(?:images?|photo\w*|pictures?|figure|map)\s(?:is\s|are\s)?)?(?i:(?:available|accessed|retrieved)\s(?:at|from|on)|dispon[ií]vel\sem|disponible\s(?:en|sur)|disponibile\ssu|recuperado\sde|(?:abrufbar|verfügbar)\sunter)\s?:?\s(?:https?://|www\.|(?=\S+\.(?:org|com|net|gov|edu)\b))"
    r"(?!\S*(?:github|gitlab|bitbucket|zenodo|figshare|dryad|osf\.io|doi\.org|ncbi)))"
)


def is_source_named(text: str, lower: str) -> bool:
    """Whether a text names a source without a year: a title, an address, whoever the picture is drawn from."""
    if has_any(lower, (*_ADDRESSED, " ed")) and _SOURCE_NAMED.search(text):
        return True
    if has_any(lower, (" from ", " de ", " da ", " aus ", "après", "; after ")) and _is_drawn_from(text):
        return True
    return has_any(lower, _GROUNDS) and has_any(lower, _LED_BY) and _GROUND.search(text) is not None


def _is_drawn_from(text: str) -> bool:
    for found in _NAMED_AT_END.finditer(text):
        before = text[max(0, found.start() - _LONGEST_DRAWN) : found.start()]
        if _OPENS_BRACKET.search(before) if found["two"] else _DRAWN.search(before):
            return True
    if any(_OF_SET.search(text[max(0, at.start() - _LONGEST_DRAWN) : at.start()]) for at in _SET.finditer(text)):
        return True
    return has_any(text, ("apr", "; after ")) and _AFTER_NAME.search(text) is not None


def is_of_cited(caption: str) -> bool:
    """Whether a short caption, or its title, ends in a citation, ``Distribution of conifers [11].``: it shows theirs.

    Where the word before the citation tells how a picture was made, ``by the method [11]``, it is the authors' own.
    """
    if ")" not in caption and "]" not in caption:
        return False
    title = _TITLE.match(caption) if ")." in caption or "]." in caption or "\n" in caption else None
    return _ends_cited(caption) or (
        title is not None and _ON_WORK.match(title[0]) is not None and _ends_cited(title[0])
    )


def _ends_cited(title: str) -> bool:
    found = _ENDS_CITED.search(title) if len(title) <= _LONGEST_CITED else None
    if found is None or _HOW.fullmatch(found["last"]) or _AUTHORS_WORK.search(title):
        return False
    return _BY_METHOD.search(title[: found.end("last")]) is None
