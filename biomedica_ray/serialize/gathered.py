"""What is gathered from all shards into single files: whom to credit, what there is, and how much of it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biomedica_ray import schema
from biomedica_ray.ahead import map_in_threads
from biomedica_ray.reading.place import Place
from biomedica_ray.serialize import before, changes, statistics
from biomedica_ray.store import Store
from biomedica_ray.store.filesystem import read_again
from biomedica_ray.store.root import Root
from biomedica_ray.units import Counts, Flow

ATTRIBUTION, METADATA = "attribution.parquet", "metadata.parquet"
FILES: Mapping[str, pa.Schema] = {ATTRIBUTION: schema.ATTRIBUTION, METADATA: schema.METADATA}
"""Name below dataset/ of each file that has a row for each sample -> its columns."""

_SHARDS_AT_A_TIME = 64
"""Shards whose rows are held: at 2,500 samples and a kilobyte a row, 160 MB."""
_OF_SHARDS = frozenset(schema.SHARDS.names)


class GatheringWorker:
    """Gathers whom to credit, what there is, and counts, from the Parquet files of all shards.

    Args:
        store: The store.
        run_id: The run.
        place: Where the dataset lies.
        shards: Rows of the shards table, in order.
        previous: SHA-256 of the dataset.json of before.
        dates: As :func:`biomedica_ray.serialize.changes.section` takes them.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        place: Place,
        shards: Sequence[dict[str, Any]],
        *,
        previous: str | None,
        dates: Mapping[str, str | None],
    ) -> None:
        self._store, self._run_id, self._place, self._shards = store, run_id, place, shards
        self._previous, self._dates = previous, dates

    def __call__(self, unit: int, mark: str) -> Counts:
        """Write and commit the files; returns the count of the lines of credit."""
        place, folder = self._place, self._place.folder("dataset")
        counted: dict[str, statistics.Counts] = {}
        shards_before, new = self._shards_before(), []
        with self._store.write_unit(place.attribution_stage, unit, mark, self._run_id) as writer:
            tables = {name: writer.table(name, columns, path=f"{folder}/{name}") for name, columns in FILES.items()}
            for shard, samples in samples_of(self._store, folder, self._shards, statistics.COLUMNS):
                for name, columns in FILES.items():
                    tables[name].write(rows_of(shard, samples, columns))
                if shards_before and shard["path"] not in shards_before:
                    new.append(_to_compare(shard, samples))
                counted.setdefault(shard["license_group"], statistics.Counts()).add(samples)
            n_samples = sum(shard["samples"] for shard in self._shards)
            writer.file("changes", f"{folder}/{changes.FILE}").write_text(self._changes(n_samples, shards_before, new))
            found = {group: counted[group].to_json() for group in sorted(counted)}
            writer.file("statistics", f"{folder}/{statistics.FILE}").write_bytes(as_bytes(found))
            rows = min(table.rows for table in tables.values())
            return writer.commit({"attributions": Flow(n_samples, rows)}).counts

    def _changes(self, n_samples: int, shards_before: Collection[str], new: Sequence[pa.Table]) -> str:
        """The file of changes, with what has become of the dataset of before."""
        folder = self._place.folder("dataset")
        found = None
        if shards_before:
            table = pa.concat_tables([changes.COLUMNS_OF_NOW.empty_table(), *new]).unify_dictionaries()
            paths = [shard["path"] for shard in self._shards]
            found = changes.compare(before.samples(self._store, self._place), table, paths, self._left_out)
        entry = changes.section(found, n_samples, self._dates, self._previous)
        try:
            text = self._store.read_bytes(f"{folder}/{changes.FILE}").decode()
        except FileNotFoundError:
            text = ""
        return changes.with_section(text, entry, self._previous)

    def _shards_before(self) -> set[str]:
        """Paths of the shards of before; none where not one of them is left, or nothing says what was in them."""
        if not self._previous:
            return set()
        store, place = self._store, self._place
        before.keep(store, place, f"{place.folder('dataset')}/{METADATA}", self._previous)
        paths = before.paths(store, place)
        return set() if paths.isdisjoint(shard["path"] for shard in self._shards) else paths

    def _left_out(self, ids: pa.ChunkedArray) -> pa.Table:
        """Those figures and panels that are among the errors, and why."""
        errors = self._store.dataset(self._place.stage, "errors")
        return errors.to_table(columns=["what", "kind"], filter=pc.field("what").isin(ids.combine_chunks()))


def as_bytes(document: Any) -> bytes:
    """A JSON document as the bytes of its file."""
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def samples_of(
    root: Root, folder: str, shards: Sequence[Mapping[str, Any]], also: Sequence[str] = ()
) -> Iterator[tuple[Mapping[str, Any], pa.Table]]:
    """Each shard with what its Parquet file has for :data:`FILES`, and the columns ``also``.

    Args:
        root: Where the dataset is.
        folder: The dataset's, below the root.
        shards: Of dataset.json.
        also: Further columns.
    """
    wanted = {name for columns in FILES.values() for name in columns.names} - _OF_SHARDS | set(also)

    def read(shard: Mapping[str, Any]) -> tuple[Mapping[str, Any], pa.Table]:
        place = root.path(f"{folder}/{shard['parquet']}")
        return shard, read_again(lambda: pq.read_table(place, columns=sorted(wanted), filesystem=root.filesystem))

    for start in range(0, len(shards), _SHARDS_AT_A_TIME):
        yield from map_in_threads(read, shards[start : start + _SHARDS_AT_A_TIME])


def rows_of(shard: Mapping[str, Any], samples: pa.Table, columns: pa.Schema) -> pa.Table:
    """The rows of one of :data:`FILES` for the samples of a shard."""
    arrays = [
        pa.repeat(shard[name], samples.num_rows) if name in _OF_SHARDS else samples[name] for name in columns.names
    ]
    return pa.table(arrays, names=columns.names).cast(columns)


def _to_compare(shard: Mapping[str, Any], samples: pa.Table) -> pa.Table:
    """The samples of a shard as :func:`biomedica_ray.serialize.changes.compare` takes them."""
    first = pa.repeat(pa.scalar(0, pa.int32()), samples.num_rows)
    arrays = [
        pa.DictionaryArray.from_arrays(first, [shard[name]]) if name in _OF_SHARDS else samples[name]
        for name in changes.COLUMNS_OF_NOW.names
    ]
    return pa.table(arrays, schema=changes.COLUMNS_OF_NOW)
