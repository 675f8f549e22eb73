"""The figures and panels that a shard holds, read from their units and made into samples."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from biomedica_ray.images import ImageError, decode
from biomedica_ray.panels.sure import edges
from biomedica_ray.reading.place import Place
from biomedica_ray.serialize import samples
from biomedica_ray.serialize.jpeg import as_jpeg, crop_as_jpeg
from biomedica_ray.serialize.material import EXTRACTED
from biomedica_ray.serialize.plan_table import read_shard
from biomedica_ray.serialize.profiles import Profile
from biomedica_ray.serialize.shard_plan import PLACES, Integers, Shard
from biomedica_ray.store import Commit, Store
from biomedica_ray.store.parquet import ParquetRows
from biomedica_ray.units import LostRowsError

Row = dict[str, Any]


class Member(NamedTuple):
    """A figure of a shard, with what goes with it.

    Attributes:
        figure: Columns :data:`biomedica_ray.serialize.samples.FIGURE_COLUMNS`.
        shared: What it shares with its article's others.
        label: Columns :data:`biomedica_ray.serialize.samples.LABEL_COLUMNS` of its row of the labels table.
        panels: Columns :data:`biomedica_ray.serialize.samples.PANEL_COLUMNS` of its row of the panels table.
        shown: Rows of the image_labels table by number, 0 that of the whole of it.
        numbers: What of it is in the shard, ascending: 0 for the whole of it, else a panel's number.
        also_captioned: Other captions of the same picture.
    """

    figure: Row
    shared: samples.ArticleFields
    label: Row | None
    panels: Row | None
    shown: Mapping[int, Row]
    numbers: list[int]
    also_captioned: list[str]


class Made(NamedTuple):
    """A sample as it is written: the JPEG, its text, and its JSON fields."""

    jpg: bytes
    caption: str
    fields: Mapping[str, Any]


def made_samples(member: Member, profile: Profile) -> Iterator[tuple[int, Made | ImageError]]:
    """For each of a member's numbers the JPEG, the text and the fields, or why there is no image."""
    figure, shared, panels = member.figure, member.shared, member.panels
    image = None
    for number in member.numbers:
        try:
            if not number:
                picture = as_jpeg(figure, profile)
                seen: dict[str, Any] = {"panels": panels, "shown": member.shown.get(0)}
                fields = samples.sample_fields(figure, shared, member.label, picture, member.also_captioned, **seen)
                yield number, Made(picture.jpg, figure["caption"], profile.fields(fields))
                continue
            assert panels is not None
            box = panels["panel_boxes"][number - 1]
            image = image or decode(figure["image"])
            picture = crop_as_jpeg(image, edges(box), profile)
        except ImageError as error:
            yield number, error
            continue
        fields = samples.panel_fields(figure, shared, picture, panels, number, shown=member.shown.get(number))
        yield number, Made(picture.jpg, box["words"], profile.fields(fields))


def read_members(store: Store, place: Place, shard: Shard, material: Mapping[int, str]) -> Iterator[Member]:
    """The figures of a shard, unit by unit.

    Args:
        store: The store.
        place: Where the dataset lies.
        shard: One of the plan.
        material: Unit -> path of its material below the root.
    """
    planned = read_shard(store, place, shard)
    for unit in np.unique(planned.unit).tolist():
        yield from _of_unit(store, material[unit], shard, planned.row[planned.unit == unit])


def _of_unit(store: Store, path: str, shard: Shard, places: Integers) -> Iterator[Member]:
    """The figures of a shard that are in a unit, with what goes with each."""
    numbers: dict[int, list[int]] = defaultdict(list)
    for row, number in zip(*(each.tolist() for each in np.divmod(places, PLACES)), strict=True):
        numbers[row].append(number)
    file = ParquetRows(store, path)
    extracted = Commit.from_json(json.loads(file.notes[EXTRACTED]))
    images = store.rows(extracted, "figures", list(numbers), ["image"])
    where = {"license_group": (shard.license_group,) * 2, "split": (shard.split,) * 2}
    rows = _rows(file.within({**where, "row": (min(numbers), max(numbers))}), numbers.keys())
    for row, its in numbers.items():
        found, figure, shared = next(rows, (None, {}, None))
        if found != row or shared is None:
            raise LostRowsError(f"rows lost: row {row} of the unit's figures is not in {store.uri(path)}")
        if (image := next(images, None)) is None:
            raise LostRowsError(f"rows lost: row {row} of the unit's figures has no image")
        shown = {each["panel"]: each for each in figure["shown"]}
        tables = figure["label"], figure["panels"], shown
        yield Member({**figure["figure"], **image}, shared, *tables, its, figure["also_captioned"])


def _rows(pieces: Iterable[pa.Table], wanted: Set[int]) -> Iterator[tuple[int, Row, samples.ArticleFields]]:
    """Those rows of a unit's material that are wanted, each with what it shares with its article's others."""
    for piece in pieces:
        told: dict[str, str] = {}
        last: tuple[str, samples.ArticleFields] | None = None
        for each in piece.to_pylist():
            id_ = each["article_id"]
            if each["article"] is not None:
                told[id_] = each["article"]
            if each["row"] not in wanted:
                continue
            if last is None or last[0] != id_:
                shared = json.loads(told[id_])
                last = id_, samples.ArticleFields(shared["article"], tuple(shared["figures"]), shared["pubmed"])
            yield each["row"], json.loads(each["figure"]), last[1]
