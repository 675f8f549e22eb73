"""Writes the JATS XML (ANSI/NISO Z39.96) of an invented article, with the structures that real articles have."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from biomedica_ray.sample.licences import licence_markup
from biomedica_ray.sample.outline import Entry, Plate
from biomedica_ray.sample.prose import ABSTRACT, DISCUSSION, HEADINGS, INTRODUCTION, MENTIONS, METHODS, fill, paragraphs
from biomedica_ray.sample.publishers import PUBLISHERS, Publisher
from biomedica_ray.sample.studies import STUDIES, Study

NAMES = [
    "Ada Marrow",
    "Bo Lindqvist",
    "Chidi Okafor",
    "Dalia Haddad",
    "Emil Novak",
    "Fumiko Arai",
    "Gita Raman",
    "Hugo Peña",
    "Iris van Dam",
    "Jonas Weiß",
    "Kavita Joshi",
    "Luca Ferri",
    "Mei-Ling Zhou",
    "Nils Østby",
    "Oana Popescu",
    "Paulo Braga",
]
NAMESPACES = (
    'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:mml="http://www.w3.org/1998/Math/MathML" '
    'xmlns:ali="http://www.niso.org/schemas/ali/1.0/"'
)


@dataclass(frozen=True, slots=True)
class Printed:
    """A plate as the article prints it.

    Attributes:
        plate: The plate.
        xml_id: ``@id`` of its element.
        label: Label, or empty.
        caption: The ``caption`` element, or empty.
        says: What the picture shows, one sentence.
        hrefs: ``xlink:href`` of its graphic; more than one are alternatives.
    """

    plate: Plate
    xml_id: str
    label: str
    caption: str
    says: str
    hrefs: tuple[str, ...]


def orcid(number: int) -> str:
    """An ORCID iD from a range that ORCID does not assign, with a valid check digit (ISO 7064 MOD 11-2)."""
    digits = f"00099900{number:07d}"
    total = 0
    for digit in digits:
        total = (total + int(digit)) * 2
    check = (12 - total % 11) % 11
    digits += "X" if check == 10 else str(check)
    return "-".join(digits[place : place + 4] for place in range(0, 16, 4))


def _authors(entry: Entry) -> str:
    people = []
    for place in range(2 + entry.number % 4):
        given, surname = NAMES[(entry.number * 3 + place * 5) % len(NAMES)].split(" ", 1)
        identifier = (
            f'<contrib-id contrib-id-type="orcid">https://orcid.org/{orcid(entry.number * 10 + place)}</contrib-id>'
        )
        people.append(
            f'<contrib contrib-type="author">{identifier if place % 2 == 0 else ""}<name><surname>{surname}</surname>'
            f'<given-names>{given}</given-names></name><xref ref-type="aff" rid="aff1"><sup>1</sup></xref></contrib>'
        )
    place_name = STUDIES[entry.number].region
    aff = f'<aff id="aff1"><label>1</label><institution>Institute of Samples</institution>, {place_name}</aff>'
    return f"<contrib-group>{''.join(people)}</contrib-group>{aff}"


def _permissions(entry: Entry, publisher: Publisher) -> str:
    statement = "<copyright-statement>© 2024 The Authors</copyright-statement><copyright-year>2024</copyright-year>"
    return f"<permissions>{statement}{licence_markup(entry.licence, publisher.ali)}</permissions>"


def _front(entry: Entry, study: Study, publisher: Publisher, graphical: str) -> str:
    n, language = entry.number, entry.language
    doi_number = entry.doi_of or n
    month, day = 1 + n % 12, 1 + n % 27
    related = (
        '<related-article related-article-type="retraction-forward" id="RA1" ext-link-type="pubmed" '
        'xlink:href="99009016" journal-id="Sampl Int"/>'
        if entry.is_retracted
        else ""
    )
    parts = "".join(f"<sec><title>{head}</title><p>{fill(text, study)}</p></sec>" for head, text in ABSTRACT[language])
    abstract = f"<abstract>{parts}</abstract>" if entry.plates else ""
    words = (study.disease, study.marker, study.compound, study.tissue)
    keywords = "".join(f"<kwd>{f'<italic>{word}</italic>' if word == study.marker else word}</kwd>" for word in words)
    return (
        f'<front><journal-meta><journal-id journal-id-type="nlm-ta">{publisher.abbreviation}</journal-id>'
        f"<journal-title-group><journal-title>{publisher.journal}</journal-title>"
        f'<abbrev-journal-title abbrev-type="publisher">{publisher.abbreviation}</abbrev-journal-title>'
        "</journal-title-group>"
        f'<issn pub-type="epub">9999-{n:03d}X</issn><publisher><publisher-name>{publisher.name}</publisher-name>'
        "</publisher>"
        f'</journal-meta><article-meta><article-id pub-id-type="pmc">{entry.pmcid.removeprefix("PMC")}</article-id>'
        f'<article-id pub-id-type="pmid">990{n:05d}</article-id>'
        f'<article-id pub-id-type="doi">10.5555/sample.{doi_number:04d}</article-id>'
        f'<article-categories><subj-group subj-group-type="heading"><subject>{study.subject}</subject></subj-group>'
        f"</article-categories><title-group><article-title>{study.title}</article-title></title-group>{_authors(entry)}"
        f'<pub-date pub-type="epub"><day>{day}</day><month>{month}</month><year>2024</year></pub-date>'
        f'<pub-date pub-type="collection"><year>2024</year></pub-date><volume>{10 + n}</volume>'
        f"<issue>{1 + n % 4}</issue>"
        f'<elocation-id>e{9900000 + n}</elocation-id><history><date date-type="received"><day>{day}</day><month>'
        "3</month>"
        f'<year>2023</year></date><date date-type="accepted"><month>11</month><year>2023</year></date></history>'
        f"{_permissions(entry, publisher)}{related}{abstract}{graphical}<kwd-group>{keywords}</kwd-group>"
        "</article-meta></front>"
    )


def _graphic(item: Printed) -> str:
    graphics = [
        f'<graphic xlink:href="{href}"{" mimetype=" + chr(34) + "image" + chr(34) if len(item.hrefs) > 1 else ""}/>'
        for href in item.hrefs
    ]
    return f"<alternatives>{''.join(graphics)}</alternatives>" if len(graphics) > 1 else graphics[0]


def _figure(items: list[Printed]) -> str:
    """A ``fig``, or what stands for it, with the graphics of all ``items``."""
    first = items[0]
    label = f"<label>{first.label}</label>" if first.label else ""
    inside = f"{label}{first.caption}{''.join(_graphic(item) for item in items)}"
    if first.plate.reproduced:
        inside += "<permissions><copyright-statement>© 2011 Example Society</copyright-statement></permissions>"
    match first.plate.where:
        case "table":
            return f'<table-wrap id="{first.xml_id}">{inside}</table-wrap>'
        case "chem":
            structure = f"<chem-struct>{_graphic(first)}</chem-struct>"
            return f'<chem-struct-wrap id="{first.xml_id}">{label}{structure}</chem-struct-wrap>'
        case "formula":
            return f'<disp-formula id="{first.xml_id}">{_graphic(first)}</disp-formula>'
        case "inline":
            return f'<p>Beside the word stands a sign <inline-graphic xlink:href="{first.hrefs[0]}"/>.</p>'
        case "boxed":
            return (
                f'<boxed-text><sec><title>Key points</title><fig id="{first.xml_id}">{inside}</fig></sec></boxed-text>'
            )
        case _:
            return f'<fig id="{first.xml_id}" position="float">{inside}</fig>'


def _figures(items: list[Printed]) -> list[list[Printed]]:
    """Plates gathered by figure: a plate placed ``same`` belongs to the first one of its article."""
    return [
        [item, *(further for further in items if further.plate.where == "same" and number == 0)]
        for number, item in enumerate(item for item in items if item.plate.where != "same")
    ]


def _group(figures: list[list[Printed]]) -> str:
    label = figures[0][0].label[:-1].strip()
    caption = (
        f"<caption><title>Views of the same material</title><p>Both parts of {label} come from one experiment.</p>"
        "</caption>"
    )
    return (
        '<fig-group id="group1">'
        f"<label>{label}</label>{caption}{''.join(_figure(figure) for figure in figures)}</fig-group>"
    )


def _xref(item: Printed, text: str) -> str:
    return f'<xref ref-type="{"table" if item.plate.where == "table" else "fig"}" rid="{item.xml_id}">{text}</xref>'


def _mentions(entry: Entry, study: Study, cited: list[Printed]) -> list[str]:
    """Paragraphs that refer to the figures: by links, by a range with its ends linked, and in plain text."""
    templates, texts = MENTIONS[entry.language], []
    for number, item in enumerate(cited):
        figure = (
            item.label.rstrip(".:") if entry.number % 5 == 0 and number == 1 else _xref(item, item.label.rstrip(".:"))
        )
        if item.plate.panels > 1:
            figure += "A"
        template = templates[(entry.number + number) % len(templates)]
        texts.append(f"<p>{fill(template, study, figure=figure, says=item.says)}</p>")
    if len(cited) > 3 and entry.number % 2:
        ends = [_xref(cited[place], str(place + 1)) for place in (0, 2)]
        texts.append(
            f"<p>Taken together (Figs. {ends[0]}&#x2013;{ends[1]}), these observations support the hypothesis.</p>"
        )
    return texts


def _references(study: Study, number: int, heading: str) -> str:
    rows = []
    for place in range(1, 6):
        pub_ids = (
            f'<pub-id pub-id-type="doi">10.5555/earlier.{number}.{place}</pub-id><pub-id pub-id-type="pmid">'
            f"991{number:03d}{place:02d}</pub-id>"
        )
        title = f"Earlier observations on {study.disease}, part {place}"
        if place % 2:
            body = (
                '<element-citation publication-type="journal"><person-group><name>'
                "<surname>Sampler</surname><given-names>S</given-names>"
                f"</name></person-group><article-title>{title}</article-title><source>Ann Sampl</source>"
                f"<year>{2010 + place}</year>"
                f"<volume>{place}</volume><fpage>{place * 11}</fpage>{pub_ids}</element-citation>"
            )
        else:
            body = (
                f"<mixed-citation>Sampler S. <article-title>{title}</article-title>. <source>Ann Sampl</source> "
                f"<year>{2010 + place}</year>; {pub_ids}</mixed-citation>"
            )
        rows.append(f'<ref id="B{place}"><label>{place}</label>{body}</ref>')
    return f"<ref-list><title>{heading}</title>{''.join(rows)}</ref-list>"


def article_xml(entry: Entry, items: list[Printed]) -> bytes:
    """The article as JATS XML in UTF-8; for a broken entry it ends in its middle.

    Args:
        entry: The article.
        items: Its plates in order, as printed.
    """
    study, publisher, language = STUDIES[entry.number], PUBLISHERS[entry.publisher], entry.language
    introduction, methods, results, discussion, references, material, statistics = HEADINGS[language]
    figures = _figures(items)
    placed = {where: list(group) for where, group in groupby(sorted(figures, key=_where), key=_where)}
    graphical = "".join(
        f'<abstract abstract-type="graphical"><p>{_figure(figure)}</p></abstract>'
        for figure in placed.get("abstract", [])
    )
    shown = "".join(
        _figure(figure)
        for where in ("body", "table", "chem", "formula", "boxed", "inline")
        for figure in placed.get(where, [])
    )
    grouped = _group(placed["group"]) if "group" in placed else ""
    cited = [
        figure[0] for figure in figures if figure[0].label and figure[0].plate.where not in ("sub-article", "chem")
    ]
    cites = '[<xref ref-type="bibr" rid="B1">1</xref>, <xref ref-type="bibr" rid="B3">3</xref>]'
    first, second = paragraphs(METHODS[language], study, cites)
    body = (
        '<body><sec sec-type="intro">'
        f"<title>{introduction}</title>{''.join(paragraphs(INTRODUCTION[language], study, cites))}</sec>"
        f'<sec sec-type="methods"><title>{methods}</title><sec><title>{material}</title>{first}</sec>'
        f"<sec><title>{statistics}</title>{second}</sec></sec>"
        '<sec sec-type="results">'
        f"<title>{results}</title>{''.join(_mentions(entry, study, cited))}{shown}{grouped}</sec>"
        '<sec sec-type="discussion">'
        f"<title>{discussion}</title>{''.join(paragraphs(DISCUSSION[language], study, cites))}</sec></body>"
    )
    appendix = "".join(_figure(figure) for figure in placed.get("back", []))
    app = f'<app-group><app id="app1"><title>Appendix</title>{appendix}</app></app-group>' if appendix else ""
    floats = "".join(_figure(figure) for figure in placed.get("floats", []))
    response = "".join(_figure(figure) for figure in placed.get("sub-article", []))
    article_type = "research-article" if entry.plates else "editorial"
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE article PUBLIC "-//NLM//DTD JATS (Z39.96) Journal '
        "Archiving and "
        'Interchange DTD v1.2 20190208//EN" "JATS-archivearticle1.dtd">\n'
        f'<article {NAMESPACES} article-type="{article_type}" xml:lang="{language}" dtd-version="1.2">'
        f"{_front(entry, study, publisher, graphical)}\n{body}\n"
        f"<back>{app}{_references(study, entry.number, references)}</back>"
        + (f"<floats-group>{floats}</floats-group>" if floats else "")
        + (_sub_article(response) if response else "")
        + "</article>\n"
    )
    return xml[: len(xml) // 2].encode() if entry.is_broken else xml.encode()


def _where(figure: list[Printed]) -> str:
    return figure[0].plate.where


def _sub_article(figures: str) -> str:
    title = "<title-group><article-title>Author response</article-title></title-group>"
    doi = '<article-id pub-id-type="doi">10.5555/sample.response</article-id>'
    text = "<p>We thank the reviewer and add the micrograph that was asked for.</p>"
    return (
        f'<sub-article article-type="reply" id="SA1"><front-stub>{doi}{title}</front-stub>'
        f"<body>{text}{figures}</body></sub-article>"
    )
