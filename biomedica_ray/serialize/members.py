"""The figures and panels that a shard holds, read from their units and made into samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute as pc

from biomedica_ray.images import ImageError, decode
from biomedica_ray.panels.sure import edges
from biomedica_ray.reading.place import Place
from biomedica_ray.serialize import samples
from biomedica_ray.serialize.jpeg import as_jpeg, crop_as_jpeg
from biomedica_ray.serialize.plan_table import read_shard
from biomedica_ray.serialize.profiles import Profile
from biomedica_ray.serialize.shard_plan import PLACES, Integers, Shard
from biomedica_ray.store import Store

Row = dict[str, Any]


class Member(NamedTuple):
    """A figure of a shard, with what goes with it.

    Attributes:
        figure: Columns :data:`biomedica_ray.serialize.samples.FIGURE_COLUMNS`.
        shared: What it shares with its article's others.
        label: Its row of the labels table.
        panels: Its row of the panels table.
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


def read_members(store: Store, place: Place, shard: Shard) -> Iterator[Member]:
    """The figures of a shard, unit by unit."""
    planned = read_shard(store, place, shard)
    for unit in np.unique(planned.unit).tolist():
        yield from _of_unit(store, place, unit, planned.row[planned.unit == unit])


def _of_unit(store: Store, place: Place, unit: int, places: Integers) -> Iterator[Member]:
    """The figures of a shard that are in a unit, with what goes with each."""
    numbers: dict[int, list[int]] = defaultdict(list)
    for row, number in zip(*(each.tolist() for each in np.divmod(places, PLACES)), strict=True):
        numbers[row].append(number)
    selected = store.commit(place.stage, unit)
    chosen = store.read(selected, "samples", ["row", "panel", "also_captioned"]).to_pylist()
    captions = {row["row"]: row["also_captioned"] for row in chosen if not row["panel"]}
    extracted = store.commit("extract", unit)
    articles = store.read(extracted, "articles", samples.ARTICLE_COLUMNS)
    sets = store.read(extracted, "figures", samples.SET_COLUMNS)
    (labelled,) = read_rows(store, "label", unit, "labels")
    labels = {row["figure_id"]: row for row in labelled}
    (found,) = read_rows(store, "panels", unit, "panels", columns=samples.PANEL_COLUMNS)
    panels = {row["figure_id"]: row for row in found}
    (classified,) = read_rows(store, "classify", unit, "image_labels")
    shown: dict[str, dict[int, Row]] = defaultdict(dict)
    for row in classified:
        shown[row["figure_id"]][row["panel"]] = row
    pubmed = read_pubmed(store, unit)
    shared: samples.ArticleFields | None = None
    figures = store.rows(extracted, "figures", list(numbers), samples.FIGURE_COLUMNS)
    for at, figure in zip(numbers, figures, strict=True):
        if shared is None or shared.article["article_id"] != figure["article_id"]:
            own = pc.field("article_id") == figure["article_id"]
            article = articles.filter(own).to_pylist()[0]
            its_set = tuple(sets.filter(own).to_pylist())
            shared = samples.ArticleFields(article, its_set, pubmed.get(article["article_id"]))
        id_ = figure["figure_id"]
        tables = labels.get(id_), panels.get(id_), shown.get(id_, {})
        yield Member(figure, shared, *tables, numbers[at], captions.get(at, []))


def read_pubmed(store: Store, unit: int) -> dict[str, Row]:
    """PubMed's records of a unit's articles, by article_id."""
    (rows,) = read_rows(store, "enrich", unit, "pubmed")
    return {row["article_id"]: row for row in rows}


def read_rows(
    store: Store, stage: str, unit: int, *tables: str, columns: Sequence[str] | None = None
) -> list[list[Row]]:
    """The rows of tables of a unit; none where the stage has not done the unit, or had no such table yet."""
    try:
        commit = store.commit(stage, unit)
    except FileNotFoundError:
        return [[] for _ in tables]
    return [store.read(commit, table, columns).to_pylist() if table in commit.files else [] for table in tables]
