"""Figures that occur in another set of pictures: the same bytes, the same pixels, or nearly the same picture."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray.dedupe.columns import Rows, distinct, duplicate_rows
from biomedica_ray.dedupe.figures import FindPairs
from biomedica_ray.dedupe.hamming import pair_blocks
from biomedica_ray.dedupe.thumbnails import correlation


@dataclass(frozen=True)
class Occurrences:
    """Figures that occur in another set, or may by their hashes.

    Attributes:
        figures: The n figures.
        others: The pictures of the other set, by name.
        exact: (n,) row of the first picture with a figure's bytes, else with its pixels; -1 if there is none.
        rows: (k,) figures that may be near some picture, ascending.
        near: Hash of such a figure -> rows of the pictures within the distance, ascending.
        other_rows: (m,) all of these pictures, ascending.
    """

    figures: pa.Table
    others: pa.Table
    exact: Rows
    rows: Rows
    near: Mapping[int, Rows]
    other_rows: Rows


def find_occurrences(
    figures: pa.Table, others: pa.Table, max_distance: int, find_pairs: FindPairs = pair_blocks
) -> Occurrences:
    """Everything that the hashes say.

    Args:
        figures: phash of figures; and sha256 and pixel_sha256, unless they are parts of files.
        others: All three of the other set's pictures, and name; rows in any order.
        max_distance: Greatest Hamming distance of the perceptual hashes, in bits.
        find_pairs: As :func:`~biomedica_ray.dedupe.hamming.pair_blocks`.
    """
    others = others.sort_by("name")
    exact = np.full(figures.num_rows, -1)
    for name in ("pixel_sha256", "sha256"):
        if name in figures.column_names:
            same = pc.index_in(figures[name], others[name].combine_chunks()).fill_null(-1).to_numpy()
            exact = np.where(same >= 0, same, exact)
    rest = np.flatnonzero(exact < 0) if others.num_rows else np.empty(0, np.int64)
    ours, theirs = figures["phash"].to_numpy(), others["phash"].to_numpy()
    hashes, hash_ids = np.unique(np.concatenate([ours[rest], theirs]), return_inverse=True)
    our_ids, their_ids = np.split(hash_ids, [len(rest)])
    is_ours, is_theirs, is_near = np.zeros((3, len(hashes)), np.bool_)
    is_ours[our_ids] = is_theirs[their_ids] = True
    same = np.flatnonzero(is_ours & is_theirs)
    across = [np.stack([same, same], axis=1)]
    for pairs in find_pairs(hashes, max_distance):
        across += [each[is_ours[each[:, 0]] & is_theirs[each[:, 1]]] for each in (pairs, pairs[:, ::-1])]

    by_hash = np.argsort(theirs, kind="stable")
    starts = np.searchsorted(theirs[by_hash], hashes, "left")
    stops = np.searchsorted(theirs[by_hash], hashes, "right")
    pictures: dict[int, list[Rows]] = defaultdict(list)
    together = np.concatenate(across)
    is_near[together[:, 0]] = True
    for i, j in together.tolist():
        pictures[int(hashes[i])].append(by_hash[starts[j] : stops[j]])
    near = {value: np.sort(np.concatenate(each)) for value, each in pictures.items()}
    other_rows = distinct(np.concatenate([rest[:0], *near.values()]))
    return Occurrences(figures, others, exact, rest[is_near[our_ids]], near, other_rows)


def occurrences(
    found: Occurrences, ours: npt.NDArray[np.uint8], theirs: npt.NDArray[np.uint8], min_correlation: float
) -> pa.Table:
    """Look at those that may be near: a figure occurs as the picture that looks the same at the least distance.

    Args:
        found: What the hashes say.
        ours: (k, 1024) grey values of ``found.rows``.
        theirs: (m, 1024) grey values of ``found.other_rows``.
        min_correlation: Least correlation of the thumbnails.

    Returns:
        A row of the duplicates table for each figure that occurs in the other set.
    """
    of = found.exact.copy()
    bits = np.zeros(len(of), np.float32)
    hashes, other_hashes = found.figures["phash"].to_numpy(), found.others["phash"].to_numpy()
    for row, look in zip(found.rows.tolist(), ours, strict=True):
        rivals = found.near[int(hashes[row])]
        looks = theirs[np.searchsorted(found.other_rows, rivals)]
        alike = rivals[[correlation(look, other) >= min_correlation for other in looks]]
        if len(alike):
            away = np.bitwise_count(hashes[row] ^ other_hashes[alike])
            of[row], bits[row] = alike[away.argmin()], away.min()
    rows = np.flatnonzero(of >= 0)
    how = np.where(found.exact[rows] >= 0, "same-pixels", "near").astype(object)
    if "sha256" in found.figures.column_names:
        ours, theirs = found.figures["sha256"].take(pa.array(rows)), found.others["sha256"].take(pa.array(of[rows]))
        how[pc.equal(ours, theirs).to_numpy()] = "exact"
    ids, names = (found.figures["figure_id"], rows), (found.others["name"], of[rows])
    return duplicate_rows("figure", "against", ids, names, bits[rows], how=how.tolist())
