from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_ray import schema
from biomedica_ray.dedupe.semantic import alike_within, with_semantic


def clustered(vectors: np.ndarray, clusters: list[int], rows: list[int]) -> pa.Table:
    data = [vector.tobytes() for vector in vectors.astype(np.float16)]
    return pa.table(
        {
            "cluster": np.array(clusters, np.int64),
            "row": np.array(rows, np.int64),
            "vector": pa.array(data, pa.binary(2 * vectors.shape[1])),
        }
    )


def test_pairs_within_clusters_are_those_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(1500, 8)).astype(np.float16)
    vectors[700:] = vectors[:800] + 0.2 * rng.normal(size=(800, 8)).astype(np.float16)
    clusters = rng.integers(0, 2, 1500)
    rows = rng.permutation(1500)
    found = alike_within(clustered(vectors, clusters.tolist(), rows.tolist()), 0.97).to_pylist()

    exact = vectors.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=1, keepdims=True)
    cosines = exact @ exact.T
    near = np.argwhere(np.triu((cosines >= 0.97) & (clusters[:, None] == clusters), 1))
    wanted = {tuple(sorted((int(rows[i]), int(rows[j])))): cosines[i, j] for i, j in near}
    assert len(wanted) > 100
    assert {(row["a"], row["b"]) for row in found} == wanted.keys()
    assert all(row["cosine"] == pytest.approx(wanted[row["a"], row["b"]]) for row in found)


def test_cosines_do_not_depend_on_what_else_is_in_the_cluster() -> None:
    vectors = np.random.default_rng(1).normal(size=(300, 64)).astype(np.float16)
    many = alike_within(clustered(vectors, [0] * 300, list(range(300))), 1e-9).to_pylist()
    assert len(many) > 1000
    for row in many[::500]:
        pair = [row["a"], row["b"]]
        assert alike_within(clustered(vectors[pair], [0, 0], pair), 1e-9).to_pylist() == [row]
    assert alike_within(clustered(vectors[:0], [], []), 0.5).num_rows == 0


FIGURES = pa.table({"figure_id": list("abcdef")})


def joined(repeats: dict[str, str], pairs: dict[tuple[int, int], float]) -> dict[str, tuple[str, str, float]]:
    rows = [{"id": i, "of": of, "entity": "figure", "kind": "near", "distance": 3} for i, of in repeats.items()]
    ordered = sorted(pairs.items(), key=lambda each: each[0][::-1])
    ends = np.array([pair for pair, _ in ordered], np.int64).reshape(-1, 2)
    table = pa.Table.from_pylist(rows, schema=schema.DUPLICATES)
    result = with_semantic(FIGURES, table, ends, np.array([cosine for _, cosine in ordered])).to_pylist()
    assert [row["id"] for row in result] == sorted(row["id"] for row in result)
    return {row["id"]: (row["of"], row["kind"], round(row["distance"], 4)) for row in result}


def test_the_best_is_kept_and_there_are_no_chains() -> None:
    assert joined({}, {(0, 1): 0.75, (1, 2): 0.9}) == {"b": ("a", "semantic", 0.25)}
    assert joined({}, {(0, 2): 0.75, (1, 2): 0.9}) == {"c": ("a", "semantic", 0.25)}


def test_what_repeated_it_follows() -> None:
    assert joined({"e": "c", "f": "d"}, {(0, 2): 0.75}) == {
        "c": ("a", "semantic", 0.25),
        "e": ("a", "semantic", 0.25),
        "f": ("d", "near", 3),
    }


@settings(deadline=None)
@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda pair: pair[0] < pair[1])))
def test_every_one_of_a_pair_is_kept_or_repeats_one_that_is(pairs: set[tuple[int, int]]) -> None:
    found = joined({}, dict.fromkeys(pairs, 0.9))
    kept = set("abcdef") - found.keys()
    assert {of for of, _, _ in found.values()} <= kept
    assert all(("abcdef".index(of), "abcdef".index(id_)) in pairs for id_, (of, _, _) in found.items())
    assert not any({"abcdef"[a], "abcdef"[b]} <= kept for a, b in pairs)
