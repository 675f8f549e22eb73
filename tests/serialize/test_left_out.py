from __future__ import annotations

from typing import Any

import pytest

from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.left_out import group_of, reason_left_out, split_of

FIGURE = {
    "figure_id": "PMC1.1_001",
    "article_id": "PMC1.1",
    "caption": "A kidney.",
    "third_party": False,
    "permissions": None,
    "width": 21,
    "height": 400,
}
ARTICLE = {"article_id": "PMC1.1", "license_group": "commercial", "is_retracted": False}
FIGURE_REPEATS = {"PMC1.1_001": [{"of": "PMC2.1_003", "kind": "near", "distance": 2.0}]}
ARTICLE_REPEATS = {"PMC1.1": [{"of": "PMC1.2", "kind": "version", "distance": 0.0}]}


def figure_is(kind: str) -> dict[str, Any]:
    return {"PMC1.1_001": [{"of": "x", "kind": kind, "distance": 0.0}]}


def article_is(kind: str) -> dict[str, Any]:
    return {"PMC1.1": [{"of": "PMC3.1", "kind": kind, "distance": 0.0}]}


def config(**keys: Any) -> SerializeConfig:
    return SerializeConfig(store="unused", **keys)


def test_a_good_figure_is_written() -> None:
    assert reason_left_out(FIGURE, ARTICLE, {}, config()) is None


@pytest.mark.parametrize(
    ("figure", "article", "duplicates", "kind", "keep"),
    [
        ({}, {}, ARTICLE_REPEATS, "duplicate-article", {"keep_duplicates": True}),
        ({}, {"is_retracted": True}, {}, "retracted", {"keep_retracted": True}),
        ({"third_party": True}, {}, {}, "third-party", {"keep_third_party": True}),
        ({"caption": None}, {}, {}, "no-caption", None),
        ({"caption": " \n"}, {}, {}, "no-caption", None),
        ({"is_thumbnail": True}, {}, {}, "thumbnail", {"keep_thumbnails": True}),
        ({"width": 20}, {}, {}, "too-small", {"min_side": 20}),
        ({"height": 20}, {}, {}, "too-small", {"min_side": 20}),
        ({}, {}, FIGURE_REPEATS, "duplicate", {"keep_duplicates": True}),
        ({}, {}, article_is("preprint"), "duplicate-article", {"keep_duplicates": True}),
        ({}, {}, article_is("retracted"), "retracted", {"keep_retracted": True}),
        ({}, {}, figure_is("semantic"), "duplicate", {"keep_duplicates": True}),
        ({}, {}, figure_is("boilerplate"), "boilerplate", {"keep_boilerplate": True}),
        ({}, {}, figure_is("against"), "against", {"keep_against": True}),
    ],
)
def test_each_reason_and_how_to_keep(
    figure: dict[str, Any],
    article: dict[str, Any],
    duplicates: dict[str, Any],
    kind: str,
    keep: dict[str, Any] | None,
) -> None:
    row, of = {**FIGURE, **figure}, {**ARTICLE, **article}
    reason = reason_left_out(row, of, duplicates, config())
    assert reason is not None
    assert reason.kind == kind
    if keep is not None:
        assert reason_left_out(row, of, duplicates, config(**keep)) is None


def test_a_correction_is_written() -> None:
    assert reason_left_out(FIGURE, ARTICLE, article_is("correction"), config()) is None


def test_each_of_several_reasons_counts_by_itself() -> None:
    both = {"PMC1.1_001": [*FIGURE_REPEATS["PMC1.1_001"], *figure_is("against")["PMC1.1_001"]]}
    for keys, kind in (({}, "against"), ({"keep_against": True}, "duplicate"), ({"keep_duplicates": True}, "against")):
        reason = reason_left_out(FIGURE, ARTICLE, both, config(**keys))
        assert reason is not None
        assert reason.kind == kind
    assert reason_left_out(FIGURE, ARTICLE, both, config(keep_against=True, keep_duplicates=True)) is None


def test_license_groups() -> None:
    reason = reason_left_out(FIGURE, ARTICLE, {}, config(license_groups=["noncommercial", "other"]))
    assert reason is not None
    assert reason.kind == "license-group"
    assert reason.message == "licence group commercial; wanted are noncommercial, other"


def test_third_party_figures_stay_outside_the_commercial_group() -> None:
    article = {**ARTICLE, "license_group": "noncommercial"}
    assert reason_left_out({**FIGURE, "third_party": True}, article, {}, config()) is None


@pytest.mark.parametrize(
    ("own", "articles", "group"),
    [
        (None, "commercial", "commercial"),
        ("CC BY-NC", "commercial", "noncommercial"),
        ("CC BY", "noncommercial", "noncommercial"),
        ("CC BY-SA", "commercial", "commercial"),
        ("other", "commercial", "other"),
    ],
)
def test_a_figures_own_licence_counts_where_it_permits_less(own: str | None, articles: str, group: str) -> None:
    assert group_of({**FIGURE, "license_code": own}, {**ARTICLE, "license_group": articles}) == group


def test_the_message_names_what_is_repeated() -> None:
    reason = reason_left_out(FIGURE, ARTICLE, FIGURE_REPEATS, config())
    assert reason is not None
    assert reason.message == "repeats PMC2.1_003 (near, distance 2)"


def test_splits_are_stable_and_of_the_wanted_size() -> None:
    splits = [split_of(f"PMC{n}.1", {}, 0.05, 0.1) for n in range(5000)]
    assert 400 < splits.count("test") < 600
    assert 175 < splits.count("validation") < 325
    assert {split_of(f"PMC{n}.1", {}, 0, 0) for n in range(100)} == {"train"}
    bigger = [split_of(f"PMC{n}.1", {}, 0.1, 0.2) for n in range(5000)]
    pairs = set(zip(splits, bigger, strict=True))
    assert pairs == {
        ("train", "train"),
        ("train", "validation"),
        ("train", "test"),
        ("validation", "validation"),
        ("test", "test"),
    }


def test_versions_and_copies_go_together() -> None:
    for n in range(200):
        told = {"of": f"PMC{n + 1}.1", "kind": "retracted"}
        copy = {f"PMC{n}0000.1": [told, {"of": f"PMC{n}.2", "kind": "same-doi"}]}
        kept = split_of(f"PMC{n}.2", {}, 0.3, 0.3)
        assert split_of(f"PMC{n}.1", {}, 0.3, 0.3) == kept
        assert split_of(f"PMC{n}0000.1", copy, 0.3, 0.3) == kept
