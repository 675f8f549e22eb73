"""Bibliographic data of an article: ids, titles, journal, subjects, related articles."""

from __future__ import annotations

import re

from biomedica_ray.jats import identifiers
from biomedica_ray.jats.article import Funding, KeywordGroup, Related, Summary, Translation
from biomedica_ray.jats.rights import copyright_of
from biomedica_ray.jats.text import readable
from biomedica_ray.jats.tree import Element, all_text, child, href, lang, preferred

# Summaries beside the abstract; an abstract of any other type is the abstract itself.
_NOT_MAIN_ABSTRACT = re.compile(
    r"graphical|teaser|toc|precis|highlight|key-?points?|signific|strength|impact|in-?brief|media|summary.*(?:editor|web|lay|plain)|(?:editor|web|lay|plain|exec)"
    r"|synopsis|short|patient|video",
    re.IGNORECASE,
)
_NOTES = ("fn", "xref")
_FOOTNOTE_MARK = re.compile(r"[*\u2217\u2020\u2021\u00a7\u00b6#]+")
_RETRACTED_TITLE = re.compile(
    r"\A\W*retracted\b|\A\W*withdrawn(?:\s(?:article|paper))?\s*[:\u2013\u2014-]|[(\[]\s*(?:retracted|withdrawn)(?:\s\w+)?\s*[)\]]"
    r"\W*\Z",
    re.IGNORECASE,
)
_RETRACTED_RELATIONS = frozenset({"retraction-forward", "retracted-by"})


def read_ids(meta: Element) -> dict[str, str | None]:
    """``pmcid``, ``pmid``, ``doi`` and ``publisher_id``, normalised, None where the article has none."""
    ids: dict[str, str] = {}
    for node in meta.iterfind("article-id"):
        ids.setdefault(node.get("pub-id-type") or "", all_text(node).strip())
    pmcids = (identifiers.pmcid(ids.get(kind)) for kind in ("pmcid", "pmc", "pmcid-ver", "pmcaid", "pmc-uid"))
    return {
        "pmcid": next((pmcid for pmcid in pmcids if pmcid), None),
        "pmid": identifiers.pmid(ids.get("pmid")),
        "doi": identifiers.doi(ids.get("doi")),
        "publisher_id": ids.get("publisher-id") or ids.get("pii") or None,
    }


def read_titles(meta: Element) -> tuple[str | None, str | None]:
    """Title and subtitle, without footnote marks."""
    group = child(meta, "title-group")
    return _title(child(group, "article-title")), _title(child(group, "subtitle"))


def _title(node: Element | None) -> str | None:
    """A title without the mark of a footnote, which may stand at its end without being a cross-reference."""
    text = readable(node, _NOTES)
    last = node[-1] if node is not None and len(node) else None
    if text is None or last is None or last.tag != "sup" or (last.tail or "").strip():
        return text
    mark = (readable(last) or "").strip()
    return text.removesuffix(mark).rstrip() if _FOOTNOTE_MARK.fullmatch(mark) else text


def read_translated_titles(meta: Element) -> list[Translation]:
    """Titles in other languages, with their subtitles."""
    group = child(meta, "title-group")
    if group is None:
        return []
    found: list[Translation] = []
    for node in [*group.iterfind("trans-title-group"), *group.iterfind("trans-title")]:
        home = node if node.tag == "trans-title-group" else group
        titles = list(node.iterfind("trans-title")) if home is node else [node]
        subtitle = readable(node.find("trans-subtitle"), _NOTES) if home is node else None
        for title in titles:
            text = ": ".join(part for part in (readable(title, _NOTES), subtitle) if part)
            if text:
                found.append(Translation(lang(title) or lang(node), text))
    return found


def read_abstracts(meta: Element, language: str | None) -> tuple[str | None, list[Summary]]:
    """The main abstract, of several languages in that of the article, and those beside it: graphical, translated.

    Paragraphs are lines, those of a labelled section headed by ``Label: ``.
    """
    main, text = _main_abstract(meta, language)
    others: list[Summary] = []
    for node in [*meta.iterfind("abstract"), *meta.iterfind("trans-abstract")]:
        lines = [] if node is main else _abstract_lines(node)
        if lines:
            kind = node.get("abstract-type") or ("translated" if node.tag == "trans-abstract" else "abstract")
            others.append(Summary(kind, lang(node), "\n".join(lines)))
    return text, others


def _main_abstract(meta: Element, language: str | None) -> tuple[Element | None, str | None]:
    # In order, those in the article's language first.
    abstracts = sorted(
        meta.iterfind("abstract"), key=lambda node: language is not None and lang(node) not in (None, language)
    )
    plain = [node for node in abstracts if not node.get("abstract-type")]
    typed = [node for node in abstracts if not _NOT_MAIN_ABSTRACT.search(node.get("abstract-type") or "")]
    summaries = [node for node in abstracts if "graphical" not in (node.get("abstract-type") or "")]
    for abstract in [*plain, *typed, *summaries]:
        lines = _abstract_lines(abstract)
        if lines:
            return abstract, "\n".join(lines)
    return None, None


def _abstract_lines(element: Element) -> list[str]:
    lines: list[str] = []
    for node in element.iterchildren("*"):
        if node.tag == "sec":
            label, inner = readable(node.find("title")), _abstract_lines(node)
            if label and inner:
                inner[0] = f"{label.rstrip(': .')}: {inner[0]}"
            lines += inner
        elif node.tag not in ("title", "label") and (text := readable(node)):
            lines.append(text)
    return lines


def read_journal(article: Element) -> tuple[str | None, str | None, list[str], str | None]:
    """Journal title (the abbreviated one where there is no other), abbreviated title, ISSNs, publisher's name."""
    meta = child(article, "front", "journal-meta")
    if meta is None:
        return None, None, [], None
    title = readable(next(meta.iter("journal-title"), None))
    ids = {node.get("journal-id-type"): readable(node) for node in meta.iterfind("journal-id")}
    short = readable(next(meta.iter("abbrev-journal-title"), None))
    issns = [text for node in meta.iter("issn", "issn-l") if (text := readable(node))]
    publisher = readable(next(meta.iter("publisher-name"), None))
    short = ids.get("iso-abbrev") or ids.get("nlm-ta") or short
    return title or short, short, list(dict.fromkeys(issns)), publisher


def read_line(meta: Element, tag: str) -> str | None:
    """Text of a field of the metadata: volume, issue."""
    return readable(meta.find(tag))


def read_pages(meta: Element) -> str | None:
    """``first-last`` page, the electronic location id, or the page range as given."""
    first, last = readable(meta.find("fpage")), readable(meta.find("lpage"))
    if first:
        return f"{first}-{last}" if last and last != first else first
    return readable(meta.find("elocation-id")) or readable(meta.find("page-range"))


def read_subjects(meta: Element) -> list[str]:
    """Subject headings, each with those above it: ``Biology > Genetics``."""
    paths = [path for group in meta.iterfind("article-categories/subj-group") for path in _subject_paths(group)]
    return list(dict.fromkeys(" > ".join(path) for path in paths))


def _subject_paths(group: Element) -> list[list[str]]:
    own = [text for node in group.iterfind("subject") if (text := readable(node))]
    nested = [path for inner in group.iterfind("subj-group") for path in _subject_paths(inner)]
    if not nested:
        return [[subject] for subject in own]
    return [[subject] for subject in own[:-1]] + [[*own[-1:], *path] for path in nested]


def read_keywords(meta: Element, language: str | None) -> tuple[list[str], list[str]]:
    """Author keywords in the article's language, and MeSH headings."""
    keywords: list[str] = []
    mesh: list[str] = []
    by_type: dict[str, list[Element]] = {}
    for group in meta.iterfind("kwd-group"):
        by_type.setdefault((group.get("kwd-group-type") or "").lower(), []).append(group)
    for kind, groups in by_type.items():
        if "abbr" in kind:
            continue
        chosen = preferred(groups, language)
        in_language = [node for node in groups if chosen is not None and lang(node) == lang(chosen)]
        words = [text for node in in_language for kwd in node.iter("kwd", "compound-kwd") if (text := readable(kwd))]
        (mesh if "mesh" in kind else keywords).extend(words)
    return list(dict.fromkeys(keywords)), list(dict.fromkeys(mesh))


def read_keyword_groups(meta: Element) -> list[KeywordGroup]:
    """All keywords, group by group; nested ones count to the group around them."""
    groups = []
    for group in meta.iterfind("kwd-group"):
        words = [text for kwd in group.iter("kwd", "compound-kwd") if (text := readable(kwd))]
        if words:
            groups.append(KeywordGroup(group.get("kwd-group-type"), lang(group), list(dict.fromkeys(words))))
    return groups


def read_funding(meta: Element) -> tuple[list[Funding], str | None]:
    """Award groups with their funders and award numbers (contracts and grants of NLM 2 too), and the statement."""
    groups = list(meta.iterfind("funding-group/award-group"))
    funding = []
    for group in groups:
        sources = [_funder(node) for node in group.iter("funding-source")]
        awards = [readable(node) for node in group.iter("award-id")]
        funding.append(Funding(_distinct(sources), _distinct(awards)))
    if not groups:
        sources = [_funder(node) for node in meta.iter("funding-source", "grant-sponsor", "contract-sponsor")]
        awards = [readable(node) for node in meta.iter("award-id", "grant-num", "contract-num")]
        funding.append(Funding(_distinct(sources), _distinct(awards)))
    statement = "\n".join(_distinct([readable(node) for node in meta.iterfind("funding-group/funding-statement")]))
    return [entry for entry in funding if entry.sources or entry.awards], statement or None


def _funder(node: Element) -> str | None:
    return readable(next(node.iter("institution"), None)) or readable(node)


def _distinct(texts: list[str | None]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))


def read_related(meta: Element) -> list[Related]:
    """Related articles with their relation and the id they are named by."""
    related = []
    for node in meta.iter("related-article", "related-object"):
        name = href(node) or node.get("object-id") or node.get("document-id") or readable(node)
        if name:
            id_type = node.get("ext-link-type") or node.get("object-id-type") or node.get("document-id-type")
            kind = node.get("related-article-type") or node.get("link-type") or "related"
            related.append(Related(kind, (identifiers.doi(name) if id_type == "doi" else None) or name, id_type))
    return related


def read_copyright(meta: Element) -> str | None:
    """The copyright statement, or one made of year and holder where only these are given."""
    permissions = child(meta, "permissions")
    for home in (permissions, meta):
        statement = readable(child(home, "copyright-statement"))
        if statement:
            return statement
    return None if permissions is None else copyright_of(permissions)


def is_retracted(article_type: str | None, title: str | None, related: list[Related]) -> bool:
    """Whether the article has been retracted; a notice of retraction has not.

    PMC links a retracted article to its notice with ``retraction-forward``, and its title begins ``RETRACTED:`` or
    ``Retracted article:``, or ends ``(Retracted)`` (PMC Tagging Guidelines, Retractions).
    """
    if article_type in ("retraction", "partial-retraction"):
        return False
    if any(link.kind in _RETRACTED_RELATIONS for link in related):
        return True
    return article_type == "retracted-article" or bool(title and _RETRACTED_TITLE.search(title))


def citation(journal: str | None, year: int | None, place: str, doi: str | None) -> str:
    """One line that finds the article: ``PLoS ONE. 2012;7(6):e38869. doi:10.1371/journal.pone.0038869``.

    Without volume and issue the pages follow the year: ``PLoS ONE. 2012:e38869.``
    """
    when = ";".join(part for part in (str(year) if year else "", place) if part).replace(";:", ":").removeprefix(":")
    parts = [f"{journal}." if journal else "", f"{when}." if when else "", f"doi:{doi}" if doi else ""]
    return " ".join(part for part in parts if part)


def place_in_journal(volume: str | None, issue: str | None, pages: str | None) -> str:
    """Where in the journal an article stands: ``7(6):e38869``."""
    return (volume or "") + (f"({issue})" if issue else "") + (f":{pages}" if pages else "")
