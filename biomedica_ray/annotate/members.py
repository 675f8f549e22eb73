"""Members that stand for a cluster: the nearest to its centre, the farthest, and some drawn from those between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Wanted:
    """How many members of each cluster to choose, in each place; other seeds give other random ones."""

    nearest: int
    farthest: int = 0
    random: int = 0
    seed: int = 0


def choose_members(labels: Iterable[pa.Table], wanted: Wanted) -> pa.Table:
    """Some members of all clusters.

    A cluster of few figures has its nearest ones first, then the farthest. Memory grows with the clusters, not with
    the figures.

    Args:
        labels: Pieces of the labels table: figure_id, cluster_id, distance, and any other columns.
        wanted: How many.

    Returns:
        The chosen rows with place, rank (from 0, in that place) and cluster_size, by cluster, place and rank.
    """
    best: list[pa.Table] = []
    gathered: list[pa.Table] = []
    sizes = Counter[int]()
    for table in labels:
        sizes.update({row["values"]: row["counts"] for row in pc.value_counts(table["cluster_id"]).to_pylist()})
        draws = [stable_hash(f"{wanted.seed} {figure_id}") for figure_id in table["figure_id"].to_pylist()]
        gathered.append(table.append_column("draw", pa.array(draws, pa.uint64())))
        if sum(map(len, gathered)) >= _GATHERED:
            best, gathered = [_candidates([*best, *gathered], wanted)], []
    pieces = [*best, *gathered]
    return _placed(_candidates(pieces, wanted), wanted, sizes) if pieces else schema.MEMBERS.empty_table()


def _candidates(tables: list[pa.Table], wanted: Wanted) -> pa.Table:
    """Those that may still be chosen; of the ones drawn at random, some may go to the other places."""
    table = pa.concat_tables(tables)
    clusters, distances, draws = _arrays(table)
    kept = [
        _first(wanted.nearest, clusters, distances, draws),
        _first(wanted.nearest + wanted.farthest, clusters, -distances, draws),
        _first(wanted.nearest + wanted.farthest + wanted.random, clusters, draws, draws),
    ]
    return table.take(np.unique(np.concatenate(kept)))


def _placed(table: pa.Table, wanted: Wanted, sizes: Counter[int]) -> pa.Table:
    pieces = []
    for place, number in (("nearest", wanted.nearest), ("farthest", wanted.farthest), ("random", wanted.random)):
        clusters, distances, draws = _arrays(table)
        keys: dict[str, npt.NDArray[Any]] = {"nearest": distances, "farthest": -distances, "random": draws}
        chosen = _first(number, clusters, keys[place], draws)
        ranks = np.arange(len(chosen)) - np.searchsorted(clusters[chosen], clusters[chosen])
        piece = table.take(chosen).drop_columns("draw")
        piece = piece.append_column("place", pa.array([place] * len(chosen), pa.string()))
        pieces.append(piece.append_column("rank", pa.array(ranks, pa.int32())))
        table = table.take(np.setdiff1d(np.arange(len(table)), chosen))
    result = pa.concat_tables(pieces)
    counted = pa.array([sizes[cluster] for cluster in result["cluster_id"].to_pylist()], pa.int64())
    result = result.append_column("cluster_size", counted)
    order = [PLACES.index(place) for place in result["place"].to_pylist()]
    return result.take(np.lexsort((result["rank"].to_numpy(), order, result["cluster_id"].to_numpy())))


def _arrays(table: pa.Table) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32], npt.NDArray[np.uint64]]:
    return table["cluster_id"].to_numpy(), table["distance"].to_numpy(), table["draw"].to_numpy()


def _first(each: int, clusters: npt.NDArray[np.int32], key: npt.NDArray[Any], tie: npt.NDArray[np.uint64]) -> Indices:
    """Rows with the ``each`` least keys of each cluster, by cluster and key."""
    order: Indices = np.lexsort((tie, key, clusters))
    ordered = clusters[order]
    return order[np.arange(len(order)) - np.searchsorted(ordered, ordered) < each]
