"""Texts that nobody writes, but damaged files have: what they cost is bounded, whatever a caption begins with."""

from __future__ import annotations

import time
from xml.sax.saxutils import escape

import pytest

from tests.jats.test_parse import article
from tests.jats.test_rights import META

# What the rules of rights, panels and mentions begin to read at.
LEADS = [
    *("", "Map by", "Illustration by", "Photo:", "Photo", "Drawn by the", "Image created by", "Figure generated using"),
    *("Adapted from", "Skull, after", "From", "Map based on the map of", "(Obtained from", "Figure, modified"),
    *("Images kindly provided by", "Image courtesy of", "Credit:", "Source:", "Image of the robot:", "Base map from"),
    *("We thank Dr.", "With permission of", "Copyright", "(c) 2010", "Under CC BY by", "Diagram from the library"),
    *(
        "Structure from",
        "Fig. 7 of",
        "Roe's drawing from Doe's",
        "Model proposed by",
        "(Museum of the",
        "Image from the",
    ),
    *("Available at:", "Public domain", "Figure 1", "Fig. 1A,", "(A)", "Supplementary", "Images"),
]
FILLERS = [
    "UNITED STATES GEOLOGICAL SURVEY ",
    "ABCDEFGHIJ",
    ". , ; : - ",
    ".",
    "_ - ",
    "A, b, C, ",
    "A. B. C. ",
    "a-b-",
    "Dr Dr Dr and ",
    "Ann de la Roe, Jane Doe and ",
    "([(",
    "((a) [1]) ",
    "1234567890",
    "1, 2-3 and ",
    "Fig. 1A-C, ",
]
LENGTH = 2000


@pytest.mark.timeout(120)
@pytest.mark.parametrize("filler", [*FILLERS, None], ids=repr)
def test_no_text_takes_long_to_read(filler: str | None) -> None:
    for lead in LEADS:
        # The end fits none of the rules, so that each tries whatever it can.
        text = escape(f"{lead} {((filler or f'{lead} ') * LENGTH)[:LENGTH]} in so far as")
        body = (
            f'<p>{text} (<xref rid="f">Fig. 1</xref>)</p><fig id="f"><label>{text}</label>'
            f'<caption><p>{text}</p></caption><attrib>{text}</attrib><graphic xlink:href="a"/></fig>'
        )
        start = time.process_time()
        (figure,) = article(meta=META, body=body).figures
        assert time.process_time() - start < 2, lead
        assert figure.mentions


@pytest.mark.timeout(60)
@pytest.mark.parametrize("filler", ["Aa-", "Aa ", "Aa's ", "Aa.", "Aa, "], ids=repr)
@pytest.mark.parametrize("end", [" 's map", " 's drawing", " from Aa, 2010.", ""])
def test_names_without_end_take_no_longer_than_their_length(filler: str, end: str) -> None:
    text = escape((filler * 20_000)[:20_000] + end)
    start = time.process_time()
    article(meta=META, body=f'<fig id="f"><caption><p>{text}</p></caption><graphic xlink:href="a"/></fig>')
    assert time.process_time() - start < 1
