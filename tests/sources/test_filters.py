from __future__ import annotations

import random
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from biomedica_ray.schema import LISTING
from biomedica_ray.sources.base import Listed
from biomedica_ray.sources.filters import (
    Filters,
    Selection,
    latest_versions,
    read_pmcids,
    select,
    split_by_unit,
    take_articles,
    unknown_ids,
)
from biomedica_ray.units import unit_of

NOTHING = pa.chunked_array([], pa.string())


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
    taken = take_articles(listing(*ids), 10, NOTHING)
    random.Random(1).shuffle(ids)
    again = take_articles(listing(*ids), 10, NOTHING)
    assert sorted(taken["article_id"].to_pylist()) == sorted(again["article_id"].to_pylist())
    assert len(taken) == 20
    larger = set(take_articles(listing(*ids), 20, NOTHING)["pmcid"].to_pylist())
    assert set(taken["pmcid"].to_pylist()) < larger


def test_units_hold_every_row_once_in_order() -> None:
    ids = [f"PMC{n}.{v}" for n in range(100) for v in (2, 1)]
    rows = listing(*ids)
    units = split_by_unit(rows, np.array([unit_of(pmcid, 16) for pmcid in rows["pmcid"].to_pylist()]))
    assert sorted(i for table in units.values() for i in table["article_id"].to_pylist()) == sorted(ids)
    for unit, table in units.items():
        assert {unit_of(pmcid, 16) for pmcid in table["pmcid"].to_pylist()} == {unit}
        keys = [(row.pmcid, row.version) for row in Listed.from_table(table)]
        assert keys == sorted(keys)


def ids_of(table: pa.Table) -> list[str]:
    return sorted(table["article_id"].to_pylist())


def test_a_selection_counts_what_it_leaves_out() -> None:
    table = listing("PMC1.1", "PMC1.2", "PMC2.1", "PMC3.1")
    days = [datetime(2026, 11, day, 23, 59, tzinfo=UTC) for day in (1, 2, 3)]
    table = table.set_column(5, LISTING.field("last_modified"), pa.array([*days, None], LISTING.field(5).type))
    assert select(table, Selection(), NOTHING) == (latest_versions(table), {"older-version": 1})
    assert select(table, Selection("all"), NOTHING)[1] == {}
    taken, left_out = select(table, Selection("all", since=date(2026, 11, 2)), NOTHING)
    assert (ids_of(taken), left_out) == (["PMC1.2", "PMC2.1"], {"before-since": 2})
    taken, left_out = select(table, Selection("latest", frozenset({"PMC1", "PMC3", "PMC9"}), None, 1), NOTHING)
    assert left_out == {"not-in-pmcids": 1, "older-version": 1, "over-limit": 1}
    assert taken.num_rows + sum(left_out.values()) == table.num_rows
    assert taken.schema == LISTING


def test_what_the_store_holds_stays_and_what_is_new_is_added_since_a_day() -> None:
    table = listing("PMC1.1", "PMC2.1", "PMC3.1", "PMC4.1")
    days = [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 3)]
    table = table.set_column(5, LISTING.field("last_modified"), pa.array([*days, None], LISTING.field(5).type))
    taken, left_out = select(table, Selection(since=date(2026, 11, 3)), pa.chunked_array([["PMC1", "PMC4"]]))
    assert (ids_of(taken), left_out) == (["PMC1.1", "PMC3.1", "PMC4.1"], {"before-since": 1})


def test_a_limit_takes_what_the_store_holds_first() -> None:
    table = listing(*(f"PMC{n}.1" for n in range(50)))
    all_of_them = take_articles(table, 50, NOTHING)["pmcid"].to_pylist()
    held = sorted(set(all_of_them) - set(take_articles(table, 45, NOTHING)["pmcid"].to_pylist()))
    taken = set(take_articles(table, 8, pa.chunked_array([held]))["pmcid"].to_pylist())
    assert taken == {*held, *take_articles(table, 3, NOTHING)["pmcid"].to_pylist()}
    assert set(take_articles(table, 2, pa.chunked_array([held]))["pmcid"].to_pylist()) < set(held)


def test_one_version_can_be_asked_for_by_name() -> None:
    table = listing("PMC1.1", "PMC1.2", "PMC2.1")
    assert ids_of(select(table, Selection("latest", frozenset({"PMC1.1"})), NOTHING)[0]) == ["PMC1.1"]


def test_ids_that_the_source_does_not_have_are_told() -> None:
    assert unknown_ids(listing("PMC1.1"), frozenset({"PMC1", "PMC1.1", "PMC1.2", "PMC7"})) == ["PMC1.2", "PMC7"]


def test_a_file_of_ids_may_have_bare_numbers_comments_and_further_columns() -> None:
    text = "\ufeffPMC1\n 22 # a comment\n\n# only a comment\nPMC3.2,title, more\r\n10.1_x\tdoi\n"
    assert read_pmcids(text) == {"PMC1", "PMC22", "PMC3.2", "10.1_x"}


@pytest.mark.parametrize(
    ("filters", "facts", "reason"),
    [
        (Filters(), ("CC BY", False, True), None),
        (Filters(), (None, None, None), None),
        (Filters(), ("TDM", True, False), "not-open-access"),
        (Filters(open_access_only=False), ("TDM", True, False), None),
        (Filters(keep_retracted=False), ("CC BY", True, True), "retracted"),
        (Filters(licenses=("commercial",)), ("CC BY-ND", False, True), None),
        (Filters(licenses=("commercial",)), ("CC BY-NC", False, True), "license"),
        (Filters(licenses=("commercial", "CC BY-NC")), ("CC BY-NC", False, True), None),
        (Filters(licenses=("commercial",)), ("NO-CC CODE", False, True), "license"),
        (Filters(licenses=("other",)), ("TDM", False, True), None),
        (Filters(licenses=("commercial",)), (None, False, True), None),
    ],
)
def test_filters_leave_out_what_is_known_to_be_unwanted(
    filters: Filters, facts: tuple[str | None, bool | None, bool | None], reason: str | None
) -> None:
    assert filters.reason(*facts) == reason
