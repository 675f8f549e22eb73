"""What an article is, once read: the columns of the articles and figures tables that come from its XML."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass


class JatsError(ValueError):
    """The bytes are not a readable JATS article; the message names the reason."""


@dataclass(slots=True)
class Panel:
    """A part of a caption that describes one panel, or a few panels together.

    Attributes:
        label: The panels it describes, one by one, joined by ", ": ``A``, ``B, C``; or a position: ``Left``.
        text: The part of the caption, its marker included; ``caption[start:end]``.
        start: Offset of its first character in the caption.
        end: Offset behind its last character in the caption.
    """

    label: str
    text: str
    start: int
    end: int


@dataclass(slots=True)
class Mention:
    """A paragraph that refers to a figure.

    Attributes:
        section: Titles of the sections around the paragraph, outermost first.
        text: The paragraph.
        panels: Panels that it names for this figure, as written, ranges expanded: ``["A", "B", "C"]``.
    """

    section: list[str]
    text: str
    panels: list[str]


@dataclass(frozen=True, slots=True)
class Figure:
    """One image of one figure; the columns of the figures table, ``alternatives`` and ``thumbnails``.

    Attributes:
        xml_id: ``@id`` of the element that holds label and caption.
        kind: figure, table, scheme, chemical-structure or graphical-abstract.
        label: Label as printed.
        title: Title of the caption.
        caption: The caption, its title included; where it has none, that of the group of figures around it.
        alt_text: Alternative text.
        group_label: Label of the group of figures around it.
        group_title: Title of that group's caption.
        group_caption: Caption of that group, its title included.
        panels: The caption cut at its panel markers.
        mentions: Paragraphs that refer to it.
        permissions: Licence, copyright or attribution of the figure itself.
        license_code: Code of the figure's own licence, None where it has none.
        license_url: URL of that licence.
        copyright: The figure's own copyright statement.
        third_party: Reproduced from elsewhere, so that the article's licence may not cover it.
        sub_article: Type of the sub-article or response that it stands in (``translation``, ``reply``); None in the
            article itself.
        language: Language of the part of the article that it stands in, lower case.
        href: Name of the image as written in the XML.
        position: Ordinal among all images of the article in document order, from 1.
        image_number: Ordinal among the images with the same label and caption, from 1.
        figure_doi: The figure's own DOI.
        has_formula_images: Whether formulas or symbols of the caption are images.
        alternatives: Further names of the same image, in document order, thumbnails last.
        thumbnails: Those of its names that are said to be thumbnails.
    """

    xml_id: str | None
    kind: str
    label: str | None
    title: str | None
    caption: str | None
    alt_text: str | None
    group_label: str | None
    group_title: str | None
    group_caption: str | None
    panels: list[Panel]
    mentions: list[Mention]
    permissions: str | None
    license_code: str | None
    license_url: str | None
    copyright: str | None
    third_party: bool
    sub_article: str | None
    language: str | None
    href: str
    position: int
    image_number: int
    figure_doi: str | None
    has_formula_images: bool
    alternatives: list[str]
    thumbnails: list[str]


@dataclass(slots=True)
class ArticleDate:
    """A date of the article, ISO 8601 at the precision given: ``2020``, ``2020-05``, ``2020-05-07``."""

    kind: str
    date: str


@dataclass(slots=True)
class Author:
    """An author or a group of authors, with the ORCID as its bare number."""

    name: str
    orcid: str | None
    affiliations: list[str]


@dataclass(frozen=True, slots=True)
class Related:
    """A related article: its relation, and its id of the named type (doi, pmid, uri)."""

    kind: str
    id: str
    id_type: str | None


@dataclass(frozen=True, slots=True)
class Translation:
    """A title in another language than the article's."""

    language: str | None
    title: str


@dataclass(frozen=True, slots=True)
class Summary:
    """An abstract beside the main one: graphical, teaser, plain-language-summary, translated, as ``@abstract-type``."""

    kind: str
    language: str | None
    text: str


@dataclass(frozen=True, slots=True)
class KeywordGroup:
    """Keywords of one group, its kind as ``@kwd-group-type``."""

    kind: str | None
    language: str | None
    keywords: list[str]


@dataclass(frozen=True, slots=True)
class Funding:
    """Who paid: the sources named together, and the numbers of their awards."""

    sources: list[str]
    awards: list[str]


@dataclass(slots=True)
class Reference:
    """An entry of the reference list; ``raw`` is its whole text.

    Not frozen: an article has dozens, and a frozen dataclass takes three times as long to make.
    """

    id: str | None
    pmid: str | None
    pmcid: str | None
    doi: str | None
    title: str | None
    year: str | None
    raw: str


@dataclass(slots=True)
class Section:
    """A section's path of titles, outermost first, and the paragraphs directly in it."""

    path: list[str]
    paragraphs: list[str]


@dataclass(frozen=True, slots=True)
class Article:
    """A parsed article; the columns of the articles table as far as the XML knows them, and its figures.

    Attributes:
        figures: One for each image, in document order.

    The other fields are described in :data:`biomedica_ray.schema.ARTICLES`.
    """

    pmcid: str | None
    pmid: str | None
    doi: str | None
    publisher_id: str | None
    title: str | None
    subtitle: str | None
    translated_titles: list[Translation]
    abstract: str | None
    other_abstracts: list[Summary]
    journal: str | None
    journal_abbreviation: str | None
    issns: list[str]
    publisher: str | None
    volume: str | None
    issue: str | None
    pages: str | None
    published: dt.date | None
    published_precision: str | None
    dates: list[ArticleDate]
    article_type: str | None
    language: str | None
    subjects: list[str]
    keywords: list[str]
    keyword_groups: list[KeywordGroup]
    mesh: list[str]
    authors: list[Author]
    funding: list[Funding]
    funding_statement: str | None
    license_url: str | None
    license_code: str
    license_group: str
    copyright: str | None
    is_retracted: bool
    related: list[Related]
    references: list[Reference]
    sections: list[Section]
    citation: str
    n_inline_graphics: int
    n_formula_graphics: int
    n_figures_without_image: int
    figures: list[Figure]
