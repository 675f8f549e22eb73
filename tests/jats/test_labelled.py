"""Rights, panels, mentions and licences against what was labelled by reading: what is reached is held."""

from __future__ import annotations

from benchmarks.labels import read, score_licenses, score_mentions, score_panels, score_rights, written


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


def test_figures_of_others_are_found_in_odd_wordings() -> None:
    rows = written("rights")
    for numbers, recall, precision in (({4, 5, 6}, 0.97, 0.95), ({0}, 0.93, 0.94)):
        score = score_rights([row for row in rows if row["set"] in numbers])
        assert score.there >= 140
        assert score.recall >= recall, score
        assert score.precision >= precision, score


def test_everyday_wordings_are_the_authors_own() -> None:
    rows = [row for row in written("rights") if row["set"] == 7]
    score = score_rights(rows)
    assert len(rows) >= 170
    assert score.recall == score.precision == 1, score


def test_panels_and_mentions_are_right_in_odd_wordings() -> None:
    panels = score_panels(written("panels"))
    assert panels.captions >= 60
    assert panels.whole / panels.captions >= 0.97, panels
    assert panels.false <= 1, panels
    figures, lettered = score_mentions(written("mentions"))
    assert figures.recall == figures.precision == 1, figures
    assert lettered.recall == lettered.precision == 1, lettered
