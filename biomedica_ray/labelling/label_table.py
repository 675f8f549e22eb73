"""Members of clusters by the labels table, whatever model's clusters it has."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.annotate.members import Wanted, choose_members
from biomedica_ray.store import Commit, Store, StoreError


def labelled_units(store: Store) -> dict[int, Commit]:
    """Every unit whose figures have clusters.

    Raises:
        StoreError: There are none yet.
    """
    labelled = store.commits("label")
    if not labelled:
        raise StoreError(f"{store.root}: no labels yet; run `biomedica label` first")
    return labelled


def labelled_members(store: Store, labelled: Iterable[Commit], wanted: Wanted) -> tuple[pa.Table, str]:
    """Some members of each cluster, as :func:`choose_members` has them, and the fingerprint of the clustering.

    Figures of articles that left their unit since it was labelled are none of them. Reads the distances of all figures,
    so runs as a task.

    Raises:
        StoreError: Some units have the clusters of an earlier clustering.
    """
    clusterings: set[bytes] = set()
    extracted = store.commits("extract")

    def read(commit: Commit) -> pa.Table:
        table = store.read(commit, "labels", ["figure_id", "cluster_id", "distance"])
        clusterings.add(table.schema.metadata[b"clustering"])
        return still_there(table, extracted.get(commit.unit)).replace_schema_metadata(None)

    table = choose_members(map_in_threads(read, labelled), wanted)
    if len(clusterings) > 1:
        message = "some units have the clusters of an earlier clustering; run `biomedica label` again"
        raise StoreError(f"{store.root}: {message}")
    return table, next(iter(clusterings)).decode()


def still_there(table: pa.Table, extracted: Commit | None) -> pa.Table:
    """The rows of a unit without those of articles that have left it since its figures were embedded.

    Args:
        table: Rows with a figure_id.
        extracted: The unit's commit of its figures; None where it no longer exists.
    """
    article_ids = pc.replace_substring_regex(table["figure_id"], "_[0-9]+$", "")
    left = pc.is_in(article_ids, value_set=pa.array(extracted.dropped if extracted else (), pa.string()))
    return table.filter(pc.invert(left))
