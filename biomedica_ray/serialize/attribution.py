"""One file of a dataset that says whom to credit for each of its figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from biomedica_ray import schema
from biomedica_ray.ahead import map_in_threads
from biomedica_ray.reading.place import Place
from biomedica_ray.store import Store
from biomedica_ray.store.filesystem import read_again
from biomedica_ray.store.root import Root
from biomedica_ray.units import Counts, Flow

FILE = "attribution.parquet"
"""Its name below dataset/."""

_SHARDS_AT_A_TIME = 64
"""Shards whose lines are held: at 2,500 samples and 500 bytes a line, 80 MB."""


class AttributionWorker:
    """Gathers the lines of credit of all shards.

    Args:
        store: The store.
        run_id: The run.
        place: Where the dataset lies.
        shards: Rows of the shards table, in order.
    """

    def __init__(self, store: Store, run_id: str, place: Place, shards: Sequence[dict[str, Any]]) -> None:
        self._store, self._run_id, self._place, self._shards = store, run_id, place, shards

    def __call__(self, unit: int, mark: str) -> Counts:
        """Write and commit the file; returns the count of its lines."""
        place = self._place
        with self._store.write_unit(place.attribution_stage, unit, mark, self._run_id) as writer:
            path = f"{place.folder('dataset')}/{FILE}"
            table = writer.table("attribution", schema.ATTRIBUTION, path=path)
            for rows in lines(self._store, place.folder("dataset"), [shard["parquet"] for shard in self._shards]):
                table.write(rows)
            samples = sum(shard["samples"] for shard in self._shards)
            return writer.commit({"attributions": Flow(samples, table.rows)}).counts


def lines(root: Root, folder: str, parquet: Sequence[str]) -> Iterator[pa.Table]:
    """The lines of credit of some shards, a table a shard.

    Args:
        root: Where the dataset is.
        folder: The dataset's, below the root.
        parquet: Paths of the shards' Parquet files below the folder.
    """

    def read(path: str) -> pa.Table:
        columns, place = schema.ATTRIBUTION.names, root.path(f"{folder}/{path}")
        return read_again(lambda: pq.read_table(place, columns=columns, filesystem=root.filesystem))

    for start in range(0, len(parquet), _SHARDS_AT_A_TIME):
        yield from map_in_threads(read, parquet[start : start + _SHARDS_AT_A_TIME])
