"""Figures that repeat others: the same bytes, the same pixels, or nearly the same picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray import schema
from biomedica_ray.dedupe.columns import codes, first_equal
from biomedica_ray.dedupe.hamming import distances, pairs_within
from biomedica_ray.dedupe.thumbnails import correlations

Rows = npt.NDArray[np.int64]
FindPairs = Callable[[npt.NDArray[np.uint64], int], Rows]


@dataclass(frozen=True)
class Candidates:
    """Figures that may be near duplicates of one another by their hashes, before the second look.

    Attributes:
        figures: All figures, best first.
        same: (n,) for each figure the best one with its bytes or its pixels; itself if there is none better.
        rows: (k,) the candidates, ascending rows of ``figures``.
        hash_ids: (k,) number of each candidate's hash.
        near: Hash number -> numbers of the other hashes within the distance.
    """

    figures: pa.Table
    same: Rows
    rows: Rows
    hash_ids: Rows
    near: dict[int, list[int]]


def find_candidates(figures: pa.Table, max_distance: int, find_pairs: FindPairs = pairs_within) -> Candidates:
    """Everything that the hashes say.

    Of figures that repeat one another one is kept: of least rank, with most pixels, the first by article and position.

    Args:
        figures: figure_id, rank, article (its place in the order of articles), position, pixels (width x height),
            sha256, pixel_sha256 and phash; further columns are kept; rows in any order.
        max_distance: Greatest Hamming distance of the perceptual hashes, in bits.
        find_pairs: As :func:`~biomedica_ray.dedupe.hamming.pairs_within`.
    """
    keys = [("rank", "ascending"), ("pixels", "descending"), ("article", "ascending"), ("position", "ascending")]
    figures = figures.take(pc.sort_indices(figures, sort_keys=keys))
    exact = first_equal(codes(figures["sha256"]))
    same = first_equal(codes(figures["pixel_sha256"]))[exact]
    unlike = np.flatnonzero(same == np.arange(len(same)))
    hashes, hash_ids = np.unique(figures["phash"].to_numpy()[unlike], return_inverse=True)
    pairs = find_pairs(hashes, max_distance)
    shared = np.bincount(hash_ids, minlength=len(hashes)) > 1
    shared[pairs.reshape(-1)] = True
    chosen = shared[hash_ids]
    near: dict[int, list[int]] = defaultdict(list)
    for a, b in pairs.tolist():
        near[a].append(b)
        near[b].append(a)
    return Candidates(figures, same, unlike[chosen], hash_ids[chosen], dict(near))


def figure_duplicates(candidates: Candidates, thumbnails: npt.NDArray[np.uint8], min_correlation: float) -> pa.Table:
    """Look at the candidates, best first: each repeats the best kept one that is near and looks the same, or is kept.

    So every figure is within the distance of the one it repeats, and none is linked to it through others only.

    Args:
        candidates: What the hashes say.
        thumbnails: (k, 1024) grey values of ``candidates.rows``.
        min_correlation: Least correlation of the thumbnails.

    Returns:
        A row of the duplicates table for each figure that is not kept, sorted by id.
    """
    figures = candidates.figures
    best = np.arange(figures.num_rows)
    kept: dict[int, list[int]] = defaultdict(list)
    for index, hash_id in enumerate(candidates.hash_ids.tolist()):
        rivals = sorted(i for near in (hash_id, *candidates.near.get(hash_id, ())) for i in kept.get(near, ()))
        alike = correlations(thumbnails[index], thumbnails[rivals]) >= min_correlation
        if alike.any():
            best[candidates.rows[index]] = candidates.rows[rivals[int(alike.argmax())]]
        else:
            kept[hash_id].append(index)
    of = best[candidates.same]
    repeats = np.flatnonzero(of != np.arange(len(of)))
    return _rows(figures, repeats, of[repeats])


def _rows(figures: pa.Table, repeats: Rows, of: Rows) -> pa.Table:
    a, b = figures.take(pa.array(repeats)), figures.take(pa.array(of))
    exact = pc.equal(a["sha256"], b["sha256"])
    same_pixels = pc.equal(a["pixel_sha256"], b["pixel_sha256"])
    return pa.table(
        {
            "id": a["figure_id"],
            "of": b["figure_id"],
            "entity": pa.repeat("figure", len(repeats)),
            "kind": pc.if_else(exact, "exact", pc.if_else(same_pixels, "same-pixels", "near")),
            "distance": pa.array(distances(a["phash"].to_numpy(), b["phash"].to_numpy())),
        },
        schema=schema.DUPLICATES,
    ).sort_by("id")
