"""What the samples of a unit are made of beside the bytes of images, in one file that its shards are written from.

It is read once from the six tables of the unit and written by licence group and split, as each shard is of one. Whoever
writes a shard reads the row groups of its own, and asks for no other table. Only those units are gathered whose samples
are in shards that have to be written, and the files go when these are there.

Figures and articles are JSON: as columns they would be eighty, and the end of the file, where Parquet tells of each
column of each row group, would be longer than what most shards read.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any

import pyarrow as pa

from biomedica_ray import schema
from biomedica_ray.messages import one_line
from biomedica_ray.reading.place import Place
from biomedica_ray.serialize import samples
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.serialize.shard_plan import KINDS
from biomedica_ray.serialize.tables import read_pubmed, read_rows
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import Counts

log = logging.getLogger(__name__)

Row = dict[str, Any]
Kind = tuple[str, str]
"""Licence group and split."""

_TABLE = "material"
EXTRACTED = b"extract"
"""Key in the footer: the record of the commit that the rows are of, so that nobody asks for it to read the images."""

_CHOSEN = ["row", "panel", "license_group", "split", "also_captioned"]
_OF_A_FIGURE = [name for name in samples.FIGURE_COLUMNS if name != "image"]
_OF_FIGURES = list(dict.fromkeys([*_OF_A_FIGURE, *samples.SET_COLUMNS]))
_TEXTS: Row = {"abstract": None, "sections": []}
"""What no sample for training tells of its article, and most of what there is of it."""
_GROUP_BYTES = 4 * 2**20
"""A row group ends, with an article, when it has so many bytes."""


class MaterialWorker:
    """Gathers what the samples of a unit are made of."""

    def __init__(self, store: Store, run_id: str, config: SerializeConfig) -> None:
        self._store, self._run_id, self._place = store, run_id, config.place
        self._left_out = _TEXTS if config.profile == "train" else {}

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit the material of one unit. Nothing is counted: what were missing, its shard would miss."""
        extracted = self._store.commit("extract", unit)
        kinds = self._chosen(unit, extracted)
        columns = schema.MATERIAL.with_metadata({EXTRACTED: json.dumps(extracted.to_json())})
        with self._store.write_unit(self._place.material_stage, unit, mark, self._run_id) as writer:
            table = writer.table(_TABLE, columns, directory=self._place.folder(_TABLE))
            for kind in KINDS:
                for stretch in _stretches(kinds[kind]):
                    table.write(pa.Table.from_pylist(_as_rows(stretch), schema=columns))
                    table.end_row_group(_GROUP_BYTES)
                table.end_row_group(0)
            return writer.commit({}).counts

    def _chosen(self, unit: int, extracted: Commit) -> dict[Kind, list[Row]]:
        """The figures that are samples, whole or in part, by licence group and split, with what goes with each."""
        store = self._store
        rows = store.read(store.commit(self._place.stage, unit), "samples", _CHOSEN).to_pylist()
        kind_of = {row["row"]: (row["license_group"], row["split"]) for row in rows}
        captions = {row["row"]: row["also_captioned"] for row in rows if not row["panel"]}
        figures = store.read(extracted, "figures", _OF_FIGURES, row="row").to_pylist()
        shared = self._shared(unit, extracted, figures)
        (labels,) = read_rows(store, "label", unit, "labels", columns=samples.LABEL_COLUMNS)
        (panels,) = read_rows(store, "panels", unit, "panels", columns=samples.PANEL_COLUMNS)
        (classified,) = read_rows(store, "classify", unit, "image_labels")
        shown: dict[str, list[Row]] = defaultdict(list)
        for label in classified:
            shown[label["figure_id"]].append(label)
        tables = {"label": labels, "panels": panels}
        by_id = {name: {row["figure_id"]: row for row in rows} for name, rows in tables.items()}
        kinds: dict[Kind, list[Row]] = defaultdict(list)
        for figure in figures:
            row, article_id = figure["row"], figure["article_id"]
            if row in kind_of:
                its: Row = {name: rows.get(figure["figure_id"]) for name, rows in by_id.items()}
                its["figure"] = {name: figure[name] for name in _OF_A_FIGURE}
                its["also_captioned"] = captions.get(row, [])
                its["shown"] = shown[figure["figure_id"]]
                group, split = kind_of[row]
                where = {"row": row, "license_group": group, "split": split, "article_id": article_id}
                kinds[group, split].append({**where, "figure": its, "article": shared[article_id]})
        return kinds

    def _shared(self, unit: int, extracted: Commit, figures: Sequence[Row]) -> dict[str, Row]:
        """What the samples of an article share, by article_id."""
        columns = [name for name in samples.ARTICLE_COLUMNS if name not in self._left_out]
        articles = self._store.read(extracted, "articles", columns).to_pylist()
        pubmed = read_pubmed(self._store, unit, samples.PUBMED_COLUMNS)
        sets: dict[str, list[Row]] = defaultdict(list)
        for figure in figures:
            sets[figure["article_id"]].append({name: figure[name] for name in samples.SET_COLUMNS})
        shared: dict[str, Row] = {}
        for article in articles:
            id_ = article["article_id"]
            told = {**article, **self._left_out}
            shared[id_] = {"article": told, "figures": sets[id_], "pubmed": pubmed.get(id_)}
        return shared


def paths(commits: Mapping[int, Commit]) -> dict[int, str]:
    """Unit -> path of its material below the root."""
    return {unit: commit.files[_TABLE] for unit, commit in commits.items()}


def discard(store: Store, place: Place) -> None:
    """Remove the material of all units by a few requests: the records first, so that nobody looks for the files.

    What cannot be removed now, or was left by a run that was killed meanwhile, the next run removes.
    """
    for folder in (f"commits/{place.material_stage}", place.folder(_TABLE)):
        try:
            store.delete_folder(folder)
        except OSError as error:
            log.warning("serialize: %s cannot be removed now: %s", store.uri(folder), one_line(error))
            return


def _stretches(figures: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Figures cut where no article goes on."""
    last = {figure["article_id"]: at for at, figure in enumerate(figures)}
    start = end = 0
    for at, figure in enumerate(figures):
        end = max(end, last[figure["article_id"]])
        if at == end:
            yield figures[start : at + 1]
            start = at + 1


def _as_rows(figures: Sequence[Row]) -> list[Row]:
    """Rows of the table; what an article's figures share is in the row of the first."""
    told: set[str] = set()
    rows = []
    for figure in figures:
        is_first = figure["article_id"] not in told
        told.add(figure["article_id"])
        rows.append(
            {
                **figure,
                "figure": _as_json(figure["figure"]),
                "article": _as_json(figure["article"]) if is_first else None,
            }
        )
    return rows


def _as_json(document: Row) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=date.isoformat)
