"""Paragraphs that refer to figures."""

from __future__ import annotations

import pytest

from biomedica_ray.jats.citations import find_citations
from tests.jats.test_parse import article


def figs(n: int, word: str = "Figure") -> str:
    return "".join(
        f'<fig id="f{i}"><label>{word} {i}</label><caption><p>Own text {word} {i}.</p></caption>'
        f'<graphic xlink:href="{i}"/></fig>'
        for i in range(1, n + 1)
    )


def mentioned(paragraph: str, n: int = 5) -> dict[int, list[str]]:
    read = article(body=f"<sec><title>Results</title><p>{paragraph}</p>{figs(n)}</sec>")
    return {figure.position: figure.mentions[0].panels for figure in read.figures if figure.mentions}


@pytest.mark.parametrize(
    ("paragraph", "expected"),
    [
        ('As <xref rid="f2">Figure 2B</xref> shows', {2: ["B"]}),
        ('<xref rid="f1 f3">Figures 1 and 3</xref>', {1: [], 3: []}),
        ('(Figs. <xref rid="f1">1</xref>–<xref rid="f3">3</xref>)', {1: [], 2: [], 3: []}),
        ('(<xref rid="f1">Figs. 1–3</xref>)', {1: [], 2: [], 3: []}),
        ('(図<xref rid="f1">1</xref>–<xref rid="f4">4</xref>)', {1: [], 2: [], 3: [], 4: []}),
        ('(Fig. <xref rid="f2">2</xref>a–c)', {2: ["a", "b", "c"]}),
        ('<xref rid="f2">Figure 2(A, B)</xref> and <xref rid="f2">2D</xref>', {2: ["A", "B", "D"]}),
        ("seen in Figure 2B and in Fig. 4.", {2: ["B"], 4: []}),
        ("see Figs. 1A, B, and 3", {1: ["A", "B"], 3: []}),
        ("Figure 1 and 3 patients", {1: []}),
        ("Fig. 2A–2C", {2: ["A", "C", "B"]}),
        ("Supplementary Figure 1, Table 2 and Figure S3", {}),
        ('<xref rid="s1" ref-type="supplementary-material">Figure 1</xref>', {}),
        ("Figure 1—figure supplement 2", {}),
        ("Configuration 1 and figured 2", {}),
        ("Figure 9", {}),
        ("FIG. 2 and FIGURE 3", {2: [], 3: []}),
        ("Figure 1 shows that in 2 of 3 mice", {1: []}),
        ("Fig. 1, A and B, and Fig. 2, panels C–E", {1: ["A", "B"], 2: ["C", "D", "E"]}),
        ("panels A and C of Figure 2; panel b in Fig. 3", {2: ["A", "C"], 3: ["b"]}),
        ("(Fig. 2B′ and Fig. 3A1)", {2: ["B′"], 3: ["A1"]}),
        ("Figure 2b and a mouse; Fig. 3B, I saw", {2: ["b"], 3: ["B"]}),
        ("from Figs. 1 to 3", {1: [], 2: [], 3: []}),
        ("Figures 1A through 3", {1: ["A"], 2: [], 3: []}),
        ("Figure 2 of Smith et al. and Fig. 3", {3: []}),
        ("as in Figures 1 and 2 of Smith and Doe", {}),
        ("Figure 2B in ref. 12; Fig. 1 in [4]; Figure 3 in (5)", {}),
        ("Smith et al.'s Figure 2; see Doe’s Fig. 1; their Figure 3", {}),
        ("as shown by Lin et al. (Figure 3F), and Doe et al (see Fig. 1)", {}),
        ("Unlike Lin et al., we see both (Figure 3F)", {3: ["F"]}),
        ("(ref. 12, Fig. 2), [3, Fig. 1], (Smith, 2010, Fig. 3)", {}),
        ("(Smith, 2010; Fig. 3). As Smith (2010) says, Figure 2 shows", {2: [], 3: []}),
        ("in Figure 2 of the supplementary material, Fig. 3 of Additional file 1, Fig. 1 in S1 Text", {}),
        ("Additional file 1: Figure 2; SI Fig. 1; eFigure 3; online Figure 1", {}),
        ("in Figure 1 in the original paper, and Fig. 2 of our previous study", {}),
        ("in Figure 2 of this paper, from Figure 3 in Canada", {2: [], 3: []}),
        (
            'Figure 2 of <xref ref-type="bibr" rid="b1">12</xref>, Fig. 3 <xref ref-type="bibr" rid="b1">12</xref>',
            {3: []},
        ),
        ('<xref rid="f2">Figure 2</xref> of Smith et al.', {2: []}),
        ('compare <xref rid="f4">Fig. 4</xref> in <xref ref-type="bibr" rid="b1">[9]</xref>', {}),
        # panels
        ("Fig. 2A to C", {2: ["A", "B", "C"]}),
        ('(<xref rid="f2">Fig. 2A</xref> to C)', {2: ["A", "B", "C"]}),
        ("Fig. 2A through C; Fig. 3, A to C show", {2: ["A", "B", "C"], 3: ["A", "B", "C"]}),
        ("Fig. 3(a) and (b); Fig. 2 (a)-(c)", {2: ["a", "b", "c"], 3: ["a", "b"]}),
        ("Abb. 2a und b; Fig. 3a bis c; Fig. 4a à c", {2: ["a", "b"], 3: ["a", "b", "c"], 4: ["a", "b", "c"]}),
        ("Figura 2A y B; Figura 3A e B; Рис. 4A и B", {2: ["A", "B"], 3: ["A", "B"], 4: ["A", "B"]}),
        ("Figure 1Ai–iv; Fig. 2Bii", {1: ["Ai", "Aii", "Aiii", "Aiv"], 2: ["Bii"]}),
        ("Fig. 2b to a degree; Fig. 3A, I saw", {2: ["b"], 3: ["A"]}),
        ("図1と図2A、그림 3, Рис. 4", {1: [], 2: ["A"], 3: [], 4: []}),
        # series that are counted apart
        ("ESM Fig. 2, e-Figure 3, ED Fig. 4, Ext. Data Fig. 5, Expanded View Figure 1", {}),
        ("Sup. Fig. 1, Supplementary Note 2 Figure 2, Appendix 1-figure 3, Appendix 2 Figure 1", {}),
        ("Reviewer Figure 3, Response Figure 1, Fig. 2", {2: []}),
        ("the response. Figure 1 shows data (Figure 2)", {1: [], 2: []}),
    ],
)
def test_paragraphs_are_matched_to_figures(paragraph: str, expected: dict[int, list[str]]) -> None:
    assert mentioned(paragraph) == expected


def test_panels_of_a_figure_supplement_are_its_own() -> None:
    fig = '<fig id="f{}"><label>Figure 7{}</label><graphic xlink:href="{}"/></fig>'.format
    figs_ = fig("7", "", "a") + fig("8", "—figure supplement 3", "b")
    for text in ('<xref rid="f8">Figure 7—figure supplement 3B</xref>', "Figure 7-figure supplement 3B"):
        main, supplement = article(body=f"<p>See {text}.</p>{figs_}").figures
        assert (main.mentions, [mention.panels for mention in supplement.mentions]) == ([], [["B"]])


@pytest.mark.parametrize(
    ("text", "mentioned_"),
    [("Figure 2", ["a", "b"]), ("Fig. 2a", ["a"]), ("Fig. 2B", ["b"]), ("Figs. 2a and b", ["a", "b"]), ("Fig. 1", [])],
)
def test_the_number_of_a_group_means_its_figures(text: str, mentioned_: list[str]) -> None:
    fig = '<fig><label>({0})</label><graphic xlink:href="{0}"/></fig>'.format
    group = f"<fig-group><label>Figure 2</label>{fig('a')}{fig('b')}</fig-group>"
    read = article(body=f"<p>See {text}.</p>{group}").figures
    assert [figure.href for figure in read if figure.mentions] == mentioned_


@pytest.mark.parametrize(("text", "mentioned_"), [("Figure 1A", ["A"]), ("Fig. 1B", ["B"]), ("Figure 1", ["A", "B"])])
def test_labels_with_letters_are_told_apart(text: str, mentioned_: list[str]) -> None:
    body = "".join(f'<fig><label>Figure 1{x}</label><graphic xlink:href="{x}"/></fig>' for x in "AB")
    read = article(body=f"<p>See {text}.</p>{body}").figures
    assert [figure.href for figure in read if figure.mentions] == mentioned_


def test_our_paper_is_the_article_in_a_reply_only() -> None:
    text = "<p>Figure 1 in our paper shows it.</p>"
    (figure,) = article(body=figs(1) + text).figures
    assert not figure.mentions
    reply = f'<response response-type="reply"><front-stub/><body>{text}</body></response>'
    (figure,) = article(body=figs(1), after=reply).figures
    assert len(figure.mentions) == 1


def test_a_mention_has_its_section_and_text() -> None:
    read = article(
        body="<sec><title>Results</title><sec><title>Mice</title><p>See <xref rid='f1'>Fig. 1</xref>.</p></sec></sec>"
        + figs(1)
    )
    (mention,) = read.figures[0].mentions
    assert (mention.section, mention.text) == (["Results", "Mice"], "See Fig. 1.")


def test_a_figures_own_caption_is_no_mention_but_another_ones_is() -> None:
    read = article(
        body='<fig id="a"><label>Fig. 1</label><caption><p>As in Fig. 1 and <xref rid="b">Fig. 2</xref>.</p></caption>'
        '<graphic xlink:href="a"/></fig><fig id="b"><label>Fig. 2</label><graphic xlink:href="b"/></fig>'
    )
    first, second = read.figures
    assert first.mentions == []
    assert [mention.text for mention in second.mentions] == ["As in Fig. 1 and Fig. 2."]


def test_plain_numbers_stay_within_their_sub_article() -> None:
    read = article(
        body=f"{figs(1)}<p>Figure 1</p>",
        after="<sub-article><front-stub/><body><p>Figure 1 of the reply</p><fig><label>Figure 1</label>"
        '<graphic xlink:href="r"/></fig></body></sub-article>',
    )
    own, reply = read.figures
    assert [mention.text for mention in own.mentions] == ["Figure 1"]
    assert [mention.text for mention in reply.mentions] == ["Figure 1 of the reply"]


SUB_ARTICLE = (
    '<sub-article article-type="{type}"><front-stub/><body>'
    "<p>Figure 1 is fine, Fig. 2 is not.</p>{own}</body></sub-article>"
)


@pytest.mark.parametrize("type_", ["translation", "decision-letter", "reply", "reviewer-report"])
def test_a_translation_or_review_means_the_articles_figures(type_: str) -> None:
    first, second = article(body=figs(2), after=SUB_ARTICLE.format(type=type_, own="")).figures
    assert len(first.mentions) == len(second.mentions) == 1


def test_a_translation_means_its_own_figures_where_it_has_them() -> None:
    own = '<fig id="t1"><label>Figura 1</label><graphic xlink:href="t"/></fig>'
    first, second, translated = article(body=figs(2), after=SUB_ARTICLE.format(type="translation", own=own)).figures
    assert [len(figure.mentions) for figure in (first, second, translated)] == [0, 1, 1]


def test_another_article_within_an_article_means_no_figure_of_it() -> None:
    (figure,) = article(body=figs(1), after=SUB_ARTICLE.format(type="abstract", own="")).figures
    assert figure.mentions == []


def test_of_figures_that_share_an_id_the_one_in_the_same_part_is_meant() -> None:
    fig = '<fig id="f1"><label>Figure 1</label><graphic xlink:href="{}"/></fig>'
    text = '<p><xref rid="f1">Fig. 1</xref></p>'
    read = article(
        body=text + fig.format("en"),
        after=f'<sub-article article-type="translation"><body>{text}{fig.format("pt")}</body></sub-article>',
    )
    assert [(figure.href, len(figure.mentions)) for figure in read.figures] == [("en", 1), ("pt", 1)]


def test_a_label_may_be_a_number_or_stand_in_the_caption() -> None:
    fig = '<fig><label>{}</label><caption><p>{}</p></caption><graphic xlink:href="a"/></fig>'
    for label, caption in [("2", "Mice."), ("", "Figure 2. Mice."), ("Fig. 2:", "Mice as in Figure 5.")]:
        (figure,) = article(body=f"<p>See Figure 2.</p>{fig.format(label, caption)}").figures
        assert [mention.text for mention in figure.mentions] == ["See Figure 2."]
    (figure,) = article(body=f"<p>See Figure 2.</p>{fig.format('', 'Mice of Figure 2.')}").figures
    assert figure.mentions == []


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Extended Data Fig. 2b", [("figure", "ED2", ("b",))]),
        ("Supplementary Fig. 1 and Fig. S1", [("figure", "S1", ()), ("figure", "S1", ())]),
        ("Chart 2, Plate 5 and Abb. 4", [("chart", "2", ()), ("plate", "5", ()), ("figure", "4", ())]),
        ("Scheme 3; Tabela 4", [("scheme", "3", ()), ("table", "4", ())]),
        ("Fig. 1 A, and", [("figure", "1", ("A",))]),
        ("Figure 1 A mouse", [("figure", "1", ())]),
    ],
)
def test_numbered_items(text: str, numbers: list[tuple[str, str, tuple[str, ...]]]) -> None:
    assert [(citation.kind, citation.number, citation.panels) for citation in find_citations(text)] == numbers
