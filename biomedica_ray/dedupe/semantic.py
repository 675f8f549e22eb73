"""Figures that mean the same: of embeddings that lie close to one another, in a cluster, one is kept.

SemDeDup (Abbas, Tirumala, Simig, Ganguli and Morcos, "SemDeDup: Data-efficient learning at web-scale through semantic
deduplication", arXiv 2303.09540): only figures of the same k-means cluster are compared, by cosine.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import ray.data

from biomedica_ray.annotate.cluster_tasks import load_clusters
from biomedica_ray.annotate.vectors import read_vectors
from biomedica_ray.dedupe.columns import Rows, duplicate_rows
from biomedica_ray.dedupe.shuffle import on_tables, tables
from biomedica_ray.store import Commit, Store

Floats = npt.NDArray[np.float64]

_MARGIN = 1e-3
"""The matrix product finds pairs to so much; their cosines are then taken one by one, the same on any machine."""
_CHUNK = 1024
"""Figures that are compared with all of their cluster at a time."""
_MOST_PARTS = 1000
_TASK_GB = 2.0
"""A unit's vectors, or those of a part's clusters: at 2,000 clusters of all of PMC 50 MB each."""


def alike_in_clusters(
    store: Store, embedded: Mapping[int, Commit], model_file: str, figures: pa.Table, min_cosine: float
) -> tuple[Rows, Floats]:
    """Pairs of figures in the same cluster whose embeddings have at least this cosine; on Ray.

    Args:
        store: The store.
        embedded: Unit -> commit of the embeddings.
        model_file: The clusters of these embeddings, below the root.
        figures: figure_id, unit and row, a number by which the pairs name it.
        min_cosine: Least cosine.

    Returns:
        Pairs (k, 2) of rows a < b, sorted by b, then by a; and their cosines (k,).
    """
    figures = figures.sort_by("unit")
    units, starts = np.unique(figures["unit"].to_numpy(), return_index=True)
    ends = [*starts[1:].tolist(), figures.num_rows]
    pieces = zip(units.tolist(), starts.tolist(), ends, strict=True)
    blocks = [figures.slice(start, end - start) for unit, start, end in pieces if unit in embedded]
    if not blocks:
        return np.empty((0, 2), np.int64), np.empty(0)
    read = partial(_read_by_cluster, store=store, embedded=embedded, model_file=model_file)
    vectors = on_tables(ray.data.from_arrow(blocks), read, _TASK_GB)
    parts = vectors.repartition(min(_MOST_PARTS, len(load_clusters(store, model_file).centres)), keys=["cluster"])
    found = list(tables(on_tables(parts, partial(alike_within, min_cosine=min_cosine), _TASK_GB)))
    pairs = pa.concat_tables([_no_pairs(), *found]).sort_by([("b", "ascending"), ("a", "ascending")])
    return np.stack([pairs["a"].to_numpy(), pairs["b"].to_numpy()], axis=1), pairs["cosine"].to_numpy()


def _read_by_cluster(figures: pa.Table, store: Store, embedded: Mapping[int, Commit], model_file: str) -> pa.Table:
    """cluster, row and vector (float16, as bytes) of those figures of a unit that have an embedding."""
    ids, vectors = read_vectors(store, embedded[figures["unit"][0].as_py()])
    at = pc.index_in(figures["figure_id"], pa.array(ids, pa.string()))
    found = figures.filter(at.is_valid())
    vectors = vectors[at.drop_null().to_numpy()]
    clusters, _ = load_clusters(store, model_file).assign(vectors)
    data = pa.py_buffer(np.ascontiguousarray(vectors))
    width = pa.binary(2 * vectors.shape[1])
    return pa.table(
        {
            "cluster": pa.array(clusters),
            "row": found["row"],
            "vector": pa.Array.from_buffers(width, len(vectors), [None, data]),
        }
    )


def alike_within(table: pa.Table, min_cosine: float) -> pa.Table:
    """Pairs a < b of rows in the same cluster, and their cosines.

    Args:
        table: cluster, row, and vector, float16 as bytes.
        min_cosine: Least cosine.
    """
    found = [_no_pairs()]
    table = table.sort_by([("cluster", "ascending"), ("row", "ascending")])
    clusters, rows = table["cluster"].to_numpy(), table["row"].to_numpy()
    dim = table.schema.field("vector").type.byte_width // 2
    vectors = np.frombuffer(b"".join(table["vector"].to_pylist()), np.float16).reshape(len(rows), dim)
    for cluster in np.unique(clusters):
        start, stop = np.searchsorted(clusters, cluster, "left"), np.searchsorted(clusters, cluster, "right")
        a, b, cosines = _alike(vectors[start:stop], min_cosine)
        found.append(pa.table({"a": rows[start:stop][a], "b": rows[start:stop][b], "cosine": cosines}))
    return pa.concat_tables(found)


def _alike(vectors: npt.NDArray[np.float16], min_cosine: float) -> tuple[Rows, Rows, Floats]:
    """Pairs a < b of vectors (n, d), and their cosines."""
    exact = vectors.astype(np.float64)
    exact /= np.maximum(np.linalg.norm(exact, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    single = exact.astype(np.float32)
    firsts, seconds = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start in range(0, len(single), _CHUNK):
        products = single[start : start + _CHUNK] @ single[start:].T
        a, b = np.nonzero(np.triu(products >= min_cosine - _MARGIN, 1))
        firsts.append(a + start)
        seconds.append(b + start)
    a, b = np.concatenate(firsts), np.concatenate(seconds)
    cosines: Floats = np.concatenate(
        [
            np.empty(0),
            *((exact[a[i : i + _CHUNK]] * exact[b[i : i + _CHUNK]]).sum(axis=1) for i in range(0, len(a), _CHUNK)),
        ]
    )
    near = cosines >= min_cosine
    return a[near], b[near], cosines[near]


def _no_pairs() -> pa.Table:
    return pa.table({"a": np.empty(0, np.int64), "b": np.empty(0, np.int64), "cosine": np.empty(0)})


def with_semantic(figures: pa.Table, repeats: pa.Table, pairs: Rows, cosines: Floats) -> pa.Table:
    """Add figures that repeat a better one by their embeddings; best first, none is linked through others only.

    What repeated a figure that is no longer kept now repeats that one's kept one, as semantic, at the same distance.

    Args:
        figures: figure_id, best first.
        repeats: Rows of the duplicates table for figures.
        pairs: (k, 2) rows a < b of ``figures`` that do not repeat others, sorted by b, then by a.
        cosines: (k,) of the pairs.
    """
    of: dict[int, tuple[int, float]] = {}
    for (a, b), cosine in zip(pairs.tolist(), cosines.tolist(), strict=True):
        if a not in of and b not in of:
            of[b] = a, 1 - cosine
    ids = figures["figure_id"].combine_chunks()
    rows, kept = (pc.index_in(repeats[name], ids).to_numpy() for name in ("id", "of"))
    moved = np.isin(kept, list(of))
    rows, via = np.concatenate([list(of), rows[moved]]).astype(np.int64), np.concatenate([list(of), kept[moved]])
    targets = np.array([of[row][0] for row in via.tolist()], np.int64)
    away = np.array([of[row][1] for row in via.tolist()], np.float32)
    semantic = duplicate_rows("figure", "semantic", (figures["figure_id"], rows), (figures["figure_id"], targets), away)
    return pa.concat_tables([repeats.filter(pa.array(~moved)), semantic]).sort_by("id")
