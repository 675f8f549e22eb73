from __future__ import annotations

import random
from typing import Any

import imagehash
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.dedupe.figures import figure_duplicates, find_candidates
from biomedica_ray.images.thumbnails import thumbnail
from tests.synthetic import picture

THUMBNAILS = np.stack([thumbnail(picture(seed)) for seed in range(3)])


def row(article: int, position: int = 1, **columns: Any) -> dict[str, Any]:
    """A figure that is like no other, unless ``columns`` say so; ``look`` says which thumbnail it has."""
    own = article * 100 + position
    return {
        "figure_id": f"PMC{article}.1_{position:03d}",
        "article": article,
        "position": position,
        "rank": 0,
        "pixels": 1000,
        "sha256": f"s{own}",
        "pixel_sha256": f"p{own}",
        "phash": (own * 0x9E3779B97F4A7C15) % 2**64,
        "look": 0,
        **columns,
    }


def table(rows: list[dict[str, Any]]) -> pa.Table:
    columns = pa.schema(
        [
            *((name, pa.string()) for name in ("figure_id", "sha256", "pixel_sha256")),
            *((name, pa.int64()) for name in ("article", "position", "rank", "pixels", "look")),
            ("phash", pa.uint64()),
        ]
    )
    return pa.Table.from_pylist(rows, schema=columns)


def found(rows: list[dict[str, Any]], max_distance: int = 4) -> list[tuple[str, str, str, int]]:
    candidates = find_candidates(table(rows), max_distance)
    looks = candidates.figures["look"].to_numpy()[candidates.rows]
    result = figure_duplicates(candidates, THUMBNAILS[looks], 0.95).to_pylist()
    assert all(r["entity"] == "figure" for r in result)
    return [(r["id"], r["of"], r["kind"], r["distance"]) for r in result]


def test_same_bytes_same_pixels_and_near() -> None:
    rows = [
        row(1, pixels=2000, phash=0, sha256="a", pixel_sha256="A"),
        row(2, phash=0, sha256="a", pixel_sha256="A"),
        row(3, phash=0, sha256="b", pixel_sha256="A"),
        row(4, phash=0b101),
        row(5, phash=0b11111),
        row(6, phash=0b111, look=1),
    ]
    assert found(rows) == [
        ("PMC2.1_001", "PMC1.1_001", "exact", 0),
        ("PMC3.1_001", "PMC1.1_001", "same-pixels", 0),
        ("PMC4.1_001", "PMC1.1_001", "near", 2),
    ]


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([row(9, sha256="a"), row(10, sha256="a", pixels=1001)], "PMC10.1_001"),
        ([row(9, sha256="a", rank=1), row(10, sha256="a", pixels=10)], "PMC10.1_001"),
        ([row(10, sha256="a"), row(9, sha256="a")], "PMC9.1_001"),
        ([row(9, 12, sha256="a"), row(9, 3, sha256="a")], "PMC9.1_003"),
    ],
)
def test_which_one_is_kept(rows: list[dict[str, Any]], kept: str) -> None:
    assert [of for _, of, _, _ in found(rows)] == [kept]


def test_no_chains() -> None:
    rows = [row(1, phash=0), row(2, phash=0b1111), row(3, phash=0b11111111), row(4, phash=0b111111111111)]
    assert found(rows) == [("PMC2.1_001", "PMC1.1_001", "near", 4), ("PMC4.1_001", "PMC3.1_001", "near", 4)]


def test_a_copy_of_a_near_duplicate_follows_the_kept_one() -> None:
    rows = [row(1, phash=0), row(2, phash=1, sha256="a"), row(3, phash=1, sha256="a")]
    assert {of for _, of, _, _ in found(rows)} == {"PMC1.1_001"}


def test_the_same_hash_is_not_enough() -> None:
    rows = [row(1, phash=0, look=0), row(2, phash=0, look=1), row(3, phash=0, look=2), row(4, phash=0, look=1)]
    assert found(rows, max_distance=0) == [("PMC4.1_001", "PMC2.1_001", "near", 0)]


def test_only_figures_with_a_neighbour_are_looked_at_again() -> None:
    candidates = find_candidates(table([row(1), row(2), row(3, phash=5), row(4, phash=4), row(5, sha256="s101")]), 4)
    assert candidates.figures["figure_id"].take(pa.array(candidates.rows)).to_pylist() == ["PMC3.1_001", "PMC4.1_001"]


def test_no_figures() -> None:
    assert found([]) == []


FIGURES = st.builds(
    lambda article, position, pixels, image, phash, look: row(
        article,
        position,
        pixels=pixels,
        sha256=image,
        pixel_sha256=image[0],
        phash=phash if image == "c" else 0,
        look=look,
    ),
    st.integers(1, 9),
    st.integers(1, 3),
    st.sampled_from([10, 20]),
    st.sampled_from(["a1", "a2", "b", "c"]),
    st.integers(0, 255),
    st.integers(0, 2),
)


@given(st.lists(FIGURES, max_size=14, unique_by=lambda r: r["figure_id"]), st.randoms(use_true_random=False))
def test_any_order_gives_the_same_and_no_kept_one_is_a_duplicate(
    rows: list[dict[str, Any]], rng: random.Random
) -> None:
    for index, each in enumerate(rows):
        if each["sha256"] == "c":
            each["sha256"] = each["pixel_sha256"] = f"c{index}"
        else:
            each["look"] = 0
    result = found(rows)
    shuffled = list(rows)
    rng.shuffle(shuffled)
    assert found(shuffled) == result
    assert not {id_ for id_, _, _, _ in result} & {of for _, of, _, _ in result}
    assert all(distance <= 4 for _, _, _, distance in result)


def test_a_smaller_copy_is_near_by_hash_too() -> None:
    image = picture(1, (400, 300))
    assert imagehash.phash(image) - imagehash.phash(image.resize((200, 150))) <= 4
