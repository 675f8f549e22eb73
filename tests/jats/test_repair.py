"""Bytes that are no well-formed XML: read where the text is beyond doubt, else a JatsError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.jats import Article, JatsError, parse_article
from tests.jats.test_parse import ARTICLE


def document(text: str) -> str:
    return ARTICLE.format(meta="", body=f"<p>{text}</p>", back="", after="", type="other")


def text_of(xml: bytes) -> str:
    (section,) = parse_article(xml).sections
    (paragraph,) = section.paragraphs
    return paragraph


@pytest.mark.parametrize(
    ("xml", "text"),
    [
        (document("a\x02b\x0bc").encode(), "abc"),
        (document("a&#x2;b&#0;c&#65;").encode(), "abcA"),
        (document("5&nbsp;&alpha;&lt;").encode(), "5 α<"),
        (document("Roe & Doe, AT&T").encode(), "Roe & Doe, AT&T"),
        (document("<![CDATA[a & &nbsp;]]> & b").encode(), "a & &nbsp; & b"),
        (document("µ").encode().replace("µ".encode(), b"\xb5 \xc3\xa9"), "µ é"),
        (b'<?xml version="1.0" encoding="ISO-8859-1"?>' + document("é–").encode(), "é–"),
        (b'<?xml version="1.0" encoding="ISO-8859-1"?>' + document("é").encode("latin-1"), "é"),
        (b'<?xml version="1.0" encoding="UTF-16"?>' + document("é").encode(), "é"),
        (b'<?xml version="1.0" encoding="nonsense"?>' + document("é").encode(), "é"),
        (document("é").encode("utf-16"), "é"),
        (document("é").encode("utf-8-sig"), "é"),
        (b"\n " + b'<?xml version="1.0"?>' + document("é").encode(), "é"),
    ],
)
def test_what_readers_can_tell_is_read(xml: bytes, text: str) -> None:
    assert text_of(xml) == text


def test_namespaces_are_dropped_in_any_encoding_and_under_any_prefix() -> None:
    xml = document("<m:math xmlns:m='http://www.w3.org/1998/Math/MathML'><m:mi>x</m:mi></m:math>")
    assert text_of(xml.encode()) == text_of(xml.encode("utf-16")) == "x"
    assert text_of(document("<mml:math><mml:mi>x</mml:mi></mml:math>").encode()) == "x"


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(xml: bytes) -> None:
    with pytest.raises(JatsError):
        parse_article(xml)


_REAL = document(
    "On <italic>x</italic><sub>2</sub> (<xref rid='f'>Fig. 1</xref>) &lt; é<fig id='f'><label>Figure 1</label>"
    "<caption><p>(A) a. (B) b.</p></caption><graphic xlink:href='g'/></fig>"
).encode()


@given(st.data())
def test_damaged_articles_are_read_or_refused(data: st.DataObject) -> None:
    xml = bytearray(_REAL)
    for _ in range(data.draw(st.integers(1, 4))):
        xml[data.draw(st.integers(0, len(xml) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(xml)))
    for damaged in (bytes(xml), bytes(xml[:cut])):
        try:
            assert isinstance(parse_article(damaged), Article)
        except JatsError as error:
            assert str(error)
