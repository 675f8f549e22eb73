"""Rights, panels, mentions and licences against what was labelled by reading: what is reached is held."""

from __future__ import annotations

from benchmarks.labels import read, score_licenses, score_mentions, score_panels, score_rights


def test_figures_of_others_are_found() -> None:
    rows = read("rights")
    score = score_rights(rows)
    assert len(rows) >= 150
    assert score.recall >= 0.97, score
    assert score.precision >= 0.95, score


def test_panels_are_right_in_label_and_span() -> None:
    rows = read("panels")
    score = score_panels(rows)
    assert score.captions >= 120
    assert score.whole / score.captions >= 0.97, score
    assert score.labels.precision >= 0.99, score
    assert score.labels.recall >= 0.99, score
    assert score.false == 0, score


def test_figures_and_panels_are_mentioned() -> None:
    rows = read("mentions")
    figures, panels = score_mentions(rows)
    assert len(rows) >= 100
    assert figures.precision >= 0.98, figures
    assert figures.recall >= 0.98, figures
    assert panels.precision >= 0.98, panels
    assert panels.recall >= 0.98, panels


def test_licences_are_read_right() -> None:
    rows = read("licenses")
    score = score_licenses(rows)
    assert len(rows) >= 150
    assert score.right == score.there, score
