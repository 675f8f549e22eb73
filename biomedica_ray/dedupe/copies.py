"""Copies of another set's pictures among the figures of a store that no hash of a whole image finds; on Ray.

Crops, margins, flips, rotations, other brightness, panels. What is sought is prepared once, and goes to every task that
reads the thumbnails of a unit's figures and panels. What these find, by thumbnails alone, are candidates; the best of
each picture are compared pixel by pixel where the figures are, so that image bytes are read for candidates only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
from PIL import Image

from biomedica_ray.dedupe.columns import Rows, grouped
from biomedica_ray.dedupe.config import SEARCH_GB
from biomedica_ray.dedupe.laid_over import Box, in_words, is_small, lay_over
from biomedica_ray.dedupe.sought import Grey, Look, Sought, build_sought, find_candidates
from biomedica_ray.dedupe.tasks import in_tasks, in_tasks_with_rest
from biomedica_ray.dedupe.windows import Thumbnails
from biomedica_ray.images import ImageError, decode
from biomedica_ray.images.thumbnails import SIDE, thumbnail
from biomedica_ray.panels.sure import LEAST_SIDE
from biomedica_ray.store import Commit, Store

log = logging.getLogger(__name__)

MOST_PICTURES = 500_000
"""Pictures up to which a set is sought in this way; docs/dedupe.md says what memory that takes. A larger one is no
evaluation set, and is compared by hashes alone."""
MOST_CANDIDATES = 50
"""Candidates of a picture that are looked at, the best by their thumbnails."""
_PRUNED_AT = 2_000_000
"""Candidates in memory at which those that will not be looked at are dropped; later at twice as many as were left."""
MOST_IN_PART = 500
"""Pictures that a task looks at: two looks of each, with their grey values, are 40 MB."""

_IMAGE = ["figure_id", "image"]
_BOX = ("left", "top", "right", "bottom")
CANDIDATES = pa.schema(
    [
        *((name, pa.int32()) for name in ("picture", "look", "unit")),
        ("row", pa.int64()),
        *((name, pa.int32()) for name in ("number", *_BOX)),
        ("turn", pa.int32()),
        ("larger", pa.bool_()),
        ("window", pa.list_(pa.float32(), 4)),
        ("score", pa.float32()),
    ]
)
"""A guess: which picture and which look of it, where the figure is, its panel's number and box (0: all of it), and the
columns of :class:`~biomedica_ray.dedupe.sought.Candidate`."""

COPIES = pa.schema(
    [
        ("figure_id", pa.string()),
        ("picture", pa.int32()),
        ("how", pa.string()),
        ("distance", pa.float32()),
    ]
)
"""A picture in a figure: which one, in what way, and 1 - correlation of the pixels."""


class Looks(NamedTuple):
    """What is known of a part of a set without the grey values: of each look its picture, and whether it is trimmed."""

    pictures: npt.NDArray[np.int32]
    trimmed: npt.NDArray[np.bool_]
    thumbnails: Thumbnails


Part = tuple[Looks, list[Grey]]
Region = tuple[int, int, Box]
"""A figure or a panel of one: the figure's row, the panel's number and its box, 0 where it is all of the figure."""


def as_part(looks: Iterator[tuple[int, list[Look]]]) -> Part:
    """The looks of a part's pictures, and their grey values in the same order.

    Args:
        looks: Number of each picture among all, and its looks.
    """
    each = [(picture, look) for picture, own in looks for look in own]
    thumbnails = np.stack([look.thumbnail for _, look in each]) if each else np.empty((0, SIDE * SIDE), np.uint8)
    pictures = np.array([picture for picture, _ in each], np.int32)
    trimmed = np.array([look.trimmed for _, look in each], np.bool_)
    return Looks(pictures, trimmed, thumbnails), [look.grey for _, look in each]


def find_copies(
    store: Store,
    extracted: Mapping[int, Commit],
    panelled: Mapping[int, Commit],
    figures: pa.Table,
    *,
    look: Callable[..., Part],
    calls: Mapping[int, tuple[Any, ...]],
) -> pa.Table:
    """Rows of :data:`COPIES` for every figure and picture that it has.

    Args:
        store: The store.
        extracted: Unit -> commit of extract.
        panelled: Unit -> commit of panels, where it has been run.
        figures: unit and row of the figures in which pictures are sought.
        look: Looks at a part of the set, in a task; see :func:`as_part`.
        calls: Arguments of ``look`` for each part, which has :data:`MOST_IN_PART` pictures at most.
    """
    if not figures.num_rows or not calls:
        return COPIES.empty_table()
    parts, greys = [], []
    for _, part, rest in sorted(in_tasks_with_rest(look, calls, SEARCH_GB), key=lambda each: each[0]):
        parts.append(part)
        greys.append(rest)
    joined = Looks(*(np.concatenate([getattr(part, name) for part in parts]) for name in Looks._fields))
    if not len(joined.pictures):
        return COPIES.empty_table()
    starts = np.cumsum([0, *(len(part.pictures) for part in parts)])
    sought = ray.put(build_sought(*joined))
    rows = figures["row"].to_numpy()
    searches = {
        unit: (store, extracted[unit], panelled.get(unit), rows[own], sought)
        for unit, own in grouped(figures["unit"].to_numpy(), rows).items()
    }
    candidates = gather_best(found for _, found in in_tasks(find_in_unit, searches))
    log.info("dedupe: %s places where pictures of other sets may be are looked at", f"{candidates.num_rows:,}")
    which = np.searchsorted(starts, candidates["look"].to_numpy(), side="right") - 1
    checks = {}
    for unit, own in grouped(candidates["unit"].to_numpy(), np.arange(candidates.num_rows)).items():
        guesses = candidates.take(pa.array(own))
        guesses = guesses.append_column("trimmed", pa.array(joined.trimmed[guesses["look"].to_numpy()]))
        needed = np.unique(which[own]).tolist()
        checks[unit] = (store, extracted[unit], guesses, starts[needed], [greys[part] for part in needed])
    copies = [COPIES.empty_table(), *(found for _, found in in_tasks(fetch_and_look, checks, SEARCH_GB))]
    return pa.concat_tables(copies).sort_by([(name, "ascending") for name in ("figure_id", "picture")])


def gather_best(
    tables: Iterable[pa.Table],
    most: int = MOST_CANDIDATES,
    pruned_at: int = _PRUNED_AT,
    *,
    best: Callable[[pa.Table, int], pa.Table] | None = None,
) -> pa.Table:
    """:func:`best_candidates` of all tables, of which those that are not among them are dropped now and then.

    So that each row is sorted a few times at most, that is when there are twice as many as were left the last time.

    Args:
        tables: Rows of candidates.
        most: Candidates of a picture that are kept.
        pruned_at: Rows in memory at which it is done for the first time.
        best: What keeps the best of other rows than candidates; then there must be a table.
    """
    kept, rows, limit = [] if best else [CANDIDATES.empty_table()], 0, pruned_at
    choose = best or best_candidates
    for table in tables:
        kept.append(table)
        rows += table.num_rows
        if rows > limit:
            kept = [choose(pa.concat_tables(kept), most)]
            rows = kept[0].num_rows
            limit = max(pruned_at, 2 * rows)
    return choose(pa.concat_tables(kept), most)


def best_candidates(candidates: pa.Table, most: int) -> pa.Table:
    """The ``most`` candidates of each picture with the highest score, in one order whatever the order they came in.

    Where they have a column ``trained``, those of figures that a model was trained on come before all others.
    """
    trained = [("trained", "descending")] if "trained" in candidates.column_names else []
    order = [("picture", "ascending"), *trained, ("score", "descending"), ("unit", "ascending"), ("row", "ascending")]
    candidates = candidates.sort_by([*order, ("number", "ascending")])
    pictures = candidates["picture"].to_numpy()
    place = np.arange(len(pictures)) - np.searchsorted(pictures, pictures)
    return candidates.filter(pa.array(place < most))


def find_in_unit(store: Store, commit: Commit, panelled: Commit | None, rows: Rows, sought: Sought) -> pa.Table:
    """Rows of candidates in the figures at ``rows`` of a unit, and their panels, by thumbnails alone."""
    return candidates_in(sought, *regions_in(store, commit, panelled, rows), commit.unit)


def candidates_in(sought: Sought, regions: Sequence[Region], thumbnails: Thumbnails, unit: int) -> pa.Table:
    """Rows of candidates in these regions of a unit's figures, by their thumbnails (n, 1024)."""
    found = []
    for candidate in find_candidates(sought, thumbnails):
        row, number, box = regions[candidate.region]
        found.append(
            {
                **candidate._asdict(),
                **dict(zip(_BOX, box, strict=True)),
                "picture": int(sought.pictures[candidate.look]),
                "unit": unit,
                "row": row,
                "number": number,
            }
        )
    return pa.Table.from_pylist(found, schema=CANDIDATES)


def regions_in(store: Store, commit: Commit, panelled: Commit | None, rows: Rows) -> tuple[list[Region], Thumbnails]:
    """The figures at ``rows`` and their panels, and thumbnails (n, 1024)."""
    wanted = rows.tolist()
    if "images" in commit.files:
        figures = list(store.rows(commit, "figures", wanted, ["figure_id", "thumbnail"]))
        looks = [figure["thumbnail"] for figure in figures]
    else:  # extracted by a version that stored none
        figures, looks = [], []
        for figure in store.rows(commit, "figures", wanted, _IMAGE):
            looks.append(_made(figure.pop("image")))
            figures.append(figure)
    regions = [(row, 0, (0, 0, 0, 0)) for row in wanted]
    places = {figure["figure_id"]: row for figure, row in zip(figures, wanted, strict=True)}
    panels = store.read(panelled, "panels", ["figure_id", "panel_boxes", "thumbnails"]).to_pylist() if panelled else []
    for panel in panels:
        if panel["figure_id"] not in places:
            continue
        # of a figure of one panel, and where a version found panels that did not keep their looks, there are none
        for number, (box, look) in enumerate(zip(panel["panel_boxes"], panel["thumbnails"] or (), strict=False), 1):
            edges = tuple(box[name] for name in _BOX)
            if min(edges[2] - edges[0], edges[3] - edges[1]) >= LEAST_SIDE:
                regions.append((places[panel["figure_id"]], number, edges))
                looks.append(look)
    return regions, np.frombuffer(b"".join(looks), np.uint8).reshape(-1, SIDE * SIDE)


def _made(data: bytes) -> bytes:
    """The thumbnail of an image; a blank one, which is like no other, where it does not decode."""
    try:
        return thumbnail(decode(data)).tobytes()
    except ImageError:
        return bytes(SIDE * SIDE)


def fetch_and_look(store: Store, commit: Commit, candidates: pa.Table, starts: Rows, parts: list[Any]) -> pa.Table:
    """:func:`look_at_unit` with the grey values that it needs, taken from one part after another.

    Args:
        store: The store.
        commit: The unit's commit of extract.
        candidates: As there.
        starts: Number of the first look of each part of the set that is needed, ascending.
        parts: References to the grey values of these parts' looks.
    """
    looks = np.unique(candidates["look"].to_numpy())
    which = np.searchsorted(starts, looks, side="right") - 1
    greys: dict[int, Grey] = {}
    for part, (start, ref) in enumerate(zip(starts.tolist(), parts, strict=True)):
        own = ray.get(ref)
        greys |= {look: own[look - start].copy() for look in looks[which == part].tolist()}
    return look_at_unit(store, commit, candidates, greys)


def look_at_unit(store: Store, commit: Commit, candidates: pa.Table, greys: Mapping[int, Grey]) -> pa.Table:
    """Rows of :data:`COPIES` for the candidates of a unit that are copies, of each figure and picture the best one.

    Args:
        store: The store.
        commit: The unit's commit of extract.
        candidates: Rows of candidates, with ``trimmed``: whether their looks are.
        greys: The grey values of these looks.
    """
    rows = np.unique(candidates["row"].to_numpy())
    guesses: dict[int, list[dict[str, Any]]] = {row: [] for row in rows.tolist()}
    for guess in candidates.to_pylist():
        guesses[guess["row"]].append({**guess, "grey": greys[guess["look"]]})
    found: list[dict[str, Any]] = []
    for row, figure in zip(rows.tolist(), store.rows(commit, "figures", rows.tolist(), _IMAGE), strict=True):
        with suppress(ImageError):  # of a store of format 1, not decoded yet; the comparison has an error for it
            image = decode(figure["image"]).convert("L")
            found += ({"figure_id": figure["figure_id"], **copy} for copy in copies_in(image, guesses[row]))
    return pa.Table.from_pylist(found, schema=COPIES)


def copies_in(figure: Image.Image, guesses: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Of each picture the candidate that fits best, where one is a copy: its columns of :data:`COPIES`.

    Args:
        figure: The figure, mode L, upright.
        guesses: Its candidates, each with ``trimmed`` and ``grey`` of its look.
    """
    best: dict[int, dict[str, Any]] = {}
    for guess in guesses:
        box = tuple(guess[name] for name in _BOX) if guess["number"] else (0, 0, *figure.size)
        larger, turn, window = guess["larger"], guess["turn"], tuple(guess["window"])
        if is_small(box, window, larger=larger):
            continue
        aligned, share = lay_over(figure, box, guess["grey"], turn, window, larger=larger)
        if aligned.is_copy:
            how = in_words(share, turn, larger=larger, trimmed=guess["trimmed"])
            copy = {"picture": guess["picture"], "how": how, "distance": 1 - aligned.correlation}
            best[copy["picture"]] = min(best.get(copy["picture"], copy), copy, key=itemgetter("distance"))
    return list(best.values())
