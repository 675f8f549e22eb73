"""The entry point: JATS XML to an Article."""

from __future__ import annotations

from biomedica_ray.jats import contributors, dates, figures, licenses, mentions, metadata, references, rights, sections
from biomedica_ray.jats.article import Article, Figure, JatsError
from biomedica_ray.jats.panels import split_panels
from biomedica_ray.jats.sections import Paragraph
from biomedica_ray.jats.tree import Element, lang, parse_tree


def parse_article(xml: bytes) -> Article:
    """Read the first article of a JATS document, bare or wrapped in ``pmc-articleset`` or OAI-PMH.

    Args:
        xml: The document, in any JATS or NLM version, in any encoding that it declares.

    Raises:
        JatsError: The bytes are not well-formed XML, hold no article, or the article has no metadata.
    """
    try:
        return _read(parse_tree(xml))
    except RecursionError as error:
        raise JatsError("elements are nested too deeply") from error


def _read(article: Element) -> Article:
    meta = article.find("front/article-meta")
    if meta is None:
        raise JatsError("the article has no front/article-meta")
    language = lang(article)
    ids = metadata.read_ids(meta)
    title, subtitle = metadata.read_titles(meta)
    journal, abbreviation, issns, publisher = metadata.read_journal(article)
    all_dates, published = dates.read_dates(meta)
    volume, issue = (metadata.read_line(meta, tag) for tag in ("volume", "issue"))
    pages = metadata.read_pages(meta)
    keywords, mesh = metadata.read_keywords(meta, language)
    abstract, other_abstracts = metadata.read_abstracts(meta, language)
    funding, funding_statement = metadata.read_funding(meta)
    related = metadata.read_related(meta)
    license_ = licenses.read_license(article)
    text = sections.read_full_text(article)
    found = figures.find_images(article, language)
    return Article(
        **ids,
        title=title,
        subtitle=subtitle,
        translated_titles=metadata.read_translated_titles(meta),
        abstract=abstract,
        other_abstracts=other_abstracts,
        journal=journal,
        journal_abbreviation=abbreviation,
        issns=issns,
        publisher=publisher,
        volume=volume,
        issue=issue,
        pages=pages,
        published=published.date,
        published_precision=published.precision,
        dates=all_dates,
        article_type=article.get("article-type") or None,
        language=language,
        subjects=metadata.read_subjects(meta),
        keywords=keywords,
        keyword_groups=metadata.read_keyword_groups(meta),
        mesh=mesh,
        authors=contributors.read_authors(meta, language),
        funding=funding,
        funding_statement=funding_statement,
        license_url=license_.url,
        license_code=license_.code,
        license_group=license_.group,
        copyright=metadata.read_copyright(meta),
        is_retracted=metadata.is_retracted(article.get("article-type"), title, related),
        related=related,
        references=references.read_references(text.ref_lists),
        sections=sections.read_sections(text.paragraphs),
        citation=metadata.citation(
            journal,
            published.date.year if published.date else None,
            metadata.place_in_journal(volume, issue, pages),
            ids["doi"],
        ),
        n_inline_graphics=found.n_inline_graphics,
        n_formula_graphics=found.n_formula_graphics,
        n_figures_without_image=found.n_figures_without_image,
        figures=_figures(article, found.images, text.paragraphs, language, license_.code),
    )


def _figures(
    article: Element, images: list[figures.Image], paragraphs: list[Paragraph], language: str | None, license_code: str
) -> list[Figure]:
    owner = rights.Owner(article, license_code)
    languages = [figures.language_of(image, language) for image in images]
    wordings = [figures.read_wording(image, spoken) for image, spoken in zip(images, languages, strict=True)]
    labels = [wording.label or wording.caption for wording in wordings]
    mentioned = mentions.find_mentions(paragraphs, images, labels, [wording.group_label for wording in wordings])
    numbers: dict[Element, int] = {}
    result = []
    for position, (image, wording) in enumerate(zip(images, wordings, strict=True), start=1):
        numbers[image.wording] = numbers.get(image.wording, 0) + 1
        own = rights.read_rights(image.homes, wording.caption, owner)
        result.append(
            Figure(
                xml_id=image.wording.get("id"),
                kind=figures.kind_of(image, wording),
                label=wording.label,
                title=wording.title,
                caption=wording.caption,
                alt_text=figures.read_alt_text(image),
                group_label=wording.group_label,
                group_title=wording.group_title,
                group_caption=wording.group_caption,
                panels=split_panels(wording.caption or "", wording.hints),
                mentions=mentioned[position - 1],
                permissions=own.permissions,
                license_code=own.license_code,
                license_url=own.license_url,
                copyright=own.copyright,
                third_party=own.third_party,
                sub_article=figures.sub_article_of(image),
                language=languages[position - 1],
                href=image.hrefs[0],
                position=position,
                image_number=numbers[image.wording],
                figure_doi=wording.doi,
                has_formula_images=wording.has_formula_images,
                alternatives=image.hrefs[1:],
                thumbnails=image.thumbnails,
            )
        )
    return result
