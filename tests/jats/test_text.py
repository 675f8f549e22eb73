"""Readable text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from biomedica_ray.jats.formula import tex_text
from biomedica_ray.jats.text import mark, readable


def read(xml: str) -> str | None:
    return readable(etree.fromstring(f"<x>{xml}</x>"))


@pytest.mark.parametrize(
    ("xml", "text"),
    [
        ("<title>One</title><p>two</p><p> three\n  four </p>", "One\ntwo\nthree four"),
        ("a<p>b</p>c", "a\nb\nc"),
        ("a<break/>b", "a b"),
        ("CO<sub>2</sub> 10<sup>−5</sup> m<sup>2</sup>", "CO₂ 10⁻⁵ m²"),
        ("k<sub>cat</sub> X<sup>T</sup> 5<sup>th</sup>", "k_cat X^T 5th"),
        ("<italic>F</italic>\n<sub>o</sub>", "F_o"),
        ("see <xref rid='b'>[1]</xref>.", "see [1]."),
        ("β-<italic>actin</italic>\u00a0&amp;\u2009e\u0301", "β-actin & é"),
        ("<!-- c -->a<?pi x?>b", "ab"),
        ("a<fig><caption><p>no</p></caption></fig>b", "a b"),
        ("<object-id>10.1/x</object-id>", None),
        ("  \n ", None),
    ],
)
def test_text_is_readable(xml: str, text: str | None) -> None:
    assert read(xml) == text


@pytest.mark.parametrize(
    ("math", "text"),
    [
        ("<msup><mi>x</mi><mn>2</mn></msup>", "x^2"),
        ("<mfrac><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mi>c</mi></mfrac>", "(a + b)/c"),
        ("<msubsup><mi>σ</mi><mi>i</mi><mn>2</mn></msubsup><mo>=</mo><msqrt><mi>n</mi></msqrt>", "σ_i^2 = √(n)"),
        ("<mi>sin</mi><mo>\u2061</mo><mi>θ</mi>", "sinθ"),
        ("<mo>−</mo><mn>1</mn>", "−1"),
    ],
)
def test_mathml_reads_in_a_line(math: str, text: str) -> None:
    assert (
        read(
            f"<inline-formula><alternatives><tex-math>no</tex-math><math>{math}</math></alternatives></inline-formula>"
        )
        == text
    )


@pytest.mark.parametrize(
    ("tex", "text"),
    [
        (
            r"\documentclass{m}\usepackage{a}\begin{document}$$\alpha _{i}^{2}\le \frac{a}{b}$$\end{document}",
            "α_i^2≤(a)/(b)",
        ),
        (r"$\mathrm{pH}\;7$", "pH 7"),
        (r"\left( \sqrt{x_{ij}} \right)", "( √(x_(ij)) )"),
    ],
)
def test_tex_reads_in_a_line(tex: str, text: str) -> None:
    assert tex_text(tex) == text


def test_spans_lie_where_the_marked_elements_are() -> None:
    marked = mark(
        etree.fromstring("<p>As <xref> Fig. <b>1</b> </xref> and <xref/> (<xref>2</xref>)<fig/></p>"), ("xref",)
    )
    text = marked.text
    assert text == "As Fig. 1 and (2)"
    assert [text[span.start : span.end] for span in marked.spans] == ["Fig. 1", "2"]
    assert ([len(xref) for xref in marked.elements], [float_.tag for float_ in marked.floats]) == ([1, 0, 0], ["fig"])


@pytest.mark.parametrize(
    ("xml", "text", "spans"),
    [
        ("a<sup><xref>[2]</xref></sup>", "a[²]", ["[²]"]),
        ("a<sup> <xref> x y </xref></sup>", "a^(x y)", ["x y"]),
        ("<xref>5</xref><sup>th</sup>", "5th", ["5"]),
        ("a<sub><xref>max</xref></sub>", "a_max", ["max"]),
    ],
)
def test_marks_leave_scripts_as_they_are(xml: str, text: str, spans: list[str]) -> None:
    marked = mark(etree.fromstring(f"<p>{xml}</p>"), ("xref",))
    assert marked.text == text == read(xml)
    assert [marked.text[span.start : span.end] for span in marked.spans] == spans


_INLINE = ["italic", "bold", "xref", "p", "list-item", "title", "named-content", "ext-link", "break", "label"]
_NESTED = st.recursive(
    st.text("abcé \n", max_size=6),
    lambda inner: st.tuples(st.sampled_from(_INLINE), st.lists(inner, max_size=4)),
    max_leaves=12,
)


def _append(parent: etree._Element, piece: object) -> None:
    if isinstance(piece, str):
        etree.SubElement(parent, "italic").text = piece
        parent[-1].tail = piece
    elif isinstance(piece, tuple):
        node = etree.SubElement(parent, piece[0])
        for inner in piece[1]:
            _append(node, inner)


@given(st.lists(_NESTED, max_size=4))
def test_no_character_of_the_text_is_lost_or_added(pieces: list[object]) -> None:
    root = etree.Element("p")
    for piece in pieces:
        _append(root, piece)
    text = readable(root) or ""
    assert "".join(text.split()) == "".join("".join(map(str, root.itertext())).split())


_PIECES = st.lists(
    st.tuples(
        st.sampled_from(["", "p", "italic", "sub", "xref", "title", "fig"]),
        st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Cn")), max_size=8),
    ),
    max_size=8,
)


@given(_PIECES)
def test_text_is_normalised_and_the_same_with_spans(pieces: list[tuple[str, str]]) -> None:
    root = etree.Element("p")
    for tag, content in pieces:
        etree.SubElement(root, tag or "bold").text = content
    text = readable(root) or ""
    assert text == "\n".join(" ".join(line.split()) for line in text.split("\n") if line.split())
    assert text == unicodedata.normalize("NFC", text)
    marked = mark(root, ("xref", "italic"))
    assert (marked.text or "") == text
    assert all(text[span.start : span.end].strip() == text[span.start : span.end] != "" for span in marked.spans)
