from __future__ import annotations

import numpy as np
import pyarrow as pa

from biomedica_ray import schema
from biomedica_ray.dedupe.boilerplate import boilerplate


def found(
    figures: list[tuple[str, int]], same: list[int], repeats: dict[str, str], max_articles: int = 2
) -> dict[str, str]:
    columns = pa.schema([("figure_id", pa.string()), ("family", pa.int64())])
    table = pa.Table.from_pylist([{"figure_id": i, "family": family} for i, family in figures], schema=columns)
    rows = [{"id": i, "of": of, "entity": "figure", "kind": "exact", "distance": 0} for i, of in repeats.items()]
    duplicates = pa.Table.from_pylist(rows, schema=schema.DUPLICATES)
    result = boilerplate(table, np.array(same, np.int64), duplicates, max_articles).to_pylist()
    assert all((row["entity"], row["kind"], row["distance"]) == ("figure", "boilerplate", 0) for row in result)
    return {row["id"]: row["of"] for row in result}


def test_a_picture_in_too_many_articles_is_flagged_with_the_kept_one() -> None:
    figures = [("a", 1), ("b", 2), ("c", 3), ("x", 4), ("y", 5)]
    repeats = {"b": "a", "c": "a", "y": "x"}
    assert found(figures, [0, 0, 0, 3, 3], repeats) == {"a": "a", "b": "a", "c": "a"}
    assert found(figures, [0, 0, 0, 3, 3], repeats, 3) == {}


def test_an_article_and_its_relatives_count_once() -> None:
    assert found([("a", 1), ("b", 1), ("c", 1), ("d", 2)], [0] * 4, dict.fromkeys("bcd", "a")) == {}


def test_only_equal_pixels_count_but_what_is_near_goes_along() -> None:
    near = {"b": "a", "c": "a", "d": "a"}
    assert found([("a", 1), ("b", 2), ("c", 3), ("d", 4)], [0, 1, 2, 3], near) == {}
    figures = [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)]
    repeats = {**near, "e": "a"}
    assert found(figures, [0, 1, 1, 1, 4], repeats) == dict.fromkeys("abcde", "a")


def test_no_figures() -> None:
    assert found([], [], {}) == {}
