"""The columns that a query may name, and a unit's figures joined with all that is known of them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray import schema

PANEL_LABELS = pa.schema(
    [("figure_id", pa.string()), ("panel_image_label", pa.list_(pa.string())), ("least_panel_confidence", pa.float32())]
)
"""What image_labels says of the panels of a figure: their labels, and the least confidence in one of them."""
PANEL_LABELS_OF = ("figure_id", "panel", "image_label", "image_confidence")
"""The columns of image_labels that it is made of."""

TABLES = {
    "figures": schema.FIGURES,
    "articles": schema.ARTICLES,
    "labels": schema.LABELS,
    "image_labels": schema.IMAGE_LABELS,
    "panel_labels": PANEL_LABELS,
    "panels": schema.PANELS,
    "duplicates": schema.DUPLICATES,
}
"""Tables whose rows are joined to a figure's, and their schemas; panel_labels is made of image_labels."""

KEYS = {
    "figures": "figure_id",
    "articles": "article_id",
    "labels": "figure_id",
    "image_labels": "figure_id",
    "panel_labels": "figure_id",
    "panels": "figure_id",
    "duplicates": "id",
}
"""The column by which each is found."""

_SHARED = {"figure_id": "figures", "article_id": "figures"}
"""Columns that are the same in every table that has them."""
_OWN_FIRST = ("license_code", "license_url", "copyright")
"""Columns that a figure may have of its own: without a table's name the figure's counts, or else its article's."""


def is_texts(type_: pa.DataType) -> bool:
    """Whether a type is a list of strings."""
    return bool(pa.types.is_list(type_) and pa.types.is_string(type_.value_type))


def _queried(field: pa.Field) -> bool:
    type_ = field.type
    plain = pa.types.is_primitive(type_) or pa.types.is_string(type_)  # primitive: numbers, booleans, dates
    return plain or is_texts(type_)


@dataclass(frozen=True)
class Column:
    """A column of one of :data:`TABLES`."""

    table: str
    name: str
    type: pa.DataType
    own_first: bool = False

    def __str__(self) -> str:
        return self.name if self.own_first else f"{self.table}.{self.name}"


class Reckoned(NamedTuple):
    """A column that no table has.

    Attributes:
        type: Its type.
        of: The columns of figures that it is reckoned from.
        values: From these columns to its own; null where one of them is.
    """

    type: pa.DataType
    of: tuple[str, ...]
    values: Callable[..., pa.ChunkedArray]


def _aspect(width: pa.ChunkedArray, height: pa.ChunkedArray, orientation: pa.ChunkedArray) -> pa.ChunkedArray:
    """Width by height of the upright image: from EXIF orientation 5 on the stored sides change places."""
    stored = pc.divide(width.cast(pa.float64()), height.cast(pa.float64()))
    return pc.if_else(pc.less(pc.fill_null(orientation, 1), 5), stored, pc.divide(1.0, stored))


RECKONED = {
    "caption_length": Reckoned(pa.int32(), ("caption",), pc.utf8_length),
    "aspect": Reckoned(pa.float64(), ("width", "height", "orientation"), _aspect),
}
"""Columns that are reckoned from those of figures: characters of the caption, and width by height."""

COLUMNS = [
    *(Column(table, f.name, f.type) for table, fields in TABLES.items() for f in fields if _queried(f)),
    *(Column("figures", name, reckoned.type) for name, reckoned in RECKONED.items()),
]


def find_column(name: str) -> Column:
    """The column of a name such as ``labels.distance``, or ``width`` where only one table has it.

    Raises:
        ValueError: No table has it, or several have; names those that might be meant.
    """
    found = [column for column in COLUMNS if name in {str(column), column.name}]
    if name in _SHARED:
        found = [column for column in found if column.table == _SHARED[name]]
    if name in _OWN_FIRST:
        return Column("articles", name, found[0].type, own_first=True)
    if not found:
        names = {str(column) if "." in name else column.name for column in COLUMNS}
        near = difflib.get_close_matches(name.lower(), sorted(names), 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else f"; tables are {', '.join(TABLES)}"
        raise ValueError(f"{name}: no such column{hint}")
    if len(found) > 1:
        raise ValueError(f"{name}: in several tables; expected {' or '.join(map(str, found))}")
    return found[0]


def empty(columns: Iterable[Column]) -> pa.Table:
    """A table of no rows with these columns, named as in :func:`join`."""
    return pa.table({str(column): pa.array([], column.type) for column in columns})


def join(figures: pa.Table, others: Mapping[str, pa.Table], columns: Iterable[Column]) -> pa.Table:
    """A row for each figure of a unit, in order, with columns named ``table.column``.

    Where another table has no row of the figure, its columns are null. The row of duplicates is that of the figure, or
    else that of its article; of several rows the first that says what it repeats, or else the first.

    Args:
        figures: Rows of the figures table, with figure_id, article_id, and what reckoned columns are made of.
        others: Rows of the other tables, each with its key, and duplicates with kind.
        columns: Which ones are wanted.
    """
    rows = {}
    others = {table: _repeats_first(each) if table == "duplicates" else each for table, each in others.items()}
    for table, its_rows in others.items():
        key = its_rows[KEYS[table]].combine_chunks()
        by = "article_id" if table == "articles" else "figure_id"
        rows[table] = pc.index_in(figures[by], value_set=key)
        if table == "duplicates":
            rows[table] = pc.coalesce(rows[table], pc.index_in(figures["article_id"], value_set=key))
    joined = {}
    for column in columns:
        if column.table == "figures" and column.name in RECKONED:
            reckoned = RECKONED[column.name]
            joined[str(column)] = reckoned.values(*(figures[name] for name in reckoned.of))
        elif column.table == "figures":
            joined[str(column)] = figures[column.name]
        else:
            values = others[column.table][column.name].combine_chunks().take(rows[column.table])
            joined[str(column)] = pc.coalesce(figures[column.name], values) if column.own_first else values
    return pa.table(joined)


def of_whole_figures(image_labels: pa.Table) -> pa.Table:
    """The rows of image_labels, with a column panel, that are not of panels."""
    return image_labels.filter(pc.equal(image_labels["panel"], 0))


def of_panels(image_labels: pa.Table) -> pa.Table:
    """Rows of :data:`PANEL_LABELS`, one for each figure with labelled panels, its labels in the order of these.

    Args:
        image_labels: Rows of that table, columns :data:`PANEL_LABELS_OF`.
    """
    rows = image_labels.filter(pc.greater(image_labels["panel"], 0)).sort_by(
        [("figure_id", "ascending"), ("panel", "ascending")]
    )
    found = rows.group_by("figure_id", use_threads=False).aggregate(
        [("image_label", "list"), ("image_confidence", "min")]
    )
    return (
        found.select(["figure_id", "image_label_list", "image_confidence_min"])
        .rename_columns(PANEL_LABELS.names)
        .cast(PANEL_LABELS)
    )


def _repeats_first(duplicates: pa.Table) -> pa.Table:
    kinds = pa.array([*schema.ARTICLE_REPEATS, *schema.FIGURE_REPEATS])
    repeats = pc.is_in(duplicates["kind"], value_set=kinds)
    return pa.concat_tables([duplicates.filter(repeats), duplicates.filter(pc.invert(repeats))])
