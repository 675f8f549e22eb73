from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray import schema
from biomedica_ray.annotate import members
from biomedica_ray.annotate.members import Wanted, choose_members

COLUMNS = pa.schema([schema.LABELS.field(name) for name in ("figure_id", "cluster_id", "distance")])


def labels(rows: list[tuple[str, int, float]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(COLUMNS.names, row, strict=True)) for row in rows], schema=COLUMNS)


def chosen(table: pa.Table, cluster: int) -> dict[str, list[str]]:
    result: dict[str, list[str]] = {place: [] for place in members.PLACES}
    for row in table.to_pylist():
        if row["cluster_id"] == cluster:
            assert row["rank"] == len(result[row["place"]])
            result[row["place"]].append(row["figure_id"])
    return result


def test_the_nearest_the_farthest_and_some_between() -> None:
    rows = [(f"f{n}", n % 2, float(n)) for n in range(40)]
    table = choose_members([labels(rows[:15]), labels(rows[15:])], Wanted(3, 3, 3))
    found = chosen(table, 1)
    assert found["nearest"] == ["f1", "f3", "f5"]
    assert found["farthest"] == ["f39", "f37", "f35"]
    assert len(set(found["random"]) - {*found["nearest"], *found["farthest"]}) == 3
    assert set(table["cluster_size"].to_pylist()) == {20}
    other = choose_members([labels(rows)], Wanted(3, 3, 3, seed=1))
    assert chosen(other, 1)["random"] != found["random"]


def test_a_small_cluster_is_shown_whole_and_once() -> None:
    found = chosen(choose_members([labels([(f"f{n}", 7, float(n)) for n in range(5)])], Wanted(2, 2, 2)), 7)
    assert found == {"nearest": ["f0", "f1"], "random": ["f2"], "farthest": ["f4", "f3"]}
    assert len(choose_members([], Wanted(2))) == 0


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), min_size=1, max_size=60),
    st.integers(1, 4),
    st.integers(1, 25),
)
def test_pieces_and_their_order_do_not_matter(pairs: list[tuple[int, int]], each: int, size: int) -> None:
    rows = [(f"f{n}", cluster, float(distance)) for n, (cluster, distance) in enumerate(pairs)]
    whole = choose_members([labels(rows)], Wanted(each, each, each))
    pieces = [labels(rows[start : start + size]) for start in range(0, len(rows), size)]
    before, members._GATHERED = members._GATHERED, size
    try:
        assert choose_members(reversed(pieces), Wanted(each, each, each)).equals(whole)
    finally:
        members._GATHERED = before
    ids = whole["figure_id"].to_pylist()
    assert len(ids) == len(set(ids))
    for cluster in range(3):
        n = sum(1 for row in rows if row[1] == cluster)
        assert sum(map(len, chosen(whole, cluster).values())) == min(n, 3 * each)


def test_only_the_places_that_are_wanted_and_every_column_that_is_there() -> None:
    rows = [(f"f{n}", n % 2, float(n)) for n in range(20)]
    table = labels(rows).append_column("confidence", pa.array([n / 20 for n in range(20)]))
    found = choose_members([table[:7], table[7:]], Wanted(2, 1)).to_pylist()
    assert [(row["figure_id"], row["place"], row["confidence"]) for row in found if row["cluster_id"] == 1] == [
        ("f1", "nearest", 0.05),
        ("f3", "nearest", 0.15),
        ("f19", "farthest", 0.95),
    ]
    assert [row["figure_id"] for row in choose_members([table], Wanted(1)).to_pylist()] == ["f0", "f1"]
