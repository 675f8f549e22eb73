from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.reading.sentences import sentence_spans, word_spans


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


@pytest.mark.parametrize(
    "text",
    [
        ["Kidney of a mouse.", "(A) Control.", "(B) Treated, see Fig. 2 and Figs. 3-5."],
        ["As Doe et al. Nature 2010 showed, it grew.", "Nothing else did."],
        ["E. coli and S. aureus were grown for 24 h.", "Then they were counted (e.g. CFU) by J. A. Smith."],
        ["The mean was 3.5 mm (p < 0.05).", "Scale bars, 10.5 μm."],
        ["It grew in vivo vs. Control mice, i.e. Twice as much!", "Why?", "“No one knows.”", "[See Ref. 5.]"],
        ["1. The first one.", "2. The second one."],
        ["No stop at the end of a line", "a. another line", "and the rest"],
        ["The cells died. of that kind there were few.", "Data are from 2010.", "25 mice were used."],
        ["图1显示小鼠。", "图2显示对照。"],
        ["Größe der Zellen.", "Übersicht."],
    ],
)
def test_each_sentence_once(text: list[str]) -> None:
    for joint in (" ", "  ", "\n"):
        assert sentences(joint.join(text)) == text or "\n" in "".join(text) or text[0].startswith("No stop")
    assert sentences("\n".join(text)) == text


@given(st.text(st.sampled_from("aB1 .?!\n()\"'é。"), max_size=60))
def test_nothing_but_whitespace_lies_outside_of_sentences(text: str) -> None:
    spans = sentence_spans(text)
    inside = set()
    for start, end in spans:
        assert text[start:end] == text[start:end].strip() != ""
        assert inside.isdisjoint(range(start, end))
        inside.update(range(start, end))
    assert "".join(char for place, char in enumerate(text) if place not in inside).strip() == ""
    assert spans == sorted(spans)


def test_words_between_two_places() -> None:
    assert word_spans("one two  three four", 4, 14) == [(4, 7), (9, 14)]
