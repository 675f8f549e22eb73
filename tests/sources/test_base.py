from __future__ import annotations

import random
from typing import Any

import pyarrow as pa

from biomedica_ray.schema import LISTING
from biomedica_ray.sources.base import Listed, latest_versions, split_by_unit, take_articles
from biomedica_ray.units import unit_of


def listing(*ids: str) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for article_id in ids:
        pmcid, version = article_id.split(".")
        common = {"source_uri": "u", "etag": "e", "last_modified": None}
        rows.append({"article_id": article_id, "pmcid": pmcid, "version": int(version), **common})
    return pa.Table.from_pylist(rows, schema=LISTING)


def test_versions_are_compared_as_numbers() -> None:
    table = latest_versions(listing("PMC1.9", "PMC1.10", "PMC2.1", "PMC1.2"))
    assert sorted(table["article_id"].to_pylist()) == ["PMC1.10", "PMC2.1"]
    assert table.schema == LISTING


def test_a_limit_takes_the_same_articles_whatever_the_order_and_all_their_versions() -> None:
    ids = [f"PMC{n}.{v}" for n in range(50) for v in (1, 2)]
    taken = take_articles(listing(*ids), 10)
    random.Random(1).shuffle(ids)
    again = take_articles(listing(*ids), 10)
    assert sorted(taken["article_id"].to_pylist()) == sorted(again["article_id"].to_pylist())
    assert len(taken) == 20
    larger = set(take_articles(listing(*ids), 20)["pmcid"].to_pylist())
    assert set(taken["pmcid"].to_pylist()) < larger


def test_units_hold_every_row_once_in_order() -> None:
    ids = [f"PMC{n}.{v}" for n in range(100) for v in (2, 1)]
    units = split_by_unit(listing(*ids), 16)
    assert sorted(i for table in units.values() for i in table["article_id"].to_pylist()) == sorted(ids)
    for unit, table in units.items():
        assert {unit_of(pmcid, 16) for pmcid in table["pmcid"].to_pylist()} == {unit}
        keys = [(row.pmcid, row.version) for row in Listed.from_table(table)]
        assert keys == sorted(keys)
