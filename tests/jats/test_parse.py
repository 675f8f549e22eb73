"""Articles, metadata and the ways in which a document can be broken."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from biomedica_ray import schema
from biomedica_ray.images import ImageInfo
from biomedica_ray.jats import Article, Figure, JatsError, parse_article
from biomedica_ray.jats.article import ArticleDate, Author, Funding, KeywordGroup, Related, Summary, Translation

ARTICLE = """<article xmlns:xlink="http://www.w3.org/1999/xlink" article-type="{type}" xml:lang="EN">
<front><journal-meta><journal-id journal-id-type="iso-abbrev">J. Test</journal-id>
<journal-title-group><journal-title>Journal of Tests</journal-title></journal-title-group>
<issn pub-type="epub">1234-5678</issn><publisher><publisher-name>House</publisher-name></publisher></journal-meta>
<article-meta><article-id pub-id-type="pmc">123</article-id><article-id pub-id-type="pmid">99</article-id>
<article-id pub-id-type="doi">https://doi.org/10.1000/ABC</article-id>{meta}</article-meta></front>
<body>{body}</body><back>{back}</back>{after}</article>"""


def article(
    meta: str = "", body: str = "", back: str = "", after: str = "", type_: str = "research-article"
) -> Article:
    return parse_article(ARTICLE.format(meta=meta, body=body, back=back, after=after, type=type_).encode())


def test_fields_are_the_columns_of_the_tables() -> None:
    articles = {field.name for field in dataclasses.fields(Article)}
    assert articles - {"figures"} == set(schema.ARTICLES.names) - {"article_id", "version"}
    from_bytes = {field.name for field in dataclasses.fields(ImageInfo)}
    elsewhere = {"figure_id", "article_id", "file_name", "image", "is_thumbnail"} | from_bytes
    assert {field.name for field in dataclasses.fields(Figure)} - {"alternatives", "thumbnails"} == set(
        schema.FIGURES.names
    ) - elsewhere


def test_ids_journal_and_language_are_normalised() -> None:
    read = article()
    assert (read.pmcid, read.pmid, read.doi) == ("PMC123", "99", "10.1000/abc")
    assert (read.journal, read.journal_abbreviation, read.publisher) == ("Journal of Tests", "J. Test", "House")
    assert read.issns == ["1234-5678"]
    assert read.language == "en"


@pytest.mark.parametrize(
    "wrap",
    [
        "<pmc-articleset>{}</pmc-articleset>",
        '<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/"><GetRecord><record><metadata>{}</metadata></record>'
        "</GetRecord></OAI-PMH>",
    ],
)
def test_wrapped_articles_are_found_in_any_namespace(wrap: str) -> None:
    inner = ARTICLE.format(meta="", body="<p>x</p>", back="", after="", type="other")
    inner = inner.replace("<article ", '<article xmlns="https://jats.nlm.nih.gov/ns/archiving/1.3/" ', 1)
    assert parse_article(wrap.format(inner).encode()).pmcid == "PMC123"


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (b"", "not well-formed"),
        (b"<article><front>", "not well-formed"),
        (b"<article>&undefined;</article>", "not well-formed"),
        (b"<html/>", "root is <html>"),
        (b"<article><p>x</q></article>", "mismatch"),
        (b"<article/>", "no front/article-meta"),
        (b"<article>" + b"<p>" * 300 + b"</p>" * 300 + b"</article>", "not well-formed"),
    ],
)
def test_what_is_no_article_says_why(xml: bytes, reason: str) -> None:
    with pytest.raises(JatsError, match=reason):
        parse_article(xml)


def test_an_undeclared_prefix_is_no_fault() -> None:
    xml = b'<article><front><article-meta/></front><body><fig><graphic xlink:href="a"/></fig></body></article>'
    assert [figure.href for figure in parse_article(xml).figures] == ["a"]


def test_entities_are_neither_expanded_nor_fetched() -> None:
    declared = '<!DOCTYPE article [<!ENTITY a "aaaaaaaaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>'
    body = "<sec><p>x&a;y &b; &lt;&#945;&gt;</p></sec>"
    xml = declared + ARTICLE.format(meta="", body=body, back="", after="", type="other")
    (section,) = parse_article(xml.encode()).sections
    assert section.paragraphs == ["x&a;y &b; <α>"]


def test_titles_leave_footnote_marks_out() -> None:
    read = article(
        '<title-group><article-title>On <italic>E. coli</italic><xref ref-type="fn" rid="n">*</xref></article-title>'
        "<subtitle>A study</subtitle></title-group>"
    )
    assert (read.title, read.subtitle) == ("On E. coli", "A study")
    for title, text in (("On <italic>E. coli</italic><sup>*</sup>", "On E. coli"), ("On CO<sup>+</sup>", "On CO⁺")):
        assert article(f"<title-group><article-title>{title}</article-title></title-group>").title == text


def test_main_abstract_has_labelled_paragraphs() -> None:
    read = article(
        '<abstract abstract-type="teaser"><p>Short.</p></abstract>'
        "<abstract><title>Abstract</title><sec><title>Methods:</title><p>We did.</p><p>Twice.</p></sec>"
        "<sec><title>Results</title><p>It worked.</p></sec></abstract>"
    )
    assert read.abstract == "Methods: We did.\nTwice.\nResults: It worked."


def test_main_abstract_is_in_the_language_of_the_article() -> None:
    read = article('<abstract xml:lang="es"><p>Uno.</p></abstract><abstract xml:lang="en"><p>One.</p></abstract>')
    assert (read.abstract, read.other_abstracts) == ("One.", [Summary("abstract", "es", "Uno.")])
    assert article('<abstract xml:lang="es"><p>Uno.</p></abstract>').abstract == "Uno."
    beside = '<abstract abstract-type="significance"><p>Why.</p></abstract>'
    assert article(f'{beside}<abstract abstract-type="main"><p>One.</p></abstract>').abstract == "One."


def test_other_abstracts_and_titles_stand_apart() -> None:
    read = article(
        '<title-group><article-title>Mice</article-title><trans-title-group xml:lang="pt">'
        "<trans-title>Ratos</trans-title><trans-subtitle>um estudo</trans-subtitle></trans-title-group></title-group>"
        '<abstract abstract-type="graphical"><p>A picture.</p></abstract><abstract><p>All.</p></abstract>'
        '<trans-abstract xml:lang="pt"><p>Tudo.</p></trans-abstract>'
    )
    assert read.translated_titles == [Translation("pt", "Ratos: um estudo")]
    assert read.abstract == "All."
    assert read.other_abstracts == [Summary("graphical", None, "A picture."), Summary("translated", "pt", "Tudo.")]


def test_funding_has_sources_awards_and_a_statement() -> None:
    read = article(
        "<funding-group><award-group><funding-source><institution-wrap><institution>Trust</institution>"
        "<institution-id>10.1/x</institution-id></institution-wrap></funding-source><award-id>A1</award-id></award-group>"
        "<funding-statement>Paid by Trust.</funding-statement></funding-group>"
    )
    assert read.funding == [Funding(["Trust"], ["A1"])]
    assert read.funding_statement == "Paid by Trust."


def test_references_outside_back_are_read_but_not_those_of_a_sub_article() -> None:
    lists = "<ref-list><ref id='{}'><mixed-citation>Roe <sup>2</sup></mixed-citation></ref></ref-list>".format
    read = article(body=f"<sec>{lists('a')}</sec>", after=f"<sub-article><back>{lists('b')}</back></sub-article>")
    assert [(reference.id, reference.raw) for reference in read.references] == [("a", "Roe ²")]


def test_published_is_the_earliest_and_dates_keep_their_precision() -> None:
    read = article(
        '<pub-date pub-type="ppub"><month>Mar</month><year>2020</year></pub-date>'
        '<pub-date date-type="pub"><day>7</day><month>2</month><year>2020</year></pub-date>'
        '<pub-date pub-type="nihms-submitted"><day>1</day><month>1</month><year>2019</year></pub-date>'
        '<history><date date-type="received"><day>31</day><month>2</month><year>2019</year></date></history>'
    )
    assert read.published == dt.date(2020, 2, 7)
    assert read.dates == [
        ArticleDate("ppub", "2020-03"),
        ArticleDate("pub", "2020-02-07"),
        ArticleDate("nihms-submitted", "2019-01-01"),
        ArticleDate("received", "2019-02"),
    ]
    assert article("<pub-date><year>2001</year></pub-date>").published == dt.date(2001, 1, 1)


DATE = "<pub-date pub-type='{}'>{}</pub-date>".format
YEAR, MONTH, DAY = (f"<{tag}>{{}}</{tag}>".format for tag in ("year", "month", "day"))


@pytest.mark.parametrize(
    ("dates", "published", "precision"),
    [
        (DATE("collection", YEAR(2012)) + DATE("epub", DAY(17) + MONTH(12) + YEAR(2012)), (2012, 12, 17), "day"),
        (DATE("epub", DAY(17) + MONTH(12) + YEAR(2012)) + DATE("ppub", YEAR(2013)), (2012, 12, 17), "day"),
        (DATE("collection", YEAR(2012)) + DATE("ppub", MONTH(5) + YEAR(2012)), (2012, 5, 1), "month"),
        (DATE("collection", YEAR(2012)) + DATE("epub", DAY(3) + MONTH(1) + YEAR(2013)), (2012, 1, 1), "year"),
        (DATE("ppub", MONTH(5) + YEAR(2012)) + DATE("epub", DAY(9) + MONTH(5) + YEAR(2012)), (2012, 5, 9), "day"),
        (DATE("epub", "<string-date>17 December 2012</string-date>"), (2012, 12, 17), "day"),
        (DATE("epub", "<string-date>Dec. 17th, 2012</string-date>"), (2012, 12, 17), "day"),
        (DATE("epub", "<string-date>December 2012</string-date>"), (2012, 12, 1), "month"),
        (DATE("epub", "<string-date>Winter 2012</string-date>"), (2012, 1, 1), "year"),
        (DATE("epub", "<string-date>2012 Dec 17</string-date>"), (2012, 12, 17), "day"),
        (DATE("epub", "<string-date>2012/12/17</string-date>"), (2012, 12, 17), "day"),
        (DATE("epub", "<string-date>17.12.2012</string-date>"), (2012, 12, 17), "day"),
        (DATE("epub", "<string-date>17 DECEMBER 2012</string-date>"), (2012, 12, 17), "day"),
        (DATE("epub", "<string-date>17 de dezembro de 2012</string-date>"), (2012, 12, 17), "day"),
        (DATE("epub", "<string-date>17 de enero de 2012</string-date>"), (2012, 1, 17), "day"),
        (DATE("epub", "<string-date>17 août 2012</string-date>"), (2012, 8, 17), "day"),
        (DATE("epub", "<string-date>17. März 2012</string-date>"), (2012, 3, 17), "day"),
        (DATE("epub", "<string-date iso-8601-date='2012-12-17'>last week</string-date>"), (2012, 12, 17), "day"),
        (DATE("epub", DAY(17) + MONTH("Juin") + YEAR("2012.")), (2012, 6, 17), "day"),
        (DATE("epub", DAY(17) + MONTH("Juillet") + YEAR(2012)), (2012, 7, 17), "day"),
        (
            "<pub-history><event><date date-type='published'>"
            f"{DAY(17)}{MONTH(12)}{YEAR(2012)}</date></event></pub-history>",
            (2012, 12, 17),
            "day",
        ),
    ],
)
def test_a_finer_date_within_a_coarse_one_says_when(
    dates: str, published: tuple[int, int, int], precision: str
) -> None:
    read = article(dates)
    assert (read.published, read.published_precision) == (dt.date(*published), precision)


def test_an_article_without_dates_has_none() -> None:
    assert (article().published, article().published_precision) == (None, None)


@pytest.mark.parametrize(
    ("citation", "raw"),
    [
        (
            "Roe A. <source>J. Test</source> <year>1995</year>;17:34–38.<pub-id pub-id-type='pmid'>7743235</pub-id>",
            "Roe A. J. Test 1995;17:34–38.",
        ),
        (
            "Roe. 41:1–9.<pub-id pub-id-type='doi'>10.1093/a</pub-id><pub-id pub-id-type='pmc'>PMC11</pub-id>",
            "Roe. 41:1–9.",
        ),
        ("Roe. 41. doi:<pub-id pub-id-type='doi'>10.1093/a</pub-id>.", "Roe. 41. doi:10.1093/a."),
        ("Roe. 41. <pub-id pub-id-type='doi'>10.1093/a</pub-id>.", "Roe. 41. 10.1093/a."),
        ("Roe. <italic>Nat. Methods</italic><bold>16</bold>, 5.", "Roe. Nat. Methods 16, 5."),
        ("Roe. On H<sub>2</sub>O.<source>Biology</source><volume>8</volume>: 1.", "Roe. On H₂O. Biology 8: 1."),
        (
            "<person-group><name><surname>Roe</surname><given-names>A</given-names></name><name><surname>Doe</surname>"
            "</name></person-group>, <year>2010</year> On X.<source>J. Test</source>",
            "Roe A, Doe, 2010 On X. J. Test",
        ),
    ],
)
def test_a_reference_is_the_printed_line(citation: str, raw: str) -> None:
    back = f"<ref-list><ref><mixed-citation>{citation}</mixed-citation></ref></ref-list>"
    (reference,) = article(back=back).references
    assert reference.raw == raw


def test_a_tagged_reference_takes_its_line_from_the_printed_one() -> None:
    tagged = "<element-citation><source>J. Test</source><year>1999</year></element-citation>"
    printed = "<mixed-citation>ROE, A. J. Test, 1999.</mixed-citation>"
    for inside in (printed + tagged, f"<citation-alternatives>{tagged}{printed}</citation-alternatives>"):
        (reference,) = article(back=f"<ref-list><ref>{inside}</ref></ref-list>").references
        assert (reference.raw, reference.year) == ("ROE, A. J. Test, 1999.", "1999")


@pytest.mark.parametrize(
    ("link", "pmid", "pmcid", "doi"),
    [
        ('<ext-link xlink:href="https://pubmed.ncbi.nlm.nih.gov/123/">PubMed</ext-link>', "123", None, None),
        ('<ext-link xlink:href="https://www.ncbi.nlm.nih.gov/pubmed/123"/>', "123", None, None),
        ('<ext-link ext-link-type="pmid" xlink:href="123"/>', "123", None, None),
        ('<ext-link ext-link-type="pmcid" xlink:href="PMC45"/>', None, "PMC45", None),
        ('<ext-link ext-link-type="google-scholar" xlink:href="title=X&amp;doi=10.1000/q&amp;"/>', None, None, None),
        ('<pub-id pub-id-type="doi" xlink:href="https://doi.org/10.1000/q"/>', None, None, "10.1000/q"),
    ],
)
def test_a_reference_may_have_its_ids_as_links(link: str, pmid: str | None, pmcid: str | None, doi: str | None) -> None:
    back = f"<ref-list><ref><mixed-citation>Roe A. On X. {link}</mixed-citation></ref></ref-list>"
    (reference,) = article(back=back).references
    assert (reference.pmid, reference.pmcid, reference.doi) == (pmid, pmcid, doi)


def test_a_name_of_several_forms_is_in_the_language_of_the_article_or_western() -> None:
    eastern = '<name name-style="eastern" xml:lang="zh"><surname>王</surname><given-names>明</given-names></name>'
    for form in ('name-style="western"', 'xml:lang="en"'):
        western = f"<name {form}><surname>Wang</surname><given-names>Ming</given-names></name>"
        contrib = f"<contrib><name-alternatives>{eastern}{western}</name-alternatives></contrib>"
        assert article(f"<contrib-group>{contrib}</contrib-group>").authors == [Author("Ming Wang", None, [])]


def test_an_editor_among_the_authors_is_none() -> None:
    contrib = "<contrib><name><surname>{}</surname></name>{}</contrib>".format
    group = contrib("Roe", "<role>Lead</role>") + contrib("Doe", "<role>Academic Editor</role>")
    assert [author.name for author in article(f"<contrib-group>{group}</contrib-group>").authors] == ["Roe"]


def test_a_group_does_not_take_what_is_its_members() -> None:
    member = (
        '<contrib><contrib-id contrib-id-type="orcid">0000-0002-0281-9610</contrib-id>'
        "<name><surname>Doe</surname></name>"
        '<xref ref-type="aff" rid="a1"/></contrib>'
    )
    group = f"<contrib><collab>The Group<contrib-group>{member}</contrib-group></collab></contrib>"
    read = article(f'<contrib-group>{group}</contrib-group><aff id="a1">Inst</aff>')
    assert read.authors == [Author("The Group", None, [])]


def test_alternatives_of_an_affiliation_are_one() -> None:
    affs = '<aff-alternatives id="a1"><aff xml:lang="en">Inst</aff><aff xml:lang="pt">Institut</aff></aff-alternatives>'
    contrib = "<contrib><name><surname>Roe</surname></name>{}</contrib>".format
    for xref in ('<xref ref-type="aff" rid="a1"/>', ""):
        read = article(f"<contrib-group>{contrib(xref)}</contrib-group>{affs}")
        assert read.authors == [Author("Roe", None, ["Inst"])]


def test_the_error_names_the_entity_that_is_unknown() -> None:
    with pytest.raises(JatsError, match="'undefined'"):
        parse_article(b"<article>&nbsp;&eacute;&undefined;</article>")


def test_subjects_keywords_and_mesh() -> None:
    read = article(
        "<article-categories><subj-group><subject>Biology</subject><subj-group><subject>Genetics</subject></subj-group>"
        "</subj-group></article-categories>"
        '<kwd-group xml:lang="pt"><kwd>rato</kwd></kwd-group><kwd-group xml:lang="en"><kwd>mouse</kwd></kwd-group>'
        '<kwd-group kwd-group-type="abbreviations"><kwd>PCR</kwd></kwd-group>'
        '<kwd-group kwd-group-type="MeSH"><kwd>Mice</kwd></kwd-group>'
    )
    assert read.subjects == ["Biology > Genetics"]
    assert (read.keywords, read.mesh) == (["mouse"], ["Mice"])
    assert read.keyword_groups == [
        KeywordGroup(None, "pt", ["rato"]),
        KeywordGroup(None, "en", ["mouse"]),
        KeywordGroup("abbreviations", None, ["PCR"]),
        KeywordGroup("MeSH", None, ["Mice"]),
    ]


def test_authors_have_their_affiliations() -> None:
    read = article(
        '<contrib-group><contrib contrib-type="author"><contrib-id contrib-id-type="orcid">'
        "https://orcid.org/0000-0002-0281-961x</contrib-id><name><surname>Roe</surname><given-names>Ann</given-names>"
        '</name><xref ref-type="aff" rid="a1">1</xref></contrib>'
        '<contrib contrib-type="author"><collab>The Group</collab></contrib>'
        '<contrib contrib-type="editor"><name><surname>Ed</surname></name></contrib></contrib-group>'
        '<aff id="a1"><label>1</label><institution>Inst</institution><country>France</country></aff>'
    )
    assert read.authors == [
        Author("Ann Roe", "0000-0002-0281-961X", ["Inst, France"]),
        Author("The Group", None, []),
    ]


@pytest.mark.parametrize(
    ("type_", "meta", "retracted"),
    [
        ("research-article", '<related-article related-article-type="retraction-forward" xlink:href="x"/>', True),
        ("research-article", "<title-group><article-title>RETRACTED: Y</article-title></title-group>", True),
        ("research-article", "<title-group><article-title>Retracted article: Y</article-title></title-group>", True),
        ("research-article", "<title-group><article-title>WITHDRAWN: Y</article-title></title-group>", True),
        ("research-article", "<title-group><article-title>Y (Retracted)</article-title></title-group>", True),
        ("research-article", "<title-group><article-title>Y [Retracted Article]</article-title></title-group>", True),
        ("research-article", "<title-group><article-title>Withdrawn drugs</article-title></title-group>", False),
        ("retraction", "<title-group><article-title>Retracted: Y</article-title></title-group>", False),
        ("retraction", '<related-article related-article-type="retracted-article" xlink:href="x"/>', False),
        ("research-article", "<title-group><article-title>Retraction of nerves</article-title></title-group>", False),
    ],
)
def test_a_retracted_article_is_not_its_notice(type_: str, meta: str, retracted: bool) -> None:
    assert article(meta, type_=type_).is_retracted is retracted


def test_related_articles_references_and_citation() -> None:
    read = article(
        '<related-article related-article-type="companion" ext-link-type="doi" xlink:href="10.1000/XYZ"/>'
        "<volume>7</volume><issue>6</issue><elocation-id>e38</elocation-id><pub-date><year>2012</year></pub-date>",
        back='<ref-list><ref id="r1"><element-citation><person-group><name><surname>Roe</surname>'
        "<given-names>A</given-names></name><name><surname>Doe</surname><given-names>B</given-names></name>"
        "</person-group><article-title>On X</article-title><year>1999</year>"
        '<pub-id pub-id-type="pmid">5</pub-id></element-citation></ref>'
        '<ref id="r2"><mixed-citation>Doe B. <article-title>Y</article-title>. '
        '<ext-link xlink:href="https://doi.org/10.1/no"/><pub-id pub-id-type="doi">10.1000/Q</pub-id></mixed-citation>'
        "</ref></ref-list>",
    )
    assert read.related == [Related("companion", "10.1000/xyz", "doi")]
    assert read.citation == "Journal of Tests. 2012;7(6):e38. doi:10.1000/abc"
    first, second = read.references
    assert (first.id, first.title, first.year, first.pmid) == ("r1", "On X", "1999", "5")
    assert first.raw == "Roe A, Doe B On X 1999 5"
    assert (second.doi, second.raw) == ("10.1000/q", "Doe B. Y. 10.1000/Q")


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ("<elocation-id>e38</elocation-id>", "Journal of Tests. 2012:e38."),
        ("<issue>6</issue><fpage>1</fpage><lpage>4</lpage>", "Journal of Tests. 2012;(6):1-4."),
        ("<volume>7</volume>", "Journal of Tests. 2012;7."),
        ("", "Journal of Tests. 2012."),
    ],
)
def test_a_citation_without_volume_or_pages(place: str, line: str) -> None:
    assert article(f"{place}<pub-date><year>2012</year></pub-date>").citation == f"{line} doi:10.1000/abc"


def test_sections_have_paths_and_their_own_paragraphs() -> None:
    read = article(
        body="<p>Intro.</p><sec><title>Methods</title><p>M <fig><caption><p>Not here.</p></caption></fig>n.</p>"
        "<sec><title>Mice</title><p>One.</p><list><list-item><p>Two.</p></list-item></list></sec></sec>",
        back="<ack><p>Thanks.</p></ack>",
        after="<sub-article><front-stub><title-group><article-title>Reply</article-title></title-group></front-stub>"
        "<body><p>Answer.</p></body></sub-article>",
    )
    assert [(section.path, section.paragraphs) for section in read.sections] == [
        ([], ["Intro."]),
        (["Methods"], ["M n."]),
        (["Methods", "Mice"], ["One.", "Two."]),
        (["Acknowledgements"], ["Thanks."]),
        (["Reply"], ["Answer."]),
    ]
