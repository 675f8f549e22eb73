from __future__ import annotations

import random
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.dedupe.articles import article_duplicates

COLUMNS = pa.schema(
    [
        ("article_id", pa.string()),
        ("pmcid", pa.string()),
        ("version", pa.int32()),
        ("doi", pa.string()),
        ("pmid", pa.string()),
        ("is_retracted", pa.bool_()),
        ("n_metadata", pa.int64()),
    ]
)


def row(pmcid: str, version: int = 1, **columns: Any) -> dict[str, Any]:
    base = {"doi": None, "pmid": None, "is_retracted": False, "n_metadata": 5}
    return {"article_id": f"{pmcid}.{version}", "pmcid": pmcid, "version": version, **base, **columns}


def found(rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    result = article_duplicates(pa.Table.from_pylist(rows, schema=COLUMNS)).to_pylist()
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


def test_no_articles() -> None:
    assert found([]) == []


IDS = st.one_of(st.none(), st.sampled_from("abc"))
ARTICLES = st.builds(
    lambda number, version, doi, pmid, retracted: row(
        f"PMC{number}", version, doi=doi, pmid=pmid, is_retracted=retracted
    ),
    st.integers(1, 12),
    st.integers(1, 3),
    IDS,
    IDS,
    st.booleans(),
)


@given(st.lists(ARTICLES, max_size=12, unique_by=lambda r: r["article_id"]), st.randoms(use_true_random=False))
def test_any_order_gives_the_same_and_the_kept_are_not_duplicates(
    rows: list[dict[str, Any]], rng: random.Random
) -> None:
    result = found(rows)
    shuffled = list(rows)
    rng.shuffle(shuffled)
    assert found(shuffled) == result
    repeats = {id_ for id_, _, _ in result}
    assert not repeats & {of for _, of, _ in result}
    kept = [r for r in rows if r["article_id"] not in repeats]
    for name in ("pmcid", "doi", "pmid"):
        values = [r[name] for r in kept if r[name] is not None]
        assert len(values) == len(set(values))
