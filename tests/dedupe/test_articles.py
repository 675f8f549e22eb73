from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_ray.dedupe.articles import ArticleGroups, article_duplicates
from biomedica_ray.dedupe.works import RELATIONS
from biomedica_ray.schema import ARTICLE_REPEATS

COLUMNS = pa.schema(
    [
        ("article_id", pa.string()),
        ("pmcid", pa.string()),
        ("version", pa.int32()),
        ("doi", pa.string()),
        ("pmid", pa.string()),
        ("is_retracted", pa.bool_()),
        ("is_preprint", pa.bool_()),
        ("n_metadata", pa.int64()),
        ("work", pa.uint64()),
        ("year", pa.int32()),
        ("relations", pa.list_(pa.struct([(name, pa.string()) for name in ("relation", "id_type", "id")]))),
    ]
)


def row(pmcid: str, version: int = 1, **columns: Any) -> dict[str, Any]:
    base = {"is_retracted": False, "is_preprint": False, "n_metadata": 5, "year": 2020, "relations": []}
    return {"article_id": f"{pmcid}.{version}", "pmcid": pmcid, "version": version, **base, **columns}


def groups(rows: list[dict[str, Any]]) -> ArticleGroups:
    return article_duplicates(pa.Table.from_pylist(rows, schema=COLUMNS))


def found(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    result = groups(rows).duplicates.to_pylist()
    assert all(r["entity"] == "article" and r["distance"] == 0 for r in result)
    return [(r["id"], r["of"], r["kind"]) for r in result]


def test_older_versions_repeat_the_latest() -> None:
    rows = [row("PMC1", 1), row("PMC1", 10), row("PMC1", 2), row("PMC2")]
    assert found(rows) == [("PMC1.1", "PMC1.10", "version"), ("PMC1.2", "PMC1.10", "version")]


def test_same_doi_and_same_pmid() -> None:
    rows = [row("PMC10", doi="d"), row("PMC9", doi="d"), row("PMC8", pmid="1"), row("PMC7", pmid="1"), row("PMC6")]
    assert found(rows) == [("PMC10.1", "PMC9.1", "same-doi"), ("PMC8.1", "PMC7.1", "same-pmid")]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        ({"is_retracted": True}, {}, "PMC2.1"),
        ({"n_metadata": 3}, {"n_metadata": 4}, "PMC2.1"),
        ({"n_metadata": 3}, {"n_metadata": 4, "is_retracted": True}, "PMC1.1"),
        ({}, {}, "PMC1.1"),
    ],
)
def test_which_one_is_kept(first: dict[str, Any], second: dict[str, Any], kept: str) -> None:
    rows = [row("PMC1", doi="d", **first), row("PMC2", doi="d", **second)]
    assert [of for _, of, _ in found(rows)] == [kept]


def test_articles_linked_through_another_follow_one_kept() -> None:
    rows = [row("PMC1", doi="d"), row("PMC2", doi="d", pmid="5"), row("PMC3", pmid="5"), row("PMC3", 2, pmid="5")]
    assert found(rows) == [
        ("PMC2.1", "PMC1.1", "same-doi"),
        ("PMC3.1", "PMC1.1", "same-pmid"),
        ("PMC3.2", "PMC1.1", "same-pmid"),
    ]


def test_an_outdated_version_is_not_kept_even_with_more_metadata() -> None:
    rows = [row("PMC1", 1, n_metadata=9, doi="d"), row("PMC1", 2, doi="d"), row("PMC2", doi="d", n_metadata=2)]
    assert {of for _, of, _ in found(rows)} == {"PMC1.2"}


def says(relation: str, id_type: str, id_: str) -> dict[str, str]:
    return {"relation": relation, "id_type": id_type, "id": id_}


@pytest.mark.parametrize(
    ("published", "preprint"),
    [
        ({"relations": [says("preprint", "doi", "p")]}, {"is_preprint": True}),
        ({}, {"relations": [says("preprint", "pmid", "7")]}),
        ({}, {"relations": [says("update", "pmcid", "PMC2")], "is_preprint": True}),
        ({"work": 5, "year": 2020}, {"is_preprint": True, "work": 5, "year": 2020}),
        ({"work": 5, "year": 2021}, {"is_preprint": True, "work": 5, "year": 2020}),
    ],
)
def test_a_preprint_repeats_what_was_published(published: dict[str, Any], preprint: dict[str, Any]) -> None:
    rows = [row("PMC1", 3, doi="p", **preprint), row("PMC2", doi="d", pmid="7", **published)]
    if not preprint.get("is_preprint"):
        rows[0]["n_metadata"] = 1
    assert found(rows) == [("PMC1.3", "PMC2.1", "preprint")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"work": 5}, {"work": 5}),
        ({"work": 5, "is_preprint": True}, {"work": 6000}),
        ({"work": 5, "is_preprint": True, "year": 2021}, {"work": 5, "year": 2020}),
        ({"work": 5, "is_preprint": True, "year": None}, {"work": 5, "year": None}),
        ({"work": None, "is_preprint": True}, {"work": None}),
        ({"relations": [says("update", "pmcid", "PMC2")]}, {}),
        ({"relations": [says("preprint", "doi", "PMC2")]}, {}),
    ],
)
def test_what_does_not_make_a_preprint(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert found([row("PMC1", **first), row("PMC2", **second)]) == []


def test_a_title_does_not_count_where_the_preprint_is_linked() -> None:
    rows = [
        row("PMC1", work=5, is_preprint=True, relations=[says("preprint", "pmcid", "PMC3")]),
        row("PMC2", work=5),
        row("PMC3", work=8),
    ]
    assert found(rows) == [("PMC1.1", "PMC3.1", "preprint")]


def test_the_kind_is_the_least_sure_evidence_on_the_way() -> None:
    rows = [
        row("PMC1", 1, is_preprint=True),
        row("PMC1", 2, is_preprint=True, relations=[says("preprint", "doi", "d")]),
        row("PMC2", doi="d"),
        row("PMC3", doi="d", n_metadata=9),
    ]
    assert found(rows) == [
        ("PMC1.1", "PMC3.1", "preprint"),
        ("PMC1.2", "PMC3.1", "preprint"),
        ("PMC2.1", "PMC3.1", "same-doi"),
    ]


def test_a_preprint_with_more_metadata_is_not_kept_but_a_retracted_article_is_kept_even_less() -> None:
    rows = [row("PMC1", doi="d", is_preprint=True, n_metadata=9), row("PMC2", doi="d")]
    assert found(rows) == [("PMC1.1", "PMC2.1", "same-doi")]
    rows[1]["is_retracted"] = True
    assert found(rows) == [("PMC2.1", "PMC1.1", "same-doi")]


@pytest.mark.parametrize(
    ("article", "notice"),
    [
        ({}, {"relations": [says("retracts", "doi", "d")]}),
        ({"relations": [says("retracted-by", "pmid", "9")]}, {"pmid": "9"}),
    ],
)
def test_a_notice_retracts_an_article_in_all_its_versions(article: dict[str, Any], notice: dict[str, Any]) -> None:
    rows = [row("PMC1", 1), row("PMC1", 2, doi="d", **article), row("PMC3"), row("PMC2", **notice)]
    assert found(rows) == [
        ("PMC1.1", "PMC1.2", "retracted"),
        ("PMC1.1", "PMC1.2", "version"),
        ("PMC1.2", "PMC2.1", "retracted"),
    ]
    result = groups(rows)
    assert result.repeats.tolist() == [True, False, False, False]
    assert result.retracted.tolist() == [True, True, False, False]
    a, b, other, its_notice = result.families.tolist()
    assert a == b == its_notice != other


def test_a_retracted_article_is_never_kept_before_another() -> None:
    rows = [row("PMC1", doi="d"), row("PMC2", doi="d"), row("PMC3", relations=[says("retracts", "pmcid", "PMC1")])]
    assert found(rows) == [("PMC1.1", "PMC3.1", "retracted"), ("PMC1.1", "PMC2.1", "same-doi")]


def test_a_correction_is_linked_to_the_kept_article_and_repeats_nothing() -> None:
    rows = [
        row("PMC1", doi="d"),
        row("PMC2", doi="d"),
        row("PMC3", relations=[says("corrects", "doi", "d"), says("corrects", "pmcid", "PMC2")]),
        row("PMC4", pmid="4"),
        row("PMC5", relations=[says("corrected-by", "pmid", "4")]),
    ]
    assert found(rows) == [
        ("PMC2.1", "PMC1.1", "same-doi"),
        ("PMC3.1", "PMC1.1", "correction"),
        ("PMC4.1", "PMC5.1", "correction"),
    ]
    result = groups(rows)
    assert result.repeats.tolist() == [False, True, False, False, False]
    assert not result.retracted.any()
    assert len(set(result.families.tolist())) == 2


def test_no_articles() -> None:
    assert found([]) == []


IDS = st.one_of(st.none(), st.sampled_from("abc"))
RELATED = st.builds(
    says, st.sampled_from(sorted(set(RELATIONS.values()))), st.sampled_from(["doi", "pmid"]), st.sampled_from("abc")
)
ARTICLES = st.builds(
    lambda number, version, **columns: row(f"PMC{number}", version, **columns),
    st.integers(1, 12),
    st.integers(1, 3),
    doi=IDS,
    pmid=IDS,
    is_retracted=st.booleans(),
    is_preprint=st.booleans(),
    work=st.sampled_from([None, 10**9, 10**19]),
    year=st.sampled_from([None, 2020, 2021, 2022]),
    relations=st.lists(RELATED, max_size=2),
)


@settings(deadline=None)
@given(st.lists(ARTICLES, max_size=12, unique_by=lambda r: r["article_id"]), st.randoms(use_true_random=False))
def test_any_order_gives_the_same_and_the_kept_are_not_duplicates(
    rows: list[dict[str, Any]], rng: random.Random
) -> None:
    shuffled = list(rows)
    rng.shuffle(shuffled)
    whole, again = groups(rows), groups(shuffled)
    assert whole.duplicates.equals(again.duplicates)
    place = [shuffled.index(r) for r in rows]
    assert np.array_equal(whole.repeats, again.repeats[place])
    assert np.array_equal(whole.retracted, again.retracted[place])
    result = [row for row in whole.duplicates.to_pylist() if row["kind"] in ARTICLE_REPEATS]
    repeats = {row["id"]: row["of"] for row in result}
    assert len(repeats) == len(result)
    assert not repeats.keys() & set(repeats.values())
    kept = [r for r in rows if r["article_id"] not in repeats]
    for name in ("pmcid", "doi", "pmid"):
        values = [r[name] for r in kept if r[name] is not None]
        assert len(values) == len(set(values))
    assert [r["article_id"] in repeats for r in rows] == whole.repeats.tolist()
    assert all(flag for r, flag in zip(rows, whole.retracted, strict=True) if r["is_retracted"])
