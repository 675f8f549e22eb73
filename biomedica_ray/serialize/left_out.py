"""Which figures are written, why the others are not, and in which split each is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biomedica_ray.jats.licenses import license_group, stricter_group
from biomedica_ray.schema import ARTICLE_REPEATS, FIGURE_REPEATS
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.units import pmcid_of, stable_hash

SPLITS = ("train", "validation", "test")
ARTICLE_COLUMNS = ["article_id", "license_group", "license_code", "is_retracted"]
FIGURE_COLUMNS = [
    "figure_id",
    "article_id",
    "caption",
    "third_party",
    "permissions",
    "license_code",
    "width",
    "height",
    "is_thumbnail",
]

WITHHELD = ("third-party", "against")
"""Kinds of reasons for which a figure must not be in the dataset, in no version of its article."""

Row = Mapping[str, Any]
Duplicates = Mapping[str, Sequence[Row]]
"""Rows of the duplicates table, by id."""


@dataclass(frozen=True)
class LeftOut:
    """Why a figure is not written.

    Attributes:
        kind: duplicate-article, retracted, license-group, third-party, no-caption, thumbnail, too-small, boilerplate,
            against or duplicate.
        message: The reason in words.
    """

    kind: str
    message: str


def reason_left_out(figure: Row, article: Row, duplicates: Duplicates, config: SerializeConfig) -> LeftOut | None:
    """The first reason not to write a figure, or None.

    Args:
        figure: Columns :data:`FIGURE_COLUMNS` of the figure.
        article: Columns :data:`ARTICLE_COLUMNS` of its article.
        duplicates: Of the article and the figure at least.
        config: What to keep.
    """
    return next(_reasons(figure, article, duplicates, config), None)


def _reasons(figure: Row, article: Row, duplicates: Duplicates, config: SerializeConfig) -> Iterator[LeftOut]:
    of_article = {row["kind"]: row for row in duplicates.get(article["article_id"], ())}
    of_figure = {row["kind"]: row for row in duplicates.get(figure["figure_id"], ())}
    if not config.keep_duplicates and (repeat := _first(of_article, ARTICLE_REPEATS)):
        yield LeftOut("duplicate-article", f"its article repeats {repeat['of']} ({repeat['kind']})")
    if not config.keep_retracted and article["is_retracted"]:
        yield LeftOut("retracted", "its article has been retracted")
    if not config.keep_retracted and (notice := of_article.get("retracted")):
        yield LeftOut("retracted", f"its article has been retracted, as {notice['of']} says")
    group = group_of(figure, article)
    if group not in config.license_groups:
        yield LeftOut("license-group", f"licence group {group}; wanted are {', '.join(config.license_groups)}")
    if not config.keep_third_party and is_withheld(figure, group):
        yield LeftOut("third-party", f"its own permissions: {figure['permissions'] or 'reproduced from elsewhere'}")
    if not (figure["caption"] or "").strip():
        yield LeftOut("no-caption", "it has no caption")
    if not config.keep_thumbnails and figure.get("is_thumbnail"):
        yield LeftOut("thumbnail", "it is the thumbnail of an image that the package lacks")
    if min(figure["width"], figure["height"]) < config.min_side:
        yield LeftOut("too-small", f"{figure['width']}x{figure['height']} pixels; expected {config.min_side} or more")
    if not config.keep_boilerplate and (found := of_figure.get("boilerplate")):
        yield LeftOut("boilerplate", f"many unrelated articles have the same picture as {found['of']}")
    if not config.keep_against and (found := of_figure.get("against")):
        yield LeftOut("against", f"occurs in another set as {found['of']} (distance {found['distance']:g})")
    if not config.keep_duplicates and (repeat := _first(of_figure, FIGURE_REPEATS)):
        yield LeftOut("duplicate", f"repeats {repeat['of']} ({repeat['kind']}, distance {repeat['distance']:g})")


def group_of(figure: Row, article: Row) -> str:
    """The licence group of a figure: the article's, or that of its own licence where this permits less."""
    own = figure.get("license_code")
    group: str = article["license_group"]
    return stricter_group(group, license_group(own)) if own else group


def is_withheld(figure: Row, group: str) -> bool:
    """Whether a figure of a licence group is reproduced from elsewhere, so that it may not be commercial at all."""
    return bool(figure["third_party"]) and group == "commercial"


def _first(rows: Mapping[str, Row], kinds: Sequence[str]) -> Row | None:
    return next((rows[kind] for kind in kinds if kind in rows), None)


def split_of(article_id: str, duplicates: Duplicates, validation_fraction: float, test_fraction: float) -> str:
    """The split by a stable hash of the article's pmcid; an article that repeats another goes where that one is.

    So neither the versions of an article nor its copies under other PMC ids are ever in two splits. Test and validation
    are the two ends of the hash, so that changing the size of one moves no article into or out of the other.
    """
    repeat = next((row for row in duplicates.get(article_id, ()) if row["kind"] in ARTICLE_REPEATS), None)
    pmcid = pmcid_of(repeat["of"] if repeat else article_id)
    # Not the hash that units are cut by, or the test split would be whole units.
    place = stable_hash(f"split:{pmcid}")
    if place < test_fraction * 2**64:
        return "test"
    return "validation" if place >= (1 - validation_fraction) * 2**64 else "train"
