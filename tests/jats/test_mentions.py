"""Paragraphs that refer to figures."""

from __future__ import annotations

import pytest

from biomedica_ray.jats.mentions import find_citations
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
    ],
)
def test_paragraphs_are_matched_to_figures(paragraph: str, expected: dict[int, list[str]]) -> None:
    assert mentioned(paragraph) == expected


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


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("Extended Data Fig. 2b", [("figure", "ED2", ("b",))]),
        ("Supplementary Fig. 1 and Fig. S1", [("figure", "S1", ()), ("figure", "S1", ())]),
        ("Scheme 3; Tabela 4", [("scheme", "3", ()), ("table", "4", ())]),
        ("Fig. 1 A, and", [("figure", "1", ("A",))]),
        ("Figure 1 A mouse", [("figure", "1", ())]),
    ],
)
def test_numbered_items(text: str, numbers: list[tuple[str, str, tuple[str, ...]]]) -> None:
    assert [(citation.kind, citation.number, citation.panels) for citation in find_citations(text)] == numbers
