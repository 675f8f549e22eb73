"""Which figures of a store a model that was trained on its datasets has seen."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from biomedica_ray.reading.place import Place
from biomedica_ray.store import Store
from biomedica_ray.units import fingerprint

_METADATA = "metadata.parquet"
"""Beside the shards of a dataset: what each sample is, and which split it is in."""


def trained_figures(store: Store, figure_ids: Collection[str]) -> set[str] | None:
    """Those of some figures that a train split of the store's datasets has.

    None where there is no dataset, or one of an earlier version that does not say what is in it.
    """
    paths = [_metadata(place) for place in _places(store)]
    if not paths or not all(map(store.has, paths)):
        return None
    rows = pads.dataset([store.path(path) for path in paths], filesystem=store.filesystem, format="parquet")
    wanted = (pc.field("split") == "train") & pc.field("figure_id").isin(pa.array(sorted(figure_ids), pa.string()))
    return set(rows.to_table(["figure_id"], filter=wanted)["figure_id"].to_pylist())


def datasets_mark(store: Store) -> str:
    """Changes when :func:`trained_figures` may be others."""
    documents = {
        place.document: [hashlib.sha256(store.read_bytes(place.document)).hexdigest(), store.has(_metadata(place))]
        for place in _places(store)
    }
    return fingerprint(documents)


def _metadata(place: Place) -> str:
    return f"{place.folder('dataset')}/{_METADATA}"


def _places(store: Store) -> Iterator[Place]:
    """Where datasets are: of all figures and of selections, as they are and by profiles."""
    for selection in (None, *store.folders("selections")):
        for profile in (None, *store.folders(Place(selection).folder("profiles"))):
            if store.has((place := Place(selection, profile)).document):
                yield place
