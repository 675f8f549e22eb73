from __future__ import annotations

import datetime

import pytest

from biomedica_ray.enrich.parse import parse_records
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
from tests.fakes.eutils import article_set

ARTICLE = """<PubmedArticle>
 <MedlineCitation Status="MEDLINE" Owner="NLM" IndexingMethod="Curated"><PMID Version="2">123</PMID>
  <DateCompleted><Year>2019</Year><Month>02</Month><Day>03</Day></DateCompleted>
  <Article PubModel="Print-Electronic">
   <Journal><JournalIssue CitedMedium="Print"><PubDate><Year>2018</Year><Month>Apr</Month></PubDate></JournalIssue></Journal>
   <ArticleTitle>On <i>H. pylori</i>.</ArticleTitle>
   <DataBankList><DataBank><DataBankName>ClinicalTrials.gov</DataBankName><AccessionNumberList>
     <AccessionNumber>NCT1</AccessionNumber><AccessionNumber>NCT2</AccessionNumber></AccessionNumberList></DataBank></DataBankList>
   <GrantList><Grant><GrantID>R01 1</GrantID><Agency>NCI NIH HHS</Agency><Country>United States</Country></Grant>
     <Grant><Agency>Wellcome</Agency></Grant></GrantList>
   <PublicationTypeList><PublicationType UI="D016428">Journal Article</PublicationType>
     <PublicationType UI="D016441">Retracted Publication</PublicationType></PublicationTypeList>
   <ArticleDate DateType="Electronic"><Year>2017</Year><Month>12</Month><Day>31</Day></ArticleDate>
  </Article>
  <MedlineJournalInfo><Country>England</Country><MedlineTA>Gut</MedlineTA><NlmUniqueID>2985108R</NlmUniqueID></MedlineJournalInfo>
  <ChemicalList>
   <Chemical><RegistryNumber>0</RegistryNumber><NameOfSubstance UI="D015415">Biomarkers</NameOfSubstance></Chemical>
   <Chemical><RegistryNumber>EC 1.1.1.1</RegistryNumber><NameOfSubstance UI="D000426">Alcohol Dehydrogenase</NameOfSubstance></Chemical>
  </ChemicalList>
  <SupplMeshList><SupplMeshName Type="Disease" UI="C538231">Adenocarcinoma of lung</SupplMeshName></SupplMeshList>
  <CommentsCorrectionsList>
   <CommentsCorrections RefType="Cites"><RefSource>Old</RefSource><PMID Version="1">7</PMID></CommentsCorrections>
   <CommentsCorrections RefType="RetractionIn"><RefSource>Gut. 2020</RefSource><PMID Version="1">9</PMID></CommentsCorrections>
   <CommentsCorrections RefType="CommentIn"><RefSource>Gut. 2021</RefSource></CommentsCorrections>
  </CommentsCorrectionsList>
  <MeshHeadingList>
   <MeshHeading><DescriptorName UI="D006801" MajorTopicYN="N">Humans</DescriptorName></MeshHeading>
   <MeshHeading><DescriptorName UI="D013274" MajorTopicYN="N">Stomach Neoplasms</DescriptorName>
     <QualifierName UI="Q000473" MajorTopicYN="Y">pathology</QualifierName>
     <QualifierName UI="Q000628" MajorTopicYN="N">therapy</QualifierName></MeshHeading>
  </MeshHeadingList>
  <KeywordList Owner="NOTNLM"><Keyword MajorTopicYN="N"><i>H.  pylori</i>
    infection</Keyword><Keyword MajorTopicYN="N">gut</Keyword></KeywordList>
  <KeywordList Owner="NASA"><Keyword>gut</Keyword></KeywordList>
 </MedlineCitation>
 <PubmedData>
  <History><PubMedPubDate PubStatus="received"><Year>2016</Year><Month>1</Month><Day>2</Day></PubMedPubDate>
   <PubMedPubDate PubStatus="pubmed"><Year>2018</Year><Month>1</Month><Day>5</Day><Hour>6</Hour></PubMedPubDate></History>
  <PublicationStatus>ppublish</PublicationStatus>
  <ArticleIdList><ArticleId IdType="pubmed">123</ArticleId><ArticleId IdType="doi">10.1136/GUT-1</ArticleId>
   <ArticleId IdType="pmc">PMC55</ArticleId></ArticleIdList>
  <ReferenceList><Reference><Citation>A</Citation><ArticleIdList><ArticleId IdType="pubmed">8</ArticleId>
    <ArticleId IdType="doi">10.1/x</ArticleId></ArticleIdList></Reference><Reference><Citation>B</Citation></Reference>
    <ReferenceList><Reference><Citation>C</Citation><ArticleIdList><ArticleId IdType="pubmed">7</ArticleId></ArticleIdList></Reference></ReferenceList>
  </ReferenceList>
 </PubmedData></PubmedArticle>"""  # noqa: E501

BOOK = """<PubmedBookArticle><BookDocument><PMID Version="1">20301295</PMID>
 <Book><BookTitle>GeneReviews</BookTitle><PubDate><Year>1993</Year></PubDate></Book>
 <PublicationType UI="D016454">Review</PublicationType>
 <KeywordList Owner="NOTNLM"><Keyword>ATM</Keyword></KeywordList></BookDocument>
 <PubmedBookData><PublicationStatus>ppublish</PublicationStatus></PubmedBookData></PubmedBookArticle>"""


def parse(*records: str) -> list[PubmedRecord]:
    return parse_records(f"<PubmedArticleSet>{''.join(records)}</PubmedArticleSet>".encode())


def test_every_field_of_an_article() -> None:
    assert parse(ARTICLE) == [
        PubmedRecord(
            pmid="123",
            kind="article",
            pmcid="PMC55",
            doi="10.1136/gut-1",
            status="MEDLINE",
            indexing_method="Curated",
            publication_status="ppublish",
            published=datetime.date(2017, 12, 31),
            dates=[
                PubmedDate("issue", "2018-04"),
                PubmedDate("electronic", "2017-12-31"),
                PubmedDate("completed", "2019-02-03"),
                PubmedDate("received", "2016-01-02"),
                PubmedDate("pubmed", "2018-01-05"),
            ],
            journal_nlm_id="2985108R",
            journal_abbreviation="Gut",
            journal_country="England",
            publication_types=["Journal Article", "Retracted Publication"],
            is_retracted=True,
            mesh_headings=[
                MeshHeading("Humans", "D006801", False, []),
                MeshHeading(
                    "Stomach Neoplasms",
                    "D013274",
                    False,
                    [Qualifier("pathology", "Q000473", True), Qualifier("therapy", "Q000628", False)],
                ),
            ],
            supplementary_concepts=[SupplementaryConcept("Adenocarcinoma of lung", "C538231", "Disease")],
            chemicals=[
                Chemical("Biomarkers", "D015415", None),
                Chemical("Alcohol Dehydrogenase", "D000426", "EC 1.1.1.1"),
            ],
            keywords=["H. pylori infection", "gut"],
            grants=[Grant("R01 1", "NCI NIH HHS", "United States"), Grant(None, "Wellcome", None)],
            accessions=[Accession("ClinicalTrials.gov", "NCT1"), Accession("ClinicalTrials.gov", "NCT2")],
            related=[RelatedRecord("RetractionIn", "9", "Gut. 2020"), RelatedRecord("CommentIn", None, "Gut. 2021")],
            reference_pmids=["8", "7"],
        )
    ]


def test_a_book_and_a_bare_record() -> None:
    bare = "<PubmedArticle><MedlineCitation><PMID>5</PMID></MedlineCitation></PubmedArticle>"
    book, empty = parse(BOOK, bare)
    assert (book.pmid, book.kind, book.published) == ("20301295", "book", datetime.date(1993, 1, 1))
    assert (book.publication_types, book.keywords, book.is_retracted) == (["Review"], ["ATM"], False)
    assert (empty.pmid, empty.published, empty.dates, empty.mesh_headings) == ("5", None, [], [])


@pytest.mark.parametrize(
    ("date", "iso"),
    [
        ("<MedlineDate>2018 Jan-Feb</MedlineDate>", "2018-01"),
        ("<MedlineDate>1998 Dec-1999 Jan</MedlineDate>", "1998-12"),
        ("<MedlineDate>2000 Spring</MedlineDate>", "2000"),
        ("<MedlineDate>Summer 2001</MedlineDate>", "2001"),
        ("<Year>2020</Year><Season>Fall</Season>", "2020"),
        ("<Year>2020</Year><Month>02</Month><Day>30</Day>", "2020-02"),
        ("<MedlineDate>no date</MedlineDate>", None),
    ],
)
def test_dates_of_issues(date: str, iso: str | None) -> None:
    issue = f"<Article><Journal><JournalIssue><PubDate>{date}</PubDate></JournalIssue></Journal></Article>"
    (record,) = parse(f"<PubmedArticle><MedlineCitation><PMID>5</PMID>{issue}</MedlineCitation></PubmedArticle>")
    assert [each.date for each in record.dates] == ([iso] if iso else [])


def test_ids_that_are_not_known_have_no_record() -> None:
    assert [record.pmid for record in parse_records(article_set(["1", "2", "3"], frozenset("2")))] == ["3", "1"]
    assert parse_records(article_set([])) == []
    message = "ID list is empty! Possibly it has no correct IDs."
    assert parse_records(f"<eFetchResult><ERROR>{message}</ERROR></eFetchResult>".encode()) == []
    assert parse("<DeleteCitation><PMID>5</PMID></DeleteCitation>") == []


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (b"", "not well-formed XML"),
        (article_set(["1", "2"])[:-30], "not well-formed XML"),
        (b"<html/>", "expected PubmedArticleSet, got <html>"),
        (b"<eFetchResult><ERROR>Backend failed</ERROR></eFetchResult>", "Backend failed"),
    ],
)
def test_other_replies_are_errors(xml: bytes, message: str) -> None:
    with pytest.raises(PubmedError, match=message):
        parse_records(xml)


def test_entities_are_not_fetched() -> None:
    xml = b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><PubmedArticleSet><PubmedArticle><MedlineCitation>'
    xml += b"<PMID>5</PMID><KeywordList><Keyword>&x;</Keyword></KeywordList></MedlineCitation></PubmedArticle>"
    (record,) = parse_records(xml + b"</PubmedArticleSet>")
    assert not any("root" in keyword for keyword in record.keywords)
