"""PubMed XML, as ``efetch`` with db=pubmed and retmode=xml gives it, to records.

The format is NLM's PubMed DTD (https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_240101.dtd); its elements are described
in https://www.nlm.nih.gov/bsd/licensee/elements_descriptions.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

from biomedica_ray.enrich.record import (
    Accession,
    Chemical,
    Grant,
    MeshHeading,
    PubmedDate,
    PubmedError,
    PubmedRecord,
    Qualifier,
    RelatedRecord,
    SupplementaryConcept,
)
from biomedica_ray.jats import identifiers
from biomedica_ray.jats.dates import first_day, iso_date

Element = etree._Element

_RETRACTED = "Retracted Publication"
"""MeSH publication type D016441."""
_CITES = "Cites"
_NO_IDS = "ID list is empty"
"""How efetch answers when it knows none of the ids, at times; at others it sends an empty set."""
_ISSUE_KINDS = ("issue", "electronic", "epublish", "ppublish", "ecollection", "aheadofprint")
"""Kinds of dates on which something was published; the others tell of handling and indexing."""
# "2018 Jan-Feb", "1998 Dec-1999 Jan", "2000 Spring": the first year, and the first month where there is one.
_MEDLINE_DATE = re.compile(r"\b([12]\d{3})\b(?:\s+([A-Z][a-z]{2})[a-z]*\b)?")


def parse_records(xml: bytes) -> list[PubmedRecord]:
    """All records of a reply, in its order; ids that PubMed does not know have none.

    Raises:
        PubmedError: The bytes are not well-formed XML (a reply that was cut off), or not a set of PubMed records.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root: Element = etree.fromstring(xml, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise PubmedError(f"not well-formed XML: {error}") from error
    if root.tag == "PubmedArticleSet":
        return [record for record in map(_record, root.iterchildren(tag=etree.Element)) if record is not None]
    message = _text(root.find(".//ERROR")) or f"expected PubmedArticleSet, got <{root.tag}>"
    if message.startswith(_NO_IDS):
        return []
    raise PubmedError(message)


def _record(element: Element) -> PubmedRecord | None:
    """The record of a PubmedArticle or PubmedBookArticle; None for other elements (DeleteCitation)."""
    is_book = element.tag == "PubmedBookArticle"
    citation = element.find("BookDocument" if is_book else "MedlineCitation")
    pmid = None if citation is None else identifiers.pmid(citation.findtext("PMID"))
    if citation is None or pmid is None:
        return None
    article = citation if is_book else citation.find("Article")
    data = element.find("PubmedBookData" if is_book else "PubmedData")
    dates = list(dict.fromkeys(_dates(citation, data)))
    types = _texts(article, "PublicationType" if is_book else "PublicationTypeList/PublicationType")
    ids = {each.get("IdType", "pubmed"): _text(each) for each in _all(data, "ArticleIdList/ArticleId")}
    return PubmedRecord(
        pmid=pmid,
        kind="book" if is_book else "article",
        pmcid=identifiers.pmcid(ids.get("pmc")),
        doi=identifiers.doi(ids.get("doi")),
        status=citation.get("Status"),
        indexing_method=citation.get("IndexingMethod"),
        publication_status=_text(None if data is None else data.find("PublicationStatus")),
        published=min((first_day(each.date) for each in dates if each.kind in _ISSUE_KINDS), default=None),
        dates=dates,
        journal_nlm_id=_text(citation.find("MedlineJournalInfo/NlmUniqueID")),
        journal_abbreviation=_text(citation.find("MedlineJournalInfo/MedlineTA")),
        journal_country=_text(citation.find("MedlineJournalInfo/Country")),
        publication_types=types,
        is_retracted=_RETRACTED in types,
        mesh_headings=[each for each in map(_heading, _all(citation, "MeshHeadingList/MeshHeading")) if each],
        supplementary_concepts=[
            SupplementaryConcept(name, each.get("UI"), each.get("Type"))
            for each in _all(citation, "SupplMeshList/SupplMeshName")
            if (name := _text(each))
        ],
        chemicals=[each for each in map(_chemical, _all(citation, "ChemicalList/Chemical")) if each],
        keywords=list(dict.fromkeys(_texts(citation, "KeywordList/Keyword"))),
        grants=[
            Grant(_text(each.find("GrantID")), _text(each.find("Agency")), _text(each.find("Country")))
            for each in _all(article, "GrantList/Grant")
        ],
        accessions=[
            Accession(_text(bank.find("DataBankName")) or "", accession)
            for bank in _all(article, "DataBankList/DataBank")
            for accession in _texts(bank, "AccessionNumberList/AccessionNumber")
        ],
        related=[
            RelatedRecord(kind, identifiers.pmid(each.findtext("PMID")), _text(each.find("RefSource")))
            for each in _all(citation, "CommentsCorrectionsList/CommentsCorrections")
            if (kind := each.get("RefType", "")) != _CITES
        ],
        reference_pmids=list(dict.fromkeys(_reference_pmids(citation, data))),
    )


def _heading(element: Element) -> MeshHeading | None:
    descriptor = element.find("DescriptorName")
    name = _text(descriptor)
    if descriptor is None or name is None:
        return None
    qualifiers = [
        Qualifier(text, each.get("UI"), each.get("MajorTopicYN") == "Y")
        for each in element.iterfind("QualifierName")
        if (text := _text(each))
    ]
    return MeshHeading(name, descriptor.get("UI"), descriptor.get("MajorTopicYN") == "Y", qualifiers)


def _chemical(element: Element) -> Chemical | None:
    substance = element.find("NameOfSubstance")
    name = _text(substance)
    if substance is None or name is None:
        return None
    number = _text(element.find("RegistryNumber"))
    return Chemical(name, substance.get("UI"), None if number == "0" else number)  # 0: it has none


def _dates(citation: Element, data: Element | None) -> Iterator[PubmedDate]:
    """Dates of the issue or book, of the electronic article, of indexing, and of PubMed's history."""
    kinds = [
        *(("issue", each) for each in _all(citation, "Article/Journal/JournalIssue/PubDate")),
        *(("issue", each) for each in _all(citation, "Book/PubDate")),
        *(((each.get("DateType") or "electronic").lower(), each) for each in _all(citation, "Article/ArticleDate")),
        *(("contribution", each) for each in _all(citation, "ContributionDate")),
        *(("completed", each) for each in _all(citation, "DateCompleted")),
        *(("revised", each) for each in _all(citation, "DateRevised")),
        *((each.get("PubStatus") or "", each) for each in _all(data, "History/PubMedPubDate")),
    ]
    for kind, element in kinds:
        if date := _iso(element):
            yield PubmedDate(kind, date)


def _iso(element: Element) -> str | None:
    year, month, day = (_text(element.find(tag)) or "" for tag in ("Year", "Month", "Day"))
    if not year and (match := _MEDLINE_DATE.search(_text(element.find("MedlineDate")) or "")):
        year, month = match.group(1), match.group(2) or ""
    return iso_date(year, month, day)


def _reference_pmids(citation: Element, data: Element | None) -> Iterator[str]:
    """From the reference list; older records have them among the comments and corrections."""
    for each in _all(data, ".//Reference/ArticleIdList/ArticleId"):
        if each.get("IdType", "pubmed") == "pubmed" and (pmid := identifiers.pmid(_text(each))):
            yield pmid
    for each in _all(citation, "CommentsCorrectionsList/CommentsCorrections"):
        if each.get("RefType") == _CITES and (pmid := identifiers.pmid(each.findtext("PMID"))):
            yield pmid


def _all(element: Element | None, path: str) -> list[Element]:
    return [] if element is None else element.findall(path)


def _texts(element: Element | None, path: str) -> list[str]:
    return [text for each in _all(element, path) if (text := _text(each))]


def _text(element: Element | None) -> str | None:
    """All text inside an element, on one line; None where there is none."""
    return None if element is None else " ".join("".join(map(str, element.itertext())).split()) or None
