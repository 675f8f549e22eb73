"""Words by which a caption says that its picture comes from elsewhere, in the languages of the articles.

Whoever is named, that is; whom a text credits, who may be an author, is told by :mod:`biomedica_ray.jats.credits`. Most
texts have none of the words' stems, which is all that is looked for in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from biomedica_ray.jats.libraries import is_from_library
from biomedica_ray.jats.stems import has_any

_HYPHENS = "-\u2010\u2011"
_RAISED = "\u2070\u00b9\u00b2\u00b3\u2074-\u2079"
NAME = r"[A-Z\u00c0-\u00de][\w'\u2019-]+"
_INITIALS = r"(?:[A-Z]\.?[\s-]?)*"
_YEAR = r"(?:1[89]|20)\d\d"
_AND = r"(?:and|und|et|e|y|&)"

CITATION = re.compile(
    rf":?(?:\s?(?i:figs?|figures?|tables?)\.?\s?\d+\w?(?:,|\s(?:of|in|from))?)?\s?[\[(]?\s?(?:the\s(?:work|study|paper|article|review|atlas|thesis|dissertation|book|report|monograph)s?\s(?:of|by)\s|the\s)?(?:"
    # A number of the reference list: "ref. 3", "[3]", "(3)", raised, or bare at the end of a clause.
    rf"(?i:refs?\b|references?\b)|(?<=[\[(])\d|(?<=[\[(]\s)\d|[{_RAISED}]|\^[\[(]?\d|\d{{1,3}}(?=\s?(?:[;)\]]|\.(?!\d))|\Z)"
    r"|(?i:https?:|www\.|[\w-]+\.(?:com|org|net|gov)\b)"
    # Names with what makes them a citation: "Roe et al.", "Roe and Doe", "Roe (2010)", "Roe [3]".
    rf"|{_INITIALS}{NAME}(?:,?\s(?:et\sal|(?:y|e|et)\scol|{_AND}\s{_INITIALS}{NAME})|,?\s[\[(]?{_YEAR}(?!\s[a-z]+\))|,?\s\[\d|\s?[{_RAISED}]"
    # "Roe A, Doe B. Anatomy of the hand."
    rf"|\s[A-Z]{{1,3}},\s{NAME}\s[A-Z]{{1,3}}\b))"
)
"""A work that a text cites, at the place where it is named."""


class _Language(NamedTuple):
    """How a language says that something is taken over.

    Attributes:
        always: Participles that say so whatever the source is called.
        cited: Participles that say so where the source is a citation; cells are taken from mice too.
        leads: What stands between participle and source.
        stems: What a text has of one of the participles.
    """

    always: str
    cited: str
    leads: str
    stems: tuple[str, ...]


_LANGUAGES = (
    _Language(
        "re-?produced|re-?printed|adapted|re-?drawn|re-?published|re-?used|excerpted|re-?plotted|copied",
        "modified|taken|obtained|extracted|derived|retrieved|enlarged|sourced|borrowed|downloaded|cropped|redrafted"
        "|traced|digiti[sz]ed|simplified|updated|compiled|edited|translated|recolou?red|inspired|recreated|reconstructed",
        "from|after|based on",
        (
            *("produced", "print", "adapted", "drawn", "publish", "reuse", "re-use", "excerpt", "plotted", "copied"),
            *(
                "modif",
                "taken",
                "obtain",
                "extracted",
                "derived",
                "retriev",
                "enlarged",
                "sourced",
                "borrow",
                "download",
            ),
            *("cropped", "draft", "traced", "digiti", "simplif", "updated", "compiled", "edited", "translat", "recol"),
            *("inspired", "recreat", "reconstruct"),
        ),
    ),
    _Language(
        "reproduite?s?|adaptée?s?|empruntée?s?|redessinée?s?",
        "modifiée?s?|tirée?s?|extraite?s?|reprise?s?",
        "de|d['\u2019]après|du|des|à partir de",
        ("reproduit", "adapté", "emprunt", "redess", "modifié", "tiré", "extrait", "repris"),
    ),
    _Language(
        "reproduziert|nachgezeichnet|abgedruckt|adaptiert",
        "übernommen|entnommen|verändert|modifiziert|geändert|umgezeichnet",
        "aus|von|nach",
        (
            "reproduzi",
            "nachgez",
            "abgedr",
            "adaptiert",
            "übernom",
            "entnom",
            "verändert",
            "modifizi",
            "geändert",
            "umgez",
        ),
    ),
    _Language(
        "riprodott[oaie]|adattat[oaie]|ridisegnat[oaie]",
        "modificat[oaie]|tratt[oaie]|ripres[oaie]|estratt[oaie]",
        "da|dal|dallo|dalla|dai|dagli|dalle",
        ("riprodott", "adattat", "ridisegnat", "modificat", "tratt", "ripres"),
    ),
    _Language(
        "adap\\w*ad[oa]s?|reproducid[oa]s?|reproduzid[oa]s?|retirad[oa]s?",
        "modificad[oa]s?|tomad[oa]s?|tirad[oa]s?|extra[ií]d[oa]s?|obtenid[oa]s?|obtid[oa]s?",
        "de|del|do|da|dos|das|con|com|a partir de",
        (
            "adap",
            "reproduci",
            "reproduzi",
            "retirad",
            "modificad",
            "tomad",
            "tirad",
            "extraíd",
            "extraid",
            "btid",
            "btenid",
        ),
    ),
)
_PARTICIPLES = tuple(
    (
        # What leads to the source is looked for first, as it is rarer than the stems and there is less of it. All of it
        # reads lower case, in which the engine is several times faster than without regard to case.
        tuple(f" {lead}" if "[" not in lead else lead.rpartition("]")[2] for lead in words.leads.split("|")),
        words.stems,
        re.compile(
            rf"(?<![{_HYPHENS}])\b(?:(?P<always>{words.always})|{words.cited}),?\s+(?:\(?\w[\w-]*(?:\.\d+)*\)?,?\s+){{0,7}}?"
            rf"(?:{words.leads})(?<=[\s'\u2019a-zè])(?=[\s:{_RAISED}^])"
        ),
    )
    for words in _LANGUAGES
)
# The article's own: "reproduced from Fig. 2", though not "from Fig. 2 of Roe et al.".
_OWN_PICTURE = re.compile(
    r"\s?(?i:our|the\ssame|figs?\b|figures?\b|tables?\b|panels?\b|\(?[a-h]\)|(?:two|three|\d+)\s)"
    r"(?!.{0,30}\b(?:from|of|in|by)\s|[^.;]{0,40}?(?:\[\d|\b(?:refs?|references?)\b))"
)
_OPENS = re.compile(r"(?:\A|[.:;(\[\n|]\s?)\Z")
# Words that open a sentence or a bracket and lead to somebody's name: "Modified from the Allen Brain Atlas".
_OPENERS = re.compile(
    r"modif|copied|retrieved|sourced|borrowed|downloaded|inspired|redrafted|simplified|tir[ée]|extra[ií]|tratt|entnommen",
    re.IGNORECASE,
)
_NAMED_SOURCE = re.compile(rf":?\s(?:the\s)?{NAME}")
# In brackets the participle may be any, but for those of measuring and of the bench.
_BRACKETED = re.compile(r"[(\[](?P<word>\w+(?:ed|en|wn))\sfrom(?=\s)")
_MEASURED = re.compile(
    r"(?:calculat|estimat|comput|inferr|isolat|purif|collect|measur|record|determin|generat|prepar|purchas)"
)
# What is no picture: to take these over is to work as others did.
_NO_PICTURE = re.compile(
    r"\b(?:protocols?|primers?|methods?|procedures?|parameters?|values?|sequences?|questionnaires?|criteria|definitions?"
    r"|equations?|algorithms?|strains?|plasmids?|antibod\w+|cells?|samples?|tissues?)(?:\s\w+){0,2}\s\Z",
    re.IGNORECASE,
)
# What is found out is nobody's: curves may be drawn of another work's numbers.
_FACTS = re.compile(r"\b(?:data|datasets?|results?)(?:\s\w+){0,3}\s\Z", re.IGNORECASE)
_MADE = re.compile(
    r"\b(?:images?|photographs?|photos?|pictures?|drawings?|maps?|figures?|illustrations?|schem[ae]\w*|diagrams?|sketch\w*"
    r"|cartoons?|abbildung|bild|fotos?|karte|grafik|mapas?|figuras?|im[aá]ge[mn]s?|desenhos?|dibujos?|carte|dessin|mappa"
    r"|figura|immagine)(?:\s\w+){0,2}\Z"
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
_ORIGINAL = re.compile(
    r"\b(?:modified|adapted|cropped|redrawn|copied|traced)\s(?:from|after)\s(?:an?\s|the\s)?original"
    r"(?=\s(?:by|of|image|photo|figure|drawing|artwork|illustration|picture|publication|article|work)|[.,;)])",
    re.IGNORECASE,
)
_PUBLISHED = re.compile(
    r"(?<!data )(?<!results )"
    r"\b(?:originally|first|previously|initially)\s(?:published|appeared|printed)\s(?:in|by|as)\b"
    r"|\b(?:originally|first|previously)\s(?:shown|presented|reported)\sin\s(?:refs?\b|reference|\[)"
    r"|\bas\spublished\s(?:in|by)\s(?-i:[A-Z])|\b(?:figure|image|picture|map)s?\s(?:has\s|have\s)?appeared\s(?:in|as)\b"
    r"|\b(?:figure|image|photo\w*|picture|map|panel)s?\s(?:\w+\s){0,4}published\s(?:previously|elsewhere|before)\b",
    re.IGNORECASE,
)
_PUBLISHED_STEMS = ("published", "appeared", "first ", "originally ", "previously ")
_PERMISSION = re.compile(
    r"\b(?:with|by|under|w/|used)\s(?:[\w']+\s){0,3}?(?:permissions?|authori[sz]ation)\b|\breprint\spermission\b"
    r"|\bconsent\sof\sthe\s(?:publisher|editor|journal|copyright)|\blicen[sc]e\s(?:number|no\.?)\s?:?\s?\d{8}"
    r"|\bcopyright\sclearance\scent|\bre-?(?:print|us|produc)\w*\s(?:\w+\s)?(?:permitted|authori[sz]ed)\sby\b"
    r"|(?:(?:\A|[.(\n]\s?)|\b(?:im[aá]ge[mn]s?|figuras?|fotos?|mapas?)\s)autorizad[oa]s?\s(?:por|pel[oa])\b|\bpermissions?\s(?:\w+\s){0,2}?(?:granted|obtained|given|received)\b"
    r"|\bpermissions?\sto\s(?:reproduce|reprint|re-?use|use|publish|adapt|include|show)\b"
    r"|\b(?:under|by)\slicen[sc]e\s(?:from|of)\b|\bused\sunder\s(?:an?\s|the\s)?(?:[\w-]+\s){0,3}licen[sc]e\b"
    r"|\ball\srights\sreserved\b"
    r"|\b(?:avec|sous)\s(?:la\s|l['\u2019])?(?:\w+\s)?(?:permission|autorisation)|\bmit\s(?:\w+\s){0,2}?(?:Genehmigung|Erlaubnis)"
    r"|\bcon\s(?:il\s|el\s|la\s|l['\u2019])?(?:permesso|permiso|autorizaci[oó]n|autorizzazione)|\bper\sgentile\sconcessione"
    r"|\b(?:com|sob)\s(?:a\s)?(?:permissão|autorização)",
    re.IGNORECASE,
)
_PERMISSION_STEMS = (
    "permi",
    "perme",
    "licen",
    "reserved",
    "autori",
    "authori",
    "consent of the",
    "clearance",
    "genehmigung",
    "erlaubnis",
    "concessione",
)
# Consent of the one who is shown, and leave to work: no rights in the picture.
_CONSENT = re.compile(
    r"\W{0,2}(?:[\w'\u2019]+\s){0,5}?(?:patient|pacient|pazient|parent|padre|famil|mother|father|madre|guardian|eltern"
    r"|participant|subject|proband|relative|owner|volunteer|individual|child|famíli|ethic|[eé]tica|review\sboard|committee)",
    re.IGNORECASE,
)
_AT_WORK = re.compile(
    r"\b(?:collect|sampl|caught|perform|conduct|carried|approv|captur|harvest|written|informed)\w*\s(?:\w+\s)*\Z",
    re.IGNORECASE,
)


def is_taken_over(text: str) -> bool:
    """Whether a text says that a picture is taken over from another work, used by permission, or out of a library."""
    lower = _lower(text)
    return (
        _is_made_from_other(text, lower)
        or _is_by_cited(text, lower)
        or ("original" in lower and _ORIGINAL.search(text) is not None)
        or (has_any(lower, _PUBLISHED_STEMS) and _PUBLISHED.search(text) is not None)
        or (has_any(lower, _PERMISSION_STEMS) and _is_permitted(text))
        or (has_any(lower, _ADDRESSED) and _SOURCE_NAMED.search(text) is not None)
        or (has_any(lower, _THANKS) and _THANKED.search(text) is not None)
        or (has_any(lower, _DRAWN_STEMS) and _DRAWN_FROM.search(text) is not None)
        or is_from_library(text, lower)
    )


def _is_permitted(text: str) -> bool:
    return any(not _is_consent(text, found) for found in _PERMISSION.finditer(text))


_AFTER = re.compile(r"\bafter(?=\s)")
# To stage, to name or to correct after somebody is to work as they did.
_AS_OTHERS = re.compile(
    r"\b(?:stag\w+|correct\w+|classif\w+|number\w*|nomenclature|terminology|survival|scor\w+)\s(?:\w+\s)?\Z",
    re.IGNORECASE,
)
_AFTER_WORK = re.compile(
    r"\s(?:https?:|www\.|[\w-]+\.(?:com|org|net|gov)\b)"
    r"|\s(?:(?i:figs?|figures?)\.?\s?\d+\w?,?\s(?:of|in|from)\s)?(?:"
    r"(?i:refs?|references?)\.?\s?[\[(]?\d|\[\d{1,3}(?:\s?[,\u2013-]\s?\d{1,3})*\]"
    rf"|(?:the\swork\sof\s|l['\u2019]|la\s|le\s)?{_INITIALS}{NAME}(?:,?\set\sal|(?:,?\s{_AND}\s{_INITIALS}{NAME})?,?\s(?:[\[(]?{_YEAR}|\[\d)"
    # "Roe A, Doe B. Anatomy of the hand."
    rf"|\s[A-Z]{{1,3}},\s{NAME}\s[A-Z]{{1,3}}\b))"
)
# A part of a sentence that is the source: "Circuit of the axon, from Roe (1999)".
_SOURCE_BEHIND = re.compile(r",\s(?:from|after|nach|aus|d['\u2019]après)(?=\s)")
# What may be from another work beside the authors' own in a picture of their own.
_PLOTTED = re.compile(
    r"\b(?:data\w*|results?|values?|sequences?|estimates?|strains?|rates?|measurements?|points?|curves?|lines?|samples?"
    r"|specimens?|scores?|isolates?|circles?|squares?|triangles?|symbols?|models?)\b[^.;]*\Z",
    re.IGNORECASE,
)
# A source with what was done to it behind: "Fig. 2 in Roe et al. (2000), redrawn".
_DONE_TO = re.compile(
    rf"(?:et\sal\.?|\b{_YEAR}\)?|\[\d{{1,3}}\])(?:\s\(?{_YEAR}\)?)?,\s\(?(?:re-?drawn|modified|adapted|reproduced|reprinted|simplified"
    r"|with\s(?:modifications?|changes))\b(?=\s?[.;,)]|\Z)"
)
_DONE = ("drawn", "modif", "adapted", "reprod", "reprint", "simplif", "with changes")
# Who is thanked for a picture.
_THANKED = re.compile(
    r"\b(?:thanks?|grateful\sto|indebted\sto|acknowledge)\b(?:[^.]|\b(?:Drs?|Prof|[A-Z])\.){0,120}?\bfor\s(?:\w+\s){0,5}?"
    r"(?:images?|photo\w*|pictures?|figures?|drawings?|maps?|illustrations?|micrographs?|radiographs?)\b"
)
_THANKS = ("thank", "grateful", "indebted", "acknowledge")
# A picture that is made, not taken, from whoever is named: "Immagine tratta da Netter", "Cartoon from FlyBase".
_DRAWN_FROM = re.compile(
    r"\b(?i:figures?|illustrations?|diagrams?|schem[ae]\w*|cartoons?|drawings?|clip\s?art|icons?|silhouettes?|figura|immagin[ei]"
    r"|ilustra[cç]\w+|dibujo|desenho|esquema|disegno|abbildung|zeichnung|imagen|imagem)\s(?:(?i:is|was|were|are|è|fue|foi)\s)?"
    r"(?i:(?:taken|copied|sourced|extracted|borrowed|tomad\w|extra[ií]d\w|retirad\w|tratt\w|tirée?|entnommen)\s)?"
    r"(?:from|de|da|aus|d['\u2019]après)\s(?!(?:Fig|Tab|Pa[tcz]|Participant|Subject|Donor|Case|Child|Group|Panel|Exper|Wave))"
    rf"{NAME}(?:\s?[.;)]|\Z|\s[A-Z]{{1,3}},\s{NAME})"
)

_DRAWN_STEMS = (
    *("figure", "figura", "illustr", "ilustra", "diagram", "schem", "esquema", "cartoon", "drawing", "art", "icon"),
    *("silhouette", "immagin", "imag", "dibujo", "desenho", "disegno", "abbildung", "zeichnung"),
)


def _cited_at(text: str, word: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """Where a word has the names of a citation behind it."""
    return (found for found in word.finditer(text) if _AFTER_WORK.match(text, found.end()))


# What any work that is cited by its authors or its address has.
_ADDRESSED = (":", "www.", ".com", ".org", ".net", ".gov", ".edu")
_WORKS = ("et al", "ref", "http", *_ADDRESSED[1:])
_YEAR_OR_NUMBER = re.compile(r"[12\[](?:(?<=\[)\d|(?<=1)[89]\d\d|(?<=2)0\d\d)")


def _is_by_cited(text: str, lower: str) -> bool:
    """Whether a picture is said to be from, by or after a work that is cited."""
    if has_any(
        lower, ("according", "based on", "inspired", "ed:", "ed :", "adapted ", "modified ", "simplified ", "redrawn ")
    ) and any(CITATION.match(text, at.end()) for at in _ACCORDING.finditer(text)):
        return True
    if not has_any(lower, _WORKS) and not _YEAR_OR_NUMBER.search(text):
        return False
    if has_any(lower, _DONE) and any(
        not _NO_PICTURE.search(text[max(0, at.start() - 60) : at.start()]) for at in _DONE_TO.finditer(text)
    ):
        return True
    return (
        any(_MADE.search(text[max(0, at.start() - 40) : at.start()].rstrip()) for at in _cited_at(text, _FROM_OR_BY))
        or any(not _AS_OTHERS.search(text[max(0, at.start() - 30) : at.start()]) for at in _cited_at(text, _AFTER))
        or any(True for _ in _cited_at(text, _SOURCE_FIRST))
        or any(
            not _PLOTTED.search(text[max(0, at.start() - 100) : at.start()]) for at in _cited_at(text, _SOURCE_BEHIND)
        )
    )


_ENDS_CITED = re.compile(
    r"(?P<last>[\w-]+)[)\"'\u2019\u201d]*\s(?:\[\d{1,3}(?:[,\u2013-]\s?\d{1,3})*\]"
    rf"|\({NAME}(?:\s(?:et\sal\.?|{_AND}\s{NAME}))?,?\s{_YEAR}[a-z]?\))\s?\.?\Z"
)
_HOW = re.compile(
    r"as|in|by|of|to|with|using|see|and|from|for|on|than|per|via|under|at|(?-i:[A-Z]{2,}[\w-]*)|literature|methods?|models?|algorithms?|approach"
    r"|equations?|software|package|tests?|criteri\w+|protocols?|procedures?|data|datasets?|databases?|program(?:me)?s?|tools?"
    r"|toolbox|framework|scales?|scores?|index|classification|systems?|techniques?|analys[ei]s|stud(?:y|ies)|reported|described"
    r"|published|previously|works?|plasmids?|strains?|vectors?|primers?|medium|buffer"
    r"|inventory|questionnaires?|instruments?|checklists?|surveys?|guidelines?|recommendations?|corrections?|formulas?|staging"
    r"|grading|statistics?|assays?|kits?|nomenclature|terminology|numbering|definitions?|measures?",
    re.IGNORECASE,
)
_LONGEST_CITED = 200
# "From: Doe J, Anatomy of the hand", "Available at: https://...": a title or an address without a year.
_SOURCE_NAMED = re.compile(
    r"(?:\A|[.(\[\n]\s?)(?:"
    r"(?i:from|after|aus|nach|d['\u2019]après|(?:tomad|extra[ií]d|retirad)[oa]s?\sde|tirée?\sde|tratt[oa]\sda)\s?:\s"
    rf"{_INITIALS}{NAME}(?:,|\s[A-Z]{{1,3}}\b)"
    r"|(?i:(?:images?|photo\w*|pictures?|figure|map)\s(?:is\s|are\s)?)?(?i:available|accessed|retrieved)\s(?:at|from|on)\s?:?\s(?:https?://|www\.|(?=\S+\.(?:org|com|net|gov|edu)\b))"
    r"(?!\S*(?:github|gitlab|bitbucket|zenodo|figshare|dryad|osf\.io|doi\.org|ncbi)))"
)


def is_of_cited(caption: str) -> bool:
    """Whether a short caption ends in a citation, ``Distribution of conifers [11].``: it shows what the cited work has.

    Where the word before the citation tells how a picture was made, ``by the method [11]``, it is the authors' own.
    """
    found = _ENDS_CITED.search(caption) if len(caption) <= _LONGEST_CITED else None
    return found is not None and _HOW.fullmatch(found["last"]) is None


def _is_made_from_other(text: str, lower: str) -> bool:
    """Whether a participle of taking over has a source behind it that is not the article itself."""
    for leads, stems, pattern in _PARTICIPLES:
        for found in pattern.finditer(lower) if has_any(lower, leads) and has_any(lower, stems) else ():
            before = text[max(0, found.start() - 60) : found.start()]
            if _OWN_PICTURE.match(text, found.end()) or _NO_PICTURE.search(before):
                continue
            if not found["always"] and _FACTS.search(before):
                continue
            is_cited = CITATION.match(text, found.end()) is not None
            if is_cited or (found["always"] and not found[0].endswith(("after", "based on"))):
                return True
            opens = _OPENS.search(before) and _OPENERS.match(found[0])
            if opens and _NAMED_SOURCE.match(text, found.end()):
                return True
    return " from " in text and any(
        CITATION.match(text, found.end()) and not _MEASURED.match(found["word"]) for found in _BRACKETED.finditer(text)
    )


def _is_consent(text: str, permission: re.Match[str]) -> bool:
    if _AT_WORK.search(text[max(0, permission.start() - 60) : permission.start()]):
        return True
    return _CONSENT.match(text, permission.end()) is not None


def _lower(text: str) -> str:
    """A text in lower case, each character where it was; a few would become two."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c if len(c.lower()) > 1 else c.lower() for c in text)
