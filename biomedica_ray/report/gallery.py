"""What the report shows as pictures: groups of duplicates, clusters, and some figures with what is known about them."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.annotate.members import Wanted, choose_members
from biomedica_ray.pages.formats import shorten
from biomedica_ray.pages.pictures import LARGE, Picture, article_url, picture, read_figures, read_pictures
from biomedica_ray.report.collect import draw, values
from biomedica_ray.schema import FIGURE_REPEATS
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import stable_hash

GROUPS = 12
GROUP_MEMBERS = 5
"""Repeats shown of each group."""

CLUSTERS = 24
NEAREST, FURTHEST = 8, 3
"""Members shown of each cluster: the nearest to its centre, which are typical, and the furthest, which are its edge."""

FIGURES = 12
_CAPTION, _PARAGRAPH = 1200, 300
"""Characters shown of a caption, and of a panel's text or a mention."""

_CARD_COLUMNS = [
    "article_id",
    "kind",
    "label",
    "caption",
    "panels",
    "mentions",
    "permissions",
    "license_code",
    "third_party",
    "format",
    "width",
    "height",
    "image",
]
_ARTICLE_COLUMNS = ["article_id", "title", "journal", "published", "license_code"]


@dataclass(frozen=True)
class Repeat:
    """A figure that repeats another."""

    figure_id: str
    kind: str
    distance: float
    picture: Picture


@dataclass(frozen=True)
class Group:
    """A kept figure and those that repeat it.

    Attributes:
        kept_id: The kept figure.
        kept: The kept figure.
        size: Figures that repeat it.
        repeats: The first of these.
        boilerplate: The picture is boilerplate, so the kept one is left out too.
    """

    kept_id: str
    kept: Picture
    size: int
    repeats: tuple[Repeat, ...]
    boilerplate: bool


@dataclass(frozen=True)
class Member:
    """A figure of a cluster, and how near to its centre it is: 1 for the nearest."""

    figure_id: str
    confidence: float
    picture: Picture


@dataclass(frozen=True)
class Sheet:
    """A cluster: its size, its labels, and some of its members."""

    cluster_id: int
    size: int
    labels: tuple[str, ...]
    subtype: str
    nearest: tuple[Member, ...]
    furthest: tuple[Member, ...]


@dataclass(frozen=True)
class Card:
    """A figure with what is known about it.

    Attributes:
        figure_id: The figure.
        picture: The figure.
        label: Its label as printed; its kind where it has none.
        file: Kind, and format and size of the image.
        caption: The caption, shortened.
        panels: Label and text of each panel.
        mentions: Section and text of paragraphs that refer to it.
        article: Title of the article.
        source: Journal and year.
        licence: Licence of the article, and what is said of the figure itself.
        labels: Global concepts, where it has been labelled.
        url: The article at PubMed Central; empty for articles from elsewhere.
    """

    figure_id: str
    picture: Picture
    label: str
    file: str
    caption: str
    panels: tuple[tuple[str, str], ...]
    mentions: tuple[tuple[str, str], ...]
    article: str
    source: str
    licence: str
    labels: tuple[str, ...]
    url: str


def duplicate_groups(store: Store, extracted: Mapping[int, Commit]) -> list[Group]:
    """Some groups of figures that repeat one another.

    Those are shown whose kept figure has the smallest hashes: a random sample that each unit can draw by itself, and
    whose members are all found, whatever unit they are in.
    """
    sizes: Counter[str] = Counter()
    repeats: dict[str, list[dict[str, Any]]] = defaultdict(list)
    boilerplate: set[str] = set()
    commits = (commit for commit in store.commits("dedupe").values() if _may_repeat(commit))
    for table, useless in map_in_threads(lambda commit: _few_groups(store, commit), commits):
        boilerplate |= useless
        for kept_id, rows in _by(table.to_pylist(), "of").items():
            sizes[kept_id] += len(rows)
            repeats[kept_id] = sorted(repeats[kept_id] + rows, key=_closeness)[:GROUP_MEMBERS]
        for kept_id in sorted(repeats, key=stable_hash)[GROUPS:]:
            del repeats[kept_id], sizes[kept_id]
    pictures = read_pictures(store, extracted, [*repeats, *(row["id"] for rows in repeats.values() for row in rows)])
    groups = (
        Group(
            kept_id,
            pictures[kept_id],
            sizes[kept_id],
            tuple(Repeat(row["id"], row["kind"], row["distance"], pictures[row["id"]]) for row in rows),
            kept_id in boilerplate,
        )
        for kept_id, rows in repeats.items()
    )
    return sorted(groups, key=lambda group: (-group.size, group.kept_id))


def _may_repeat(commit: Commit) -> bool:
    """Whether a unit may have repeats: records of earlier versions do not say."""
    return "duplicates" in commit.files and (commit.reasons is None or "figure duplicates" in commit.reasons)


def _few_groups(store: Store, commit: Commit) -> tuple[pa.Table, set[str]]:
    """A unit's repeats of a few kept figures, and its kept figures that are boilerplate."""
    table = store.read(commit, "duplicates")
    useless = table.filter((pc.field("kind") == "boilerplate") & (pc.field("id") == pc.field("of")))
    table = table.filter(pc.field("kind").isin(FIGURE_REPEATS) & (pc.field("entity") == "figure"))
    kept = sorted(table["of"].unique().to_pylist(), key=stable_hash)[:GROUPS]
    return table.filter(pc.is_in(table["of"], pa.array(kept, pa.string()))), set(useless["id"].to_pylist())


def _closeness(row: dict[str, Any]) -> tuple[float, str]:
    return row["distance"], row["id"]


def cluster_sheets(store: Store, extracted: Mapping[int, Commit], labels: pa.Table) -> list[Sheet]:
    """Contact sheets of the clusters, or of some drawn at random; largest first.

    Args:
        store: The store.
        extracted: Unit -> commit of extract.
        labels: Labels of the figures that may be shown, from :func:`~biomedica_ray.report.collect.read_labels`.
    """
    sizes = values(labels["cluster_id"])
    chosen = draw(sorted(sizes), CLUSTERS)
    shown = labels.filter(pc.is_in(labels["cluster_id"], pa.array(chosen, pa.int32())))
    found = choose_members([shown], Wanted(NEAREST, FURTHEST)).to_pylist()
    pictures = read_pictures(store, extracted, sorted(row["figure_id"] for row in found))
    by_cluster = _by(found, "cluster_id")

    def sheet(cluster: int) -> Sheet:
        by_place = {
            place: tuple(Member(row["figure_id"], row["confidence"], pictures[row["figure_id"]]) for row in rows)
            for place, rows in _by(by_cluster[cluster], "place").items()
        }
        typical = by_cluster[cluster][0]
        return Sheet(
            cluster,
            sizes[cluster],
            tuple(typical["primary_label"]),
            typical["panel_subtype"] or "",
            by_place["nearest"],
            by_place.get("farthest", ())[::-1],
        )

    return [sheet(cluster) for cluster in sorted(chosen, key=lambda cluster: (-sizes[cluster], cluster))]


def figure_cards(store: Store, extracted: Mapping[int, Commit], *, invented: bool) -> list[Card]:
    """Some figures drawn at random, each from another unit as far as there are enough, in the order of their ids.

    Args:
        store: The store.
        extracted: Unit -> commit of extract.
        invented: Whether the articles are those of the embedded sample, which PubMed Central does not have.
    """
    units = draw((unit for unit, commit in sorted(extracted.items()) if commit.counts["figures"].rows_out), FIGURES)
    ids: list[str] = []
    for index, unit in enumerate(units):
        # As many of each as make FIGURES together.
        share = FIGURES * (index + 1) // len(units) - FIGURES * index // len(units)
        table = store.read(extracted[unit], "figures", ["figure_id", "caption"])
        found = table.filter(pc.field("caption").is_valid())["figure_id"].to_pylist()
        ids += random.Random(unit).sample(found, min(share, len(found)))
    articles, labels = _articles(store, extracted, units), _labels(store, units, ids)

    def card(row: dict[str, Any]) -> Card:
        return _card(row, articles[row["article_id"]], labels.get(row["figure_id"], ()), invented=invented)

    cards = read_figures(store, extracted, ids, _CARD_COLUMNS, card)
    return [cards[figure_id] for figure_id in sorted(cards)]


def _articles(store: Store, extracted: Mapping[int, Commit], units: Iterable[int]) -> dict[str, dict[str, Any]]:
    tables = (store.read(extracted[unit], "articles", _ARTICLE_COLUMNS) for unit in units)
    return {row["article_id"]: row for table in tables for row in table.to_pylist()}


def _labels(store: Store, units: Iterable[int], figure_ids: list[str]) -> dict[str, tuple[str, ...]]:
    """figure_id -> global concepts, for those of the figures that have some."""
    labels: dict[str, tuple[str, ...]] = {}
    wanted = pa.array(figure_ids, pa.string())
    for unit in units:
        try:
            commit = store.commit("label", unit)
        except FileNotFoundError:
            continue
        table = store.read(commit, "labels", ["figure_id", "primary_label"])
        rows = table.filter(pc.is_in(table["figure_id"], wanted)).to_pylist()
        labels |= {row["figure_id"]: tuple(row["primary_label"]) for row in rows}
    return labels


def _card(row: dict[str, Any], article: dict[str, Any], labels: tuple[str, ...], *, invented: bool) -> Card:
    year = article["published"].year if article["published"] else None
    licence = [row["license_code"] or article["license_code"]]
    if row["third_party"]:
        licence.append("reproduced from elsewhere")
    if row["permissions"]:
        licence.append(shorten(row["permissions"], _PARAGRAPH))
    return Card(
        row["figure_id"],
        picture(row["image"], LARGE),
        row["label"] or row["kind"],
        f"{row['kind']}, {row['format']}, {row['width']:,} × {row['height']:,} pixels",
        shorten(row["caption"], _CAPTION),
        tuple((panel["label"], shorten(panel["text"], _PARAGRAPH)) for panel in row["panels"]),
        tuple((" › ".join(each["section"]), shorten(each["text"], _PARAGRAPH)) for each in row["mentions"][:3]),
        article["title"] or article["article_id"],
        " ".join(str(part) for part in (article["journal"], year) if part),
        "; ".join(licence),
        labels,
        "" if invented else article_url(row["figure_id"]),
    )


def _by(rows: Iterable[dict[str, Any]], key: str) -> dict[Any, list[dict[str, Any]]]:
    result: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        result[row[key]].append(row)
    return result
