"""What a caption says of each panel, and what of all."""

from __future__ import annotations

import pytest

from biomedica_ray.jats.panels import split_panels
from biomedica_ray.panels.words import CaptionWords, caption_words, without_marker


def words(caption: str) -> CaptionWords:
    parts = split_panels(caption)
    return caption_words(caption, [{"label": p.label, "text": p.text, "start": p.start, "end": p.end} for p in parts])


def test_title_and_closing_sentences_are_context() -> None:
    caption = (
        "Effects of light. (A) Wild type fish. Arrows show eyes. (B, C) Mutants at 5 °C. Bars of (B) are coloured. "
        "Scale bar: 10 µm. *P < 0.05. Abbreviations: WT, wild type; KO, knock-out. Drawn by us."
    )
    assert words(caption) == (
        ["Wild type fish. Arrows show eyes.", "Mutants at 5 °C."],
        "Effects of light. Bars of (B) are coloured. Scale bar: 10 µm. *P < 0.05. "
        "Abbreviations: WT, wild type; KO, knock-out. Drawn by us.",
    )


def test_a_sentence_about_the_last_panel_stays_with_it() -> None:
    found = words("(a) Mice. (b) Rats. Their tails are long. n = 5.")
    assert found == (["Mice.", "Rats. Their tails are long."], "n = 5.")
    assert words("(a) Mice. (b) Scale bars for comparison.").parts == ["Mice.", "Scale bars for comparison."]


def test_what_speaks_of_each_panel_goes_with_whatever_follows() -> None:
    found = words("Maps. (a) V1. (b) V2. In each panel, the area is red. It lies there.")
    assert found == (["V1.", "V2."], "Maps. In each panel, the area is red. It lies there.")


def test_a_list_of_abbreviations_without_a_word_for_it() -> None:
    assert words("(A) Cells. (B) Matrix. ECM, extracellular matrix; WT, wild type.") == (
        ["Cells.", "Matrix."],
        "ECM, extracellular matrix; WT, wild type.",
    )


def test_marks_alone_are_no_words() -> None:
    parts = [{"label": label, "text": text, "start": 0, "end": 1} for label, text in [("A", "(A) ."), ("B", "(B) 5 h")]]
    assert caption_words("(A) . (B) 5 h", parts).parts == ["", "5 h"]


def test_a_caption_without_parts_is_all_context() -> None:
    assert caption_words(" A plot. ", []) == ([], "A plot.")


@pytest.mark.parametrize(
    ("text", "label", "expected"),
    [
        ("(A) Mice.", "A", "Mice."),
        ("(A, B) Mice (A) and rats (B).", "A, B", "Mice (A) and rats (B)."),
        ("( C–E ) Fish", "C, D, E", "Fish"),
        ("A. Mice.", "A", "Mice."),
        ("a) mice", "a", "mice"),
        ("A and B: mice.", "A, B", "mice."),
        ("Panel B. Rats.", "B", "Rats."),
        ("Left: a mouse.", "Left", "a mouse."),
        ("Heart rate (A),", "A", "Heart rate"),
        ("pressure (B, C) and", "B, C", "pressure"),
        ("A mouse. It runs.", "A", "A mouse. It runs."),  # an article, no marker
        ("(B)", "B", ""),
        ("d Young beetle", "d", "Young beetle"),
        ("A Young beetle", "A", "A Young beetle"),
        ("(iii) Cells", "iii", "Cells"),
    ],
)
def test_markers_go(text: str, label: str, expected: str) -> None:
    assert without_marker(text, label) == expected
