"""The plan of the shards as it is stored: what each shard holds, from before the first is written."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from biomedica_ray.reading.place import Place
from biomedica_ray.serialize.shard_plan import KINDS, Cut, Samples, Shard
from biomedica_ray.store import Store
from biomedica_ray.store.filesystem import read_again

SCHEMA = pa.schema(
    [
        ("kind", pa.int8()),
        ("shard", pa.int32()),
        ("unit", pa.int32()),
        ("row", pa.int32()),
        ("state", pa.uint64()),
        ("article", pa.uint64()),
    ]
)
"""By kind (place in :data:`KINDS`) and index of the shard; the others as in :class:`Samples`."""

_ROW_GROUP = 250_000
"""Rows of a row group: a shard is read out of one or two."""


@dataclass(frozen=True)
class Plan:
    """Everything that is to be known of the shards.

    Attributes:
        settings: Changes with the settings that decide how samples are cut.
        cuts: The samples of each of :data:`KINDS`.
        written: Unit -> what its files were when it was planned.
    """

    settings: str
    cuts: tuple[Cut, ...]
    written: dict[int, str]

    def shards(self) -> list[Shard]:
        """All shards."""
        return [
            Shard(*kind, int(index), int(size))
            for kind, cut in zip(KINDS, self.cuts, strict=True)
            for index, size in zip(*np.unique(cut.shard, return_counts=True), strict=True)
        ]


def write_plan(store: Store, place: Place, plan: Plan) -> None:
    """Store the plan in one step."""
    tables = [_table(kind, cut) for kind, cut in enumerate(plan.cuts)]
    facts = {
        "settings": plan.settings,
        "next_index": [cut.next_index for cut in plan.cuts],
        "written": {str(unit): mark for unit, mark in plan.written.items()},
    }
    table = pa.concat_tables(tables).replace_schema_metadata({"plan": json.dumps(facts)})
    with store.atomic_file(_path(place)) as file:
        pq.write_table(table, file, compression="zstd", row_group_size=_ROW_GROUP)


def read_plan(store: Store, place: Place) -> Plan | None:
    """The plan; None where there is none."""
    try:
        table = _read(store, place)
    except FileNotFoundError:
        return None
    facts: dict[str, Any] = json.loads(table.schema.metadata[b"plan"])
    cuts = []
    for kind, next_index in enumerate(facts["next_index"]):
        rows = table.filter(pc.equal(table["kind"], kind))
        cuts.append(replace(_cut(rows), next_index=next_index))
    return Plan(facts["settings"], tuple(cuts), {int(unit): mark for unit, mark in facts["written"].items()})


def read_shard(store: Store, place: Place, shard: Shard) -> Samples:
    """The samples of one shard."""
    kind = KINDS.index((shard.license_group, shard.split))
    return _cut(_read(store, place, [("kind", "=", kind), ("shard", "=", shard.index)])).samples


def _path(place: Place) -> str:
    return f"{place.folder('shard-plan')}/plan.parquet"


def _read(store: Store, place: Place, filters: list[tuple[str, str, int]] | None = None) -> pa.Table:
    path = store.path(_path(place))
    return read_again(lambda: pq.read_table(path, filesystem=store.filesystem, filters=filters))


def _table(kind: int, cut: Cut) -> pa.Table:
    columns = {"kind": np.full(len(cut.shard), kind, np.int8), "shard": cut.shard}
    columns |= {name: getattr(cut.samples, name) for name in ("unit", "row", "state", "article")}
    return pa.table(columns, schema=SCHEMA)


def _cut(rows: pa.Table) -> Cut:
    samples = Samples(*(rows[name].to_numpy() for name in ("unit", "row", "state", "article")))
    return Cut(samples, rows["shard"].to_numpy())
