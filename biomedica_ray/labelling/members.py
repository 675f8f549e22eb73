"""Which figures annotators see of a cluster: the nearest to its centre, the farthest, and some of those between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray import schema
from biomedica_ray.units import stable_hash

PLACES = ("nearest", "random", "farthest")

_GATHERED = 200_000
"""Rows that are gathered before they are compared with the best so far: sorting few rows often would take longer."""

Indices = npt.NDArray[np.int64]


def choose_members(labels: Iterable[pa.Table], each: int, seed: int) -> pa.Table:
    """Rows of the members table, of all clusters: of each at most ``each`` figures in each place.

    A cluster of few figures has its nearest ones first, then the farthest. Memory grows with the clusters, not with
    the figures.

    Args:
        labels: Pieces of the labels table: figure_id, cluster_id and distance.
        each: Figures in each place.
        seed: Other seeds give other random ones.
    """
    best, sizes = _EMPTY, Counter[int]()
    gathered: list[pa.Table] = []
    for table in labels:
        sizes.update({row["values"]: row["counts"] for row in pc.value_counts(table["cluster_id"]).to_pylist()})
        draws = [stable_hash(f"{seed} {figure_id}") for figure_id in table["figure_id"].to_pylist()]
        gathered.append(table.select(_COLUMNS).append_column("draw", pa.array(draws, pa.uint64())))
        if sum(map(len, gathered)) >= _GATHERED:
            best, gathered = _candidates([best, *gathered], each), []
    return _placed(_candidates([best, *gathered], each), each, sizes)


_COLUMNS = ["cluster_id", "figure_id", "distance"]
_EMPTY = pa.schema([*(schema.LABELS.field(name) for name in _COLUMNS), ("draw", pa.uint64())]).empty_table()


def _candidates(tables: list[pa.Table], each: int) -> pa.Table:
    """Those that may still be chosen; of three times as many drawn at random, two thirds may go to the other places."""
    table = pa.concat_tables([piece.cast(_EMPTY.schema) for piece in tables])
    clusters, distances, draws = _arrays(table)
    kept = [
        _first(each, clusters, distances, draws),
        _first(each, clusters, -distances, draws),
        _first(3 * each, clusters, draws, draws),
    ]
    return table.take(np.unique(np.concatenate(kept)))


def _placed(table: pa.Table, each: int, sizes: Counter[int]) -> pa.Table:
    pieces = []
    for place in ("nearest", "farthest", "random"):
        clusters, distances, draws = _arrays(table)
        keys: dict[str, npt.NDArray[Any]] = {"nearest": distances, "farthest": -distances, "random": draws}
        chosen = _first(each, clusters, keys[place], draws)
        ranks = np.arange(len(chosen)) - np.searchsorted(clusters[chosen], clusters[chosen])
        piece = table.take(chosen).drop_columns("draw")
        piece = piece.append_column("place", pa.array([place] * len(chosen), pa.string()))
        pieces.append(piece.append_column("rank", pa.array(ranks, pa.int32())))
        table = table.take(np.setdiff1d(np.arange(len(table)), chosen))
    result = pa.concat_tables(pieces)
    counted = pa.array([sizes[cluster] for cluster in result["cluster_id"].to_pylist()], pa.int64())
    result = result.append_column("cluster_size", counted).select(schema.MEMBERS.names).cast(schema.MEMBERS)
    order = [PLACES.index(place) for place in result["place"].to_pylist()]
    return result.take(np.lexsort((result["rank"].to_numpy(), order, result["cluster_id"].to_numpy())))


def _arrays(table: pa.Table) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.uint64]]:
    return table["cluster_id"].to_numpy(), table["distance"].to_numpy(), table["draw"].to_numpy()


def _first(each: int, clusters: npt.NDArray[np.int32], key: npt.NDArray[Any], tie: npt.NDArray[np.uint64]) -> Indices:
    """Rows with the ``each`` least keys of each cluster, by cluster and key."""
    order: Indices = np.lexsort((tie, key, clusters))
    ordered = clusters[order]
    return order[np.arange(len(order)) - np.searchsorted(ordered, ordered) < each]
