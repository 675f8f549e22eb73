from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_ray.extract.assignment import HELD_COLUMNS, Assignment, assign
from biomedica_ray.schema import LISTING
from biomedica_ray.units import units_of

Row = dict[str, Any]
HELD = pa.schema([*(LISTING.field(name) for name in HELD_COLUMNS), ("unit", pa.int64())])


def row(number: int, version: int = 1, etag: str = "a", **columns: Any) -> Row:
    pmcid = f"PMC{number}"
    return {"article_id": f"{pmcid}.{version}", "pmcid": pmcid, "source_uri": pmcid, "etag": etag, **columns}


def table(rows: list[Row]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=HELD).drop_columns(["unit"])


def held(rows: list[Row], found: Assignment) -> pa.Table:
    units = found.units.tolist()
    return pa.Table.from_pylist([{**each, "unit": unit} for each, unit in zip(rows, units, strict=True)], schema=HELD)


NOTHING = HELD.empty_table()


def test_a_new_store_has_one_generation() -> None:
    rows = [row(n) for n in range(1000)]
    found = assign(table(rows), NOTHING, [4])
    assert found.generations == [4]
    assert found.units.tolist() == [units_of(each["pmcid"], [4])[0] for each in rows]


def test_few_changes_go_to_a_later_generation_and_the_next_ones_fill_it() -> None:
    rows = [row(n) for n in range(1000)]
    first = assign(table(rows), NOTHING, [4])
    changed = [row(n, etag="b") if n % 100 == 0 else row(n) for n in range(1000)]
    second = assign(table(changed), held(rows, first), [4])
    assert second.generations == [4, 1]
    assert np.flatnonzero(second.units != first.units).tolist() == list(range(0, 1000, 100))
    assert set(second.units[::100].tolist()) == {4}
    third = assign(table([*changed, row(2000)]), held(changed, second), [4, 1])
    assert third.generations == [4, 1]
    assert third.units.tolist() == [*second.units.tolist(), 4]
    many = [*changed, *(row(n) for n in range(3000, 3100)), *(row(n, etag="c") for n in range(4000, 4150))]
    fourth = assign(table(many), held(changed, second), [4, 1])
    assert fourth.generations == [4, 1], "the units of the first generation have room, and this is a large part of them"
    assert fourth.units[:1000].tolist() == second.units.tolist()


def test_a_unit_takes_what_is_a_large_part_of_it() -> None:
    rows = [row(n) for n in range(20)]
    first = assign(table(rows), NOTHING, [4])
    changed = [*rows[1:], row(0, version=2), row(77)]
    second = assign(table(changed), held(rows, first), [4])
    assert second.generations == [4]
    assert second.units[:19].tolist() == first.units[1:].tolist()
    assert second.units[19] == first.units[0]


def test_a_store_that_was_small_grows_by_further_units() -> None:
    rows = [row(n) for n in range(32)]
    first = assign(table(rows), NOTHING, [16])
    grown = [row(n) for n in range(20_000)]
    second = assign(table(grown), held(rows, first), [16])
    assert second.generations == [16, 80]
    assert second.units[:32].tolist() == first.units.tolist()
    sizes = Counter(second.units.tolist())
    assert max(sizes.values()) < 400


def test_what_the_source_does_not_say_is_no_change() -> None:
    rows = [row(n, license_code="CC BY", is_retracted=False) for n in range(400)]
    first = assign(table(rows), NOTHING, [1])
    silent = [row(n) for n in range(400)]
    assert assign(table(silent), held(rows, first), [1]).units.tolist() == first.units.tolist()
    retracted = [row(7, license_code="CC BY", is_retracted=True), *silent[8:]]
    assert assign(table(retracted), held(rows, first), [1]).units[0] == 1


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_articles_are_where_they_can_be_found_after_any_number_of_updates(data: st.DataObject) -> None:
    generations = [data.draw(st.integers(1, 3), label="units")]
    rows: list[Row] = []
    before, was = NOTHING, dict[str, int]()
    for update in range(4):
        numbers = data.draw(st.sets(st.integers(0, 1500), max_size=400), label="articles")
        changed = data.draw(st.sets(st.sampled_from(sorted(numbers) or [0]), max_size=5), label="changed")
        etags = {each["pmcid"]: each["etag"] for each in rows}
        rows = [row(n, etag=f"u{update}" if n in changed else etags.get(f"PMC{n}", "first")) for n in sorted(numbers)]
        found = assign(table(rows), before, generations)
        assert found.generations[: len(generations)] == generations
        generations = found.generations
        for each, unit in zip(rows, found.units.tolist(), strict=True):
            assert unit in units_of(each["pmcid"], generations)
            assert etags.get(each["pmcid"]) != each["etag"] or unit == was[each["pmcid"]]
        was = {each["pmcid"]: unit for each, unit in zip(rows, found.units.tolist(), strict=True)}
        again = assign(table(rows), held(rows, found), generations)
        assert (again.units.tolist(), again.generations) == (found.units.tolist(), generations)
        before = held(rows, found)
