"""One file of a dataset that says whom to credit for each of its figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow.parquet as pq

from biomedica_ray import schema
from biomedica_ray.ahead import map_in_threads
from biomedica_ray.reading.place import Place
from biomedica_ray.store import Store
from biomedica_ray.store.filesystem import read_again
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
            for rows in self._lines([shard["parquet"] for shard in self._shards]):
                table.write(rows)
            samples = sum(shard["samples"] for shard in self._shards)
            return writer.commit({"attributions": Flow(samples, table.rows)}).counts

    def _lines(self, paths: list[str]) -> Iterator[list[dict[str, Any]]]:
        for start in range(0, len(paths), _SHARDS_AT_A_TIME):
            yield from map_in_threads(self._read, paths[start : start + _SHARDS_AT_A_TIME])

    def _read(self, parquet: str) -> list[dict[str, Any]]:
        path = self._store.path(f"{self._place.folder('dataset')}/{parquet}")
        columns = schema.ATTRIBUTION.names
        table = read_again(lambda: pq.read_table(path, columns=columns, filesystem=self._store.filesystem))
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows
