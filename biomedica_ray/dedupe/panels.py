"""Panels of compound figures that repeat another picture: of the store, or of another set.

A compound figure is like none of its panels, by any hash; so each panel is compared for itself, with the hashes and
thumbnails of its crop that the table panels has. Panels repeat figures before panels, and never what is of their own
article: its plots of other data with the same axes are often within the distance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray.dedupe.columns import Rows, duplicate_rows
from biomedica_ray.dedupe.figures import FindPairs
from biomedica_ray.dedupe.groups import best_alike
from biomedica_ray.dedupe.hamming import pair_blocks
from biomedica_ray.images.thumbnails import SIDE
from biomedica_ray.panels.sure import LEAST_SIDE
from biomedica_ray.schema import panel_id
from biomedica_ray.store import Commit, Store

PANELS = pa.schema(
    [
        ("panel_id", pa.string()),
        ("figure_id", pa.string()),
        ("unit", pa.int32()),
        ("row", pa.int64()),
        ("number", pa.int32()),
        ("phash", pa.uint64()),
    ]
)
"""What is compared: where a panel is (row of its figure in the unit's table, number in it from 1), and its hash.

It is no file of its own, so it has no digests.
"""


class NearPanels(NamedTuple):
    """Panels and figures that may be near one another by their hashes.

    Attributes:
        figures: (k,) rows of the figures, ascending.
        panels: (m,) rows of the panels, ascending.
    """

    figures: Rows
    panels: Rows


def read_panels(store: Store, commit: Commit) -> pa.Table:
    """The panels of a unit's compound figures; none where a version found them that did not hash them."""
    rows = store.read(commit, "panels", ["figure_id", "panel_boxes", "phashes"], row="row")
    n_hashes = pc.fill_null(pc.list_value_length(rows["phashes"]), 0)  # 0 of figures of one panel
    rows = rows.filter(pc.greater(n_hashes, 0))
    boxes, hashes = rows["panel_boxes"].combine_chunks(), rows["phashes"].combine_chunks()
    edges = boxes.flatten()
    left, top, right, bottom = (edges.field(name).to_numpy() for name in ("left", "top", "right", "bottom"))
    lengths = boxes.value_lengths().to_numpy()
    numbers = np.arange(len(edges)) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
    names = rows["figure_id"].combine_chunks().take(pc.list_parent_indices(boxes))
    panels = pa.table(
        {
            "panel_id": pa.array(map(panel_id, names.to_pylist(), numbers.tolist()), pa.string()),
            "figure_id": names,
            "unit": np.full(len(edges), commit.unit, np.int32),
            "row": np.repeat(rows["row"].to_numpy(), lengths),
            "number": numbers.astype(np.int32),
            "phash": hashes.flatten(),
        },
        schema=PANELS,
    )
    return panels.filter(np.minimum(right - left, bottom - top) >= LEAST_SIDE)


def read_panel_thumbnails(store: Store, commit: Commit, rows: Rows, numbers: Rows) -> npt.NDArray[np.uint8]:
    """Thumbnails (n, 1024) of panels of a unit, by the rows of their figures (ascending) and their numbers there."""
    wanted = np.unique(rows)
    found = store.rows(commit, "panels", wanted.tolist(), ["thumbnails"])
    by_row = {row: each["thumbnails"] for row, each in zip(wanted.tolist(), found, strict=True)}
    looks = [by_row[row][number - 1] for row, number in zip(rows.tolist(), numbers.tolist(), strict=True)]
    return np.frombuffer(b"".join(looks), np.uint8).reshape(len(looks), SIDE * SIDE)


def near_panels(
    figures: pa.Table, panels: pa.Table, max_distance: int, find_pairs: FindPairs = pair_blocks
) -> NearPanels:
    """Everything that the hashes say of panels and what is of another article; most that is near is of the same one.

    Args:
        figures: phash and article (a number) of figures.
        panels: The same of panels.
        max_distance: Greatest Hamming distance of the perceptual hashes, in bits.
        find_pairs: As :func:`~biomedica_ray.dedupe.hamming.pair_blocks`.
    """
    n = figures.num_rows
    hashes, ids = np.unique(
        np.concatenate([figures["phash"].to_numpy(), panels["phash"].to_numpy()]), return_inverse=True
    )
    articles = np.concatenate([figures["article"].to_numpy(), panels["article"].to_numpy()])
    first, last = np.full(len(hashes), np.iinfo(np.int64).max), np.full(len(hashes), -1)
    np.minimum.at(first, ids, articles)
    np.maximum.at(last, ids, articles)
    has_panels = np.bincount(ids[n:], minlength=len(hashes)) > 0
    near = has_panels & (first < last)
    for pairs in find_pairs(hashes, max_distance):
        a, b = pairs.T
        elsewhere = np.minimum(first[a], first[b]) < np.maximum(last[a], last[b])
        near[pairs[elsewhere & (has_panels[a] | has_panels[b])].reshape(-1)] = True
    return NearPanels(np.flatnonzero(near[ids[:n]]), np.flatnonzero(near[ids[n:]]))


def panel_repeats(
    figures: pa.Table,
    panels: pa.Table,
    near: NearPanels,
    looks: tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]],
    *,
    max_distance: int,
    min_correlation: float,
) -> pa.Table:
    """Look at those a second time: a row of the duplicates table for each panel that repeats another picture.

    Args:
        figures: figure_id, phash and article (a number), best first.
        panels: Rows of :data:`PANELS`, those of better figures first, with article.
        near: What the hashes say.
        looks: Thumbnails (k, 1024) of the figures and (m, 1024) of the panels that are near.
        max_distance: As before.
        min_correlation: Least correlation of the thumbnails.
    """
    chosen = [table.take(pa.array(rows)) for table, rows in zip((figures, panels), near, strict=True)]
    ids = pa.chunked_array([*chosen[0]["figure_id"].chunks, *chosen[1]["panel_id"].chunks], pa.string())
    owners = np.concatenate([table["article"].to_numpy() for table in chosen])
    hashes = np.concatenate([table["phash"].to_numpy() for table in chosen])
    best = best_alike(hashes, max_distance, np.concatenate(looks), min_correlation, owners)
    rows = np.flatnonzero(best != np.arange(len(best)))
    rows = rows[rows >= len(near.figures)]
    bits = np.bitwise_count(hashes[rows] ^ hashes[best[rows]]).astype(np.float32)
    return duplicate_rows("panel", "near", (ids, rows), (ids, best[rows]), bits).sort_by("id")


def with_figures(leaks: pa.Table, panels: pa.Table) -> pa.Table:
    """The rows of panels that occur in another set, and one for each of their figures, which shows the same picture.

    Args:
        leaks: Rows of the duplicates table, of panels, kind against.
        panels: Rows of :data:`PANELS`.
    """
    place = pc.index_in(leaks["id"], panels["panel_id"].combine_chunks())
    figures = leaks.set_column(0, "id", panels["figure_id"].take(place)).to_pylist()
    least: dict[str, dict[str, object]] = {}
    for row in sorted(figures, key=lambda each: (each["distance"], each["of"]), reverse=True):
        least[row["id"]] = {**row, "entity": "figure"}
    of_figures = pa.Table.from_pylist([least[id_] for id_ in sorted(least)], schema=leaks.schema)
    of_panels = leaks.set_column(2, leaks.schema.field("entity"), pa.array(["panel"] * len(leaks), pa.string()))
    return pa.concat_tables([of_figures, of_panels])
