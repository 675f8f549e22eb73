"""Captions cut into panels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.jats.panels import expand_letters, split_panels


@pytest.mark.parametrize(
    ("caption", "panels"),
    [
        (
            "Growth. (A) Wild type. (B, C) Mutants. (D–F) Rescue as in (A).",
            [("A", "(A) Wild type."), ("B, C", "(B, C) Mutants."), ("D, E, F", "(D–F) Rescue as in (A).")],
        ),
        ("A: acquitted. B: on stage.", [("A", "A: acquitted."), ("B", "B: on stage.")]),
        ("a, Gel. b, Blot.", [("a", "a, Gel."), ("b", "b, Blot.")]),
        ("Views: a) front, b) back", [("a", "a) front,"), ("b", "b) back")]),
        ("Left: before. Right: after.", [("Left", "Left: before."), ("Right", "Right: after.")]),
        ("Scans. (Left) CT (right) MRI", [("Left", "(Left) CT"), ("right", "(right) MRI")]),
        ("The left panel shows a mouse, the right one a rat.", []),
        ("Supine (A) and 70° posture (B).", [("A", "Supine (A)"), ("B", "and 70° posture (B).")]),
        ("Rats. Phase (A, C), light (B, D) images.", [("A, C", "Phase (A, C),"), ("B, D", "light (B, D) images.")]),
        ("Effect (A) Effect of pH (B) Effect of time", [("A", "(A) Effect of pH"), ("B", "(B) Effect of time")]),
        ("Panels A and B: dose. Panel C: time.", [("A, B", "Panels A and B: dose."), ("C", "Panel C: time.")]),
        ("Colony on a solid medium (C).", []),
        ("Only one (A).", []),
        ("A. Smith and B. Jones", []),
        ("", []),
    ],
)
def test_markers_are_found(caption: str, panels: list[tuple[str, str]]) -> None:
    assert [(panel.label, panel.text) for panel in split_panels(caption)] == panels


def test_emphasised_letters_are_markers() -> None:
    caption = "Stains. a left, b right, and c, d both"
    emphasised = [(8, 9), (16, 17), (29, 30), (32, 33)]
    assert [caption[start:end] for start, end in emphasised] == ["a", "b", "c", "d"]
    assert [(p.label, p.text) for p in split_panels(caption, emphasised)] == [
        ("a", "a left,"),
        ("b", "b right, and"),
        ("c, d", "c, d both"),
    ]
    assert split_panels(caption) == []


def test_emphasised_letters_may_stand_behind_what_they_name() -> None:
    caption = "Seeds of May (harvest A), and June (harvest B)."
    panels = split_panels(caption, [(22, 23), (44, 45)])
    assert [panel.text for panel in panels] == ["Seeds of May (harvest A),", "and June (harvest B)."]


@pytest.mark.parametrize(
    ("text", "letters"), [("A, C-E", "ACDE"), ("a and b", "ab"), ("D", "D"), ("E-B", "EB"), ("A to C", "ABC")]
)
def test_letters_are_expanded(text: str, letters: str) -> None:
    assert expand_letters(text) == tuple(letters)


@given(
    st.lists(st.sampled_from(["(A) ", "(B) ", "(B, C)", "A: ", "B, ", "text", ". ", "Left: ", "Right: ", "\n", "c)"]))
)
def test_preamble_and_panels_cover_the_caption(parts: list[str]) -> None:
    caption = "".join(parts).strip()
    panels = split_panels(caption)
    end = panels[0].start if panels else 0
    for panel in panels:
        assert caption[panel.start : panel.end] == panel.text != ""
        assert caption[end : panel.start].strip() == "" and panel.start >= end
        end = panel.end
    assert not panels or end == len(caption)
