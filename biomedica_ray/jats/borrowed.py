"""Words by which a caption says that its picture comes from elsewhere, in the languages of the articles.

Whoever is named, that is; whom a text credits, who may be an author, is told by :mod:`biomedica_ray.jats.credits`. Most
texts have none of the words' stems, which is all that is looked for in them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from biomedica_ray.jats.attributed import is_attributed
from biomedica_ray.jats.libraries import is_from_library
from biomedica_ray.jats.stems import has_any
from biomedica_ray.jats.works import CITATION, MADE, NAME, NO_PICTURE, RAISED, is_by_cited, is_source_named

_HYPHENS = "-\u2010\u2011"


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
            rf"(?:{words.leads})(?<=[\s'\u2019a-zè])(?=[\s:{RAISED}^])"
        ),
    )
    for words in _LANGUAGES
)
# The article's own: "reproduced from Fig. 2", though not "from Fig. 2 of Roe et al.".
_OWN_PICTURE = re.compile(
    r"\s?(?i:our|the\ssame|figs?\b|figures?\b|tables?\b|panels?\b|\(?[a-h]\)|(?:two|three|\d+)\s)"
    r"(?!.{0,30}\b(?:from|of|in|by)\s|[^.;]{0,40}?(?:\[\d|\b(?:refs?|references?)\b|\((?:[A-Z][\w.]*\s)+(?:19|20)\d\d))"
)
_OPENS = re.compile(r"(?:\A|[.:;(\[\n|]\s?)\Z")
# Words that open a sentence or a bracket and lead to somebody's name: "Modified from the Allen Brain Atlas".
_OPENERS = re.compile(
    r"modif|copied|retrieved|sourced|borrowed|downloaded|inspired|redrafted|simplified|tir[ée]|extra[ií]|tratt|entnommen",
    re.IGNORECASE,
)
# Those of them that only pictures are subject to, in the middle of a sentence too: "Map, modified from Atlas".
_REDRAWN = ("modif", "simplif", "redraft", "inspired", "copied")
_NAMED_SOURCE = re.compile(rf":?\s(?:the\s)?{NAME}")
# In brackets the participle may be any, but for those of measuring and of the bench.
_BRACKETED = re.compile(r"[(\[](?P<word>\w+(?:ed|en|wn))\sfrom(?=\s)")
_MEASURED = re.compile(
    r"(?:calculat|estimat|comput|inferr|isolat|purif|collect|measur|record|determin|generat|prepar|purchas)"
)
# What happens to others, "Reproduced plants were excluded from", or follows on something.
_DONE_TO_OTHERS = re.compile(r"\s(?:is|are|was|were|ha[ds]|have)\s|(?:after|based\son)\Z")
# Kinds of works, in other languages than English, in which the words for them are also those of data.
_ENGLISH = ("from", "after", "on")
_IN_BOOK = re.compile(
    r"\s?(?:[dl]['\u2019])?(?:[\w-]+\s)?(?:libros?|livros?|ouvrages?|rapporto|rapport|informe|relatório|bericht|buch|lehrbuch|manuale?s?"
    r"|art[ií]culo|artigo|articolo|article|tesis|tese|thèse|sitio|página|site|bolet[ií]n|boletim|bulletin|bollettino|gu[ií]a|revista|jornal|peri[oó]dico|diario|zeitschrift|internet)\b"
)
# What is found out is nobody's: curves may be drawn of another work's numbers.
_FACTS = re.compile(r"\b(?:data|datasets?|results?)(?:\s\w+){0,3}\s\Z", re.IGNORECASE)
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
    r"\b(?:with|by|under|w/|used)\s(?:[\w'\u2019]+\s){0,3}?(?:permissions?|authori[sz]ation)\b|\breprint\spermission\b"
    r"|\b(?:(?:used|shown|displayed|included|presented|published)\s(?:here\s)?(?:with|by)\s(?:the\s)?|(?:with|by)\s(?:the\s)?(?:kind|friendly)\s)"
    r"(?:(?:kind|written|express)\s)*(?:agreement|consent|leave|assent)\s(?:of|from)\s(?:the\s)?(?!patient|parent|mother|father|famil|participant|guardian|owner|subject|reader|observer|rater|mrs?\b|ms\b|ethic|review|committee)(?-i:[A-Z])"
    r"|\bconsent\sof\sthe\s(?:publisher|editor|journal|copyright|director|trustees|museum|photographer|artist)|\blicen[sc]e\s(?:number|no\.?)\s?:?\s?\d{8}"
    r"|\bcopyright\sclearance\scent|\bre-?(?:print|us|produc)\w*\s(?:\w+\s)?(?:permitted|authori[sz]ed)\sby\b"
    r"|(?:(?:\A|[.(\n]\s?)|\b(?:im[aá]ge[mn]s?|figuras?|fotos?|mapas?)\s)autorizad[oa]s?\s(?:por|pel[oa])\b|\bpermissions?\s(?:\w+\s){0,2}?(?:granted|obtained|given|received)\b(?!\sby\s(?:year|month|age|sex|region))"
    r"|\bpermissions?\sto\s(?:reproduce|reprint|re-?use|use|publish|adapt|include|show)\b"
    r"|\b(?:under|by)\slicen[sc]e\s(?:from|of)\b|(?<!\bdata\s)\bused\sunder\s(?:an?\s|the\s)?(?:[\w-]+\s){0,3}licen[sc]e\b"
    r"|\ball\srights\sreserved\b"
    r"|\b(?:avec|sous)\s(?:la\s|l['\u2019])?(?:\w+\s)?(?:permission|autorisation)|\bmit\s(?:\w+\s){0,2}?(?:Genehmigung|Erlaubnis)"
    r"|\bcon\s(?:il\s|el\s|la\s|l['\u2019])?(?:permesso|permiso|autorizaci[oó]n|autorizzazione)|\b(?:su|per|dietro)\s(?:gentile\s)?concessione"
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
    "consent",
    "agreement of",
    "agreement from",
    "leave of",
    "assent of",
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
_OF_SHOWN = re.compile(
    r"\b(?:patient|parent|famil|mother|father|participant|subject|owner|volunteer)\w*['\u2019]", re.IGNORECASE
)
_AT_WORK = re.compile(
    r"\b(?:photograph|collect|sampl|caught|perform|conduct|carried|approv|captur|harvest|written|informed)\w*\s(?:\w+\s)*\Z",
    re.IGNORECASE,
)


def is_taken_over(text: str) -> bool:
    """Whether a text says that a picture is taken over from another work, used by permission, or out of a library."""
    lower = _lower(text)
    return (
        _is_made_from_other(text, lower)
        or is_by_cited(text, lower)
        or ("original" in lower and _ORIGINAL.search(text) is not None)
        or (has_any(lower, _PUBLISHED_STEMS) and _PUBLISHED.search(text) is not None)
        or (has_any(lower, _PERMISSION_STEMS) and _is_permitted(text))
        or (has_any(lower, _THANKS) and _THANKED.search(text) is not None)
        or is_source_named(text, lower)
        or (has_any(text, _EASTERN_STEMS) and _EASTERN.search(text) is not None)
        or (has_any(lower, _COVERS) and _COVER.search(lower) is not None)
        or is_from_library(text, lower)
        or is_attributed(text, lower)
    )


def _is_permitted(text: str) -> bool:
    return any(not _is_consent(text, found) for found in _PERMISSION.finditer(text))


# Who is thanked for a picture; limitations are acknowledged too.
_THANKED = re.compile(
    r"\b(?:thanks?|grateful\sto|indebted\sto"
    r"|acknowledge(?=\s(?:(?!of\b|in\b|for\b|that\b)[\w'\u2019-]+\s){0,4}?(?:[A-Z]|colleague|staff|team|member|friend|artist"
    r"|photographer|author|museum|librar|centre|center|laborator|department|facilit|institut|universit)))\b(?:[^.]|\b(?:Drs?|Prof|[A-Z])\.){0,120}?\bfor\s(?:\w+\s){0,5}?"
    r"(?:images?|photo\w*|pictures?|figures?|drawings?|maps?|illustrations?|micrographs?|radiographs?)\b"
)
_THANKS = ("thank", "grateful", "indebted", "acknowledge")
# The same in Chinese, Japanese and Korean.
_EASTERN = re.compile(
    r"より(?:改変|引用|転載)|(?:から|を)(?:引用|転載|改変)|引自|引用自|改编自|修改自|摘自|转载|轉載|出典|에서\s?인용"
)


# What stands in front of a book, in other languages than English.
_COVERS = ("livro", "libro", "livre", "ouvrage", "titelblatt", "titelseite", "page de titre")
_COVER = re.compile(
    r"\b(?:capa\sd[eo]s?\slivros?|portada\sdel?\slibro|couverture\sd(?:u\slivre|e\sl['\u2019]ouvrage)|copertina\sdel\slibro|titelblatt"
    r"|titelseite|page\sde\stitre)\b"
)
_EASTERN_STEMS = ("引", "改", "摘", "载", "載", "出典", "인용")


def _is_made_from_other(text: str, lower: str) -> bool:
    """Whether a participle of taking over has a source behind it that is not the article itself."""
    for leads, stems, pattern in _PARTICIPLES:
        for found in pattern.finditer(lower) if has_any(lower, leads) and has_any(lower, stems) else ():
            before = text[max(0, found.start() - 60) : found.start()]
            if _OWN_PICTURE.match(text, found.end()) or NO_PICTURE.search(before):
                continue
            if not found["always"] and _FACTS.search(before):
                continue
            is_cited = CITATION.match(text, found.end()) is not None
            if is_cited or (found["always"] and not _DONE_TO_OTHERS.search(found[0])):
                return True
            if not found[0].endswith(_ENGLISH) and _IN_BOOK.match(text, found.end()):
                return True
            opens = _OPENS.search(before) and _OPENERS.match(found[0])
            is_drawn = found[0].startswith(_REDRAWN) and (before.endswith(", ") or MADE.search(before.rstrip()))
            if (opens or is_drawn) and _NAMED_SOURCE.match(text, found.end()):
                return True
    return " from " in text and any(
        CITATION.match(text, found.end()) and not _MEASURED.match(found["word"]) for found in _BRACKETED.finditer(text)
    )


def _is_consent(text: str, permission: re.Match[str]) -> bool:
    if _OF_SHOWN.search(permission[0]) or _AT_WORK.search(text[max(0, permission.start() - 60) : permission.start()]):
        return True
    return _CONSENT.match(text, permission.end()) is not None


def _lower(text: str) -> str:
    """A text in lower case, each character where it was; a few would become two."""
    lower = text.lower()
    return lower if len(lower) == len(text) else "".join(c if len(c.lower()) > 1 else c.lower() for c in text)
