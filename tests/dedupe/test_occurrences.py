from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_ray.dedupe.occurrences import find_occurrences, occurrences
from biomedica_ray.images.thumbnails import thumbnail
from biomedica_ray.units import stable_hash
from tests.synthetic import picture

LOOKS = np.stack([thumbnail(picture(seed)) for seed in range(3)])
COLUMNS = pa.schema(
    [
        *((name, pa.string()) for name in ("figure_id", "name", "sha256", "pixel_sha256")),
        ("phash", pa.uint64()),
        ("look", pa.int64()),
    ]
)


def row(name: str, **columns: Any) -> dict[str, Any]:
    """A figure or picture that is like no other, unless ``columns`` say so."""
    own = stable_hash(name)
    return {"figure_id": name, "name": name, "sha256": name, "pixel_sha256": name, "phash": own, "look": 0, **columns}


def found(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], distance: int = 4) -> list[tuple[str, str, float]]:
    figures, others = (pa.Table.from_pylist(rows, schema=COLUMNS) for rows in (ours, theirs))
    each = find_occurrences(figures, others, distance)
    looks = (table["look"].to_numpy()[rows] for table, rows in ((figures, each.rows), (each.others, each.other_rows)))
    our_looks, their_looks = (LOOKS[numbers] for numbers in looks)
    result = occurrences(each, our_looks, their_looks, 0.95).to_pylist()
    assert all((r["entity"], r["kind"]) == ("figure", "against") for r in result)
    return [(r["id"], r["of"], r["distance"]) for r in result]


def test_same_bytes_same_pixels_and_near() -> None:
    ours = [
        row("bytes", sha256="a"),
        row("pixels", pixel_sha256="b"),
        row("near", phash=0b111),
        row("too far", phash=0b11111 << 40),
        row("looks otherwise", phash=0b1, look=1),
        row("another"),
    ]
    theirs = [row("A", sha256="a"), row("B", pixel_sha256="b"), row("C", phash=0), row("D", phash=0, look=2)]
    assert found(ours, theirs) == [("bytes", "A", 0), ("pixels", "B", 0), ("near", "C", 3)]


@pytest.mark.parametrize(
    ("theirs", "which"),
    [
        ([row("B", sha256="a"), row("A", sha256="a")], ("A", 0)),
        ([row("A", pixel_sha256="p"), row("B", sha256="a")], ("B", 0)),
        ([row("A", phash=0b11), row("B", phash=0b1)], ("B", 1)),
        ([row("B", phash=0b11), row("A", phash=0b11)], ("A", 2)),
        ([row("A", phash=0, look=1), row("B", phash=0b11)], ("B", 2)),
    ],
)
def test_which_of_several(theirs: list[dict[str, Any]], which: tuple[str, int]) -> None:
    assert found([row("x", sha256="a", pixel_sha256="p", phash=0)], theirs) == [("x", *which)]


def test_what_has_no_digests_is_found_by_its_looks_alone() -> None:
    ours = pa.Table.from_pylist([row("x", phash=0b1), row("y", sha256="A")], schema=COLUMNS)
    theirs = pa.Table.from_pylist([row("A", phash=0)], schema=COLUMNS)
    each = find_occurrences(ours.drop_columns(["sha256", "pixel_sha256"]), theirs, 4)
    result = occurrences(each, LOOKS[[0]], LOOKS[[0]], 0.95).to_pylist()
    assert [(r["id"], r["of"], r["distance"]) for r in result] == [("x", "A", 1)]


def test_figures_are_not_compared_with_one_another() -> None:
    assert found([row("x", phash=0), row("y", phash=1)], [row("A", phash=255 << 20)]) == []
    assert found([row("x", phash=0), row("y", phash=1)], []) == []
    assert found([], [row("A"), row("B")]) == []


ROWS = st.builds(
    lambda image, phash, look: {"sha256": image, "pixel_sha256": image[0], "phash": phash, "look": look},
    st.sampled_from(["a1", "a2", "b", "c", "d", "e"]),
    st.integers(0, 255),
    st.integers(0, 2),
)


@settings(deadline=None)
@given(st.lists(ROWS, max_size=8), st.lists(ROWS, max_size=8), st.randoms(use_true_random=False))
def test_as_comparing_each_with_each(
    some: list[dict[str, Any]], others: list[dict[str, Any]], rng: random.Random
) -> None:
    ours = [{**row(f"x{i}"), **each} for i, each in enumerate(some)]
    theirs = [{**row(f"y{i}"), **each} for i, each in enumerate(others)]
    wanted = []
    for x in ours:
        exact = [y for key in ("sha256", "pixel_sha256") for y in theirs if x[key] == y[key]]
        near = [(bin(x["phash"] ^ y["phash"]).count("1"), y["name"]) for y in theirs if x["look"] == y["look"]]
        if exact:
            wanted.append((x["figure_id"], exact[0]["name"], 0))
        elif near and min(near)[0] <= 4:
            wanted.append((x["figure_id"], min(near)[1], min(near)[0]))
    rng.shuffle(theirs)
    assert found(ours, theirs) == wanted
