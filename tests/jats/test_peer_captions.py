"""Captions against those that pubmed_parser reads from the same files: the same text, or a difference with a name."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pubmed_parser
import pytest
from lxml import etree

from biomedica_ray.jats.text import readable
from biomedica_ray.jats.tree import Element, parse_tree

pytestmark = pytest.mark.corpus

# What pubmed_parser makes of a whole file that it cannot take, and what is in the file.
UNREADABLE = {
    "UnboundLocalError": "the first fig has no caption",
    "KeyError": "a fig without an id",
    "AttributeError": "a list item without a label",
    "XMLSyntaxError": "another encoding than UTF-8",
}


def plain(text: str | None) -> str:
    """Letters and digits only: whitespace, punctuation of sub- and superscripts, and their own forms set aside."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text or "")).casefold()


def in_order(words: list[str], text: str) -> bool:
    """Whether the words are in a text, in this order."""
    position = 0
    for word in words:
        position = text.find(word, position)
        if position < 0:
            return False
        position += len(word)
    return True


def outside_formulas(element: Element) -> list[str]:
    """The words of an element that lie in none of its formulas."""
    texts: list[Any] = element.xpath(
        ".//text()[not(ancestor::*[local-name()='math' or contains(local-name(), '-formula')])]"
    )
    return [word for text in texts for word in map(plain, str(text).split()) if word]


def difference(caption: Element | None, ours: str | None, theirs: str, before: str | None) -> str:
    """The name of what is different."""
    if plain(ours) == plain(theirs):
        return "same"
    if caption is None:
        return "no caption: the figure before it is repeated" if theirs == before and ours is None else "?"
    if next(caption.iter("math", "tex-math"), None) is not None:
        return "formulas are read" if in_order(outside_formulas(caption), plain(ours)) else "?"
    if plain(ours) == plain("".join(map(str, caption.itertext()))):
        return "nested markup is read"
    return "?"


def test_captions_are_those_of_pubmed_parser_or_better(corpus: Path) -> None:
    found: Counter[str] = Counter()
    for path in sorted((corpus / "xml").glob("*.xml")):
        figs = list(parse_tree(path.read_bytes()).iter("fig"))
        try:
            theirs = pubmed_parser.parse_pubmed_caption(str(path)) or []
        except Exception as error:  # noqa: BLE001 -- whatever it stumbles over; the name is looked up
            found[UNREADABLE[type(error).__name__]] += 1
            continue
        if not theirs and figs:
            root = etree.parse(str(path)).getroot()
            assert any(etree.QName(node).namespace for node in root.iter("{*}fig")), path.name
            found["figs in a namespace"] += 1
            continue
        assert len(theirs) == len(figs), path.name
        before = None
        for fig, their in zip(figs, theirs, strict=True):
            caption = fig.find("caption")
            name = difference(caption, readable(caption), their["fig_caption"], before)
            assert name != "?", (path.name, fig.get("id"), readable(caption), their["fig_caption"])
            before = their["fig_caption"]
            found[name] += 1
    assert found["same"] > 1000, found
    # Each difference is there, or its name would say nothing.
    assert found.keys() == {
        "same",
        "no caption: the figure before it is repeated",
        "formulas are read",
        "nested markup is read",
        "figs in a namespace",
        *UNREADABLE.values(),
    }
