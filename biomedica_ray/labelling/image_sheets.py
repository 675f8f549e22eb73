"""Which single images annotators are asked about: those that the classifier is least sure of, and some at random."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biomedica_ray import schema
from biomedica_ray.ahead import map_in_threads
from biomedica_ray.labelling.label_table import still_there
from biomedica_ray.labelling.proposals_file import Proposal, Proposals
from biomedica_ray.store import Commit, Store, StoreError
from biomedica_ray.units import pmcid_of, stable_hash

IMAGES = "images"
"""What sheets and answers have in place of the clustering where each picture is asked about by itself."""

RANDOM_SHARE = 0.25
"""Share of the images that are drawn at random: by hard ones alone nobody could tell how good the labels are."""

_SPARE = 4
"""Candidates that are kept for each image wanted, as an article has one image on a sheet."""


def image_number(figure_id: str) -> int:
    """What an image is called on a sheet, in place of a cluster's number: 53 bits, as JavaScript's integers are."""
    return stable_hash(figure_id) >> 11


def choose_images(labels: Iterable[pa.Table], wanted: int, answered: Collection[str], seed: int) -> pa.Table:
    """The images to ask about next, one an article; in memory are no more than a few for each of them.

    Those at random are drawn first, from all that have not been asked about, so that they are like all of these: the
    least sure ones come from other articles.

    Args:
        labels: Pieces of the image_labels table.
        wanted: How many.
        answered: figure_ids that annotators have been asked about.
        seed: Of the random ones.

    Returns:
        The rows of those images with ``random``, whether they were drawn: the least sure first, then the random ones.
    """
    known = pa.array(sorted(answered), pa.string())
    best = None
    for piece in labels:
        asked = pc.or_(pc.is_in(piece["figure_id"], value_set=known), pc.equal(piece["image_how"], "expert"))
        table = piece.filter(pc.invert(pc.or_(asked, pc.greater(piece["panel"], 0))))
        draws = [stable_hash(f"{seed} {figure_id}") for figure_id in table["figure_id"].to_pylist()]
        with_draw = table.append_column("draw", pa.array(draws, pa.uint64()))
        best = _best(with_draw if best is None else pa.concat_tables([best, with_draw]), wanted * _SPARE)
    if best is None:
        return schema.IMAGE_LABELS.empty_table().append_column("random", pa.array([], pa.bool_()))
    n_random, articles = round(wanted * RANDOM_SHARE), set[str]()
    drawn = _one_an_article(_order(best, "draw"), best, n_random, articles)
    least_sure = _one_an_article(_order(best, "image_confidence"), best, wanted - n_random, articles)
    random = pa.array([False] * len(least_sure) + [True] * len(drawn), pa.bool_())
    return best.take([*least_sure, *drawn]).append_column("random", random)


def _best(table: pa.Table, each: int) -> pa.Table:
    """The rows that are first by confidence, and those that are first by draw."""
    kept = np.concatenate([_order(table, key)[:each] for key in ("image_confidence", "draw")])
    return table.take(np.unique(kept))


def _order(table: pa.Table, key: str) -> np.ndarray:
    return np.lexsort((table["draw"].to_numpy(), table[key].to_numpy()))


def _one_an_article(order: np.ndarray, table: pa.Table, most: int, articles: set[str]) -> list[int]:
    """The first rows in order, of articles that are not among those taken, to which theirs are added."""
    ids, chosen = table["figure_id"].to_pylist(), list[int]()
    for row in order.tolist():
        article = pmcid_of(ids[row])
        if len(chosen) < most and article not in articles:
            articles.add(article)
            chosen.append(row)
    return chosen


@dataclass(frozen=True)
class ImagesAsked:
    """What is asked, and how.

    Attributes:
        images: How many, beside those that annotators have begun to answer for.
        begun: figure_id of those of which nothing is decided yet -> whether they were drawn at random.
        decided: figure_ids of the others, which need not be asked about again.
        seed: Of the random ones.
    """

    images: int
    begun: Mapping[str, bool]
    decided: Collection[str]
    seed: int


def write_images(store: Store, labelled: list[Commit], file: str, asked: ImagesAsked) -> dict[int, int]:
    """Choose the images and write them as a members table, each as a cluster of its own, unless that has been done.

    Runs as a task, as it reads the confidences of all images.

    Returns:
        The number of each image -> 1, the pictures that are shown of it.

    Raises:
        StoreError: There is nothing left to ask.
    """
    try:
        table = pq.read_table(store.path(file), columns=["cluster_id"], filesystem=store.filesystem)
    except FileNotFoundError:
        columns = ["figure_id", "panel", "image_how", "image_confidence", "image_label"]
        extracted = store.commits("extract")

        def read(commit: Commit) -> pa.Table:
            return still_there(store.read(commit, "image_labels", columns), extracted.get(commit.unit))

        pieces = map_in_threads(read, labelled)
        chosen = choose_images(pieces, asked.images, {*asked.decided, *asked.begun}, asked.seed)
        new = zip(chosen["figure_id"].to_pylist(), chosen["random"].to_pylist(), strict=True)
        figures = {**dict(new), **asked.begun}
        if not figures:
            raise StoreError(f"{store.root}: annotators have answered all images") from None
        rows = [
            {
                "cluster_id": image_number(figure),
                "cluster_size": 1,
                "place": "random" if random else "nearest",
                "rank": 0,
                "figure_id": figure,
                "distance": 0.0,
            }
            for figure, random in sorted(figures.items())
        ]
        table = pa.Table.from_pylist(rows, schema.MEMBERS)
        with store.atomic_file(file) as path:
            pq.write_table(table, path, compression="zstd")
    return dict.fromkeys(table["cluster_id"].to_pylist(), 1)


def image_proposals(store: Store, labelled: Mapping[int, Commit], file: str, classifier: str) -> Proposals:
    """What the classifier says of each image in a members table.

    Runs as a task, as it reads the labels of their units.

    Args:
        store: The store.
        labelled: The commits of image_labels.
        file: The members table.
        classifier: What to call it on the sheets.
    """
    figures = pq.read_table(store.path(file), columns=["figure_id"], filesystem=store.filesystem)[
        "figure_id"
    ].to_pylist()
    units = store.units_of(set(map(pmcid_of, figures))).keys() & labelled.keys()

    def read(unit: int) -> list[tuple[int, list[Proposal]]]:
        table = store.read(labelled[unit], "image_labels", ["figure_id", "panel", "image_label", "image_confidence"])
        wanted = pc.and_(pc.is_in(table["figure_id"], value_set=pa.array(figures)), pc.equal(table["panel"], 0))
        return [
            (image_number(row["figure_id"]), [Proposal(row["image_label"], round(row["image_confidence"], 4))])
            for row in table.filter(wanted).to_pylist()
        ]

    return Proposals(classifier, dict(pair for pairs in map_in_threads(read, sorted(units)) for pair in pairs))
