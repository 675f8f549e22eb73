"""Figures that repeat others: the same bytes, the same pixels, or nearly the same picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray.dedupe.columns import Rows, codes, duplicate_rows, first_equal
from biomedica_ray.dedupe.groups import best_alike
from biomedica_ray.dedupe.hamming import pair_blocks

FindPairs = Callable[[npt.NDArray[np.uint64], int], Iterable[Rows]]


@dataclass(frozen=True)
class Candidates:
    """Figures that may be near duplicates of one another by their hashes, before the second look.

    Attributes:
        figures: All figures, best first.
        same: (n,) for each figure the best one with its bytes or its pixels; itself if there is none better.
        rows: (k,) the candidates, ascending rows of ``figures``.
        max_distance: The distance, in bits.
    """

    figures: pa.Table
    same: Rows
    rows: Rows
    max_distance: int


def find_candidates(figures: pa.Table, max_distance: int, find_pairs: FindPairs = pair_blocks) -> Candidates:
    """Everything that the hashes say.

    Of figures that repeat one another one is kept: of least rank, with most pixels, the first by article and position.

    Args:
        figures: figure_id, rank, article (its place in the order of articles), position, pixels (width x height),
            sha256, pixel_sha256 and phash; further columns are kept; rows in any order.
        max_distance: Greatest Hamming distance of the perceptual hashes, in bits.
        find_pairs: As :func:`~biomedica_ray.dedupe.hamming.pair_blocks`.
    """
    keys = [("rank", "ascending"), ("pixels", "descending"), ("article", "ascending"), ("position", "ascending")]
    figures = figures.take(pc.sort_indices(figures, sort_keys=keys))
    exact = first_equal(codes(figures["sha256"]))
    same = first_equal(codes(figures["pixel_sha256"]))[exact]
    unlike = np.flatnonzero(same == np.arange(len(same)))
    hashes, hash_ids = np.unique(figures["phash"].to_numpy()[unlike], return_inverse=True)
    shared = np.bincount(hash_ids, minlength=len(hashes)) > 1
    for pairs in find_pairs(hashes, max_distance):
        shared[pairs.reshape(-1)] = True
    return Candidates(figures, same, unlike[shared[hash_ids]], max_distance)


def figure_duplicates(candidates: Candidates, thumbnails: npt.NDArray[np.uint8], min_correlation: float) -> pa.Table:
    """Look at the candidates a second time: each repeats the best kept one that is near and looks the same, or is kept.

    See :func:`biomedica_ray.dedupe.groups.best_alike` for which ones are kept.

    Args:
        candidates: What the hashes say.
        thumbnails: (k, 1024) grey values of ``candidates.rows``.
        min_correlation: Least correlation of the thumbnails.

    Returns:
        A row of the duplicates table for each figure that is not kept, sorted by id.
    """
    figures = candidates.figures
    rows = candidates.rows
    hashes = figures["phash"].to_numpy()[rows]
    best = np.arange(figures.num_rows)
    best[rows] = rows[best_alike(hashes, candidates.max_distance, thumbnails, min_correlation)]
    of = best[candidates.same]
    repeats = np.flatnonzero(of != np.arange(len(of)))
    return _rows(figures, repeats, of[repeats])


def _rows(figures: pa.Table, repeats: Rows, of: Rows) -> pa.Table:
    a, b = figures.take(pa.array(repeats)), figures.take(pa.array(of))
    exact = pc.equal(a["sha256"], b["sha256"])
    same_pixels = pc.equal(a["pixel_sha256"], b["pixel_sha256"])
    kinds = pc.if_else(exact, "exact", pc.if_else(same_pixels, "same-pixels", "near"))
    bits = np.bitwise_count(a["phash"].to_numpy() ^ b["phash"].to_numpy()).astype(np.float32)
    ids = figures["figure_id"]
    return duplicate_rows("figure", kinds.to_pylist(), (ids, repeats), (ids, of), bits).sort_by("id")
