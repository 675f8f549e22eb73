from __future__ import annotations

import operator
from datetime import date
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_ray.select.columns import (
    COLUMNS,
    PANEL_LABELS_OF,
    find_column,
    join,
    of_panels,
    of_whole_figures,
)
from biomedica_ray.select.where import parse

FIGURES: list[dict[str, Any]] = [
    {"figures.width": 100, "labels.primary_label": ["Maps", "Tables"], "articles.license_group": "commercial"},
    {"figures.width": 300, "labels.primary_label": ["Microscopy"], "articles.license_group": "other"},
    {"figures.width": 500, "labels.primary_label": [], "articles.license_group": "commercial"},
    {"figures.width": 700, "labels.primary_label": None, "articles.license_group": "noncommercial"},
]
EXTRA: list[dict[str, Any]] = [
    {"articles.is_retracted": True, "articles.published": date(2020, 5, 1), "labels.distance": 0.5},
    {"articles.is_retracted": False, "articles.published": date(2021, 5, 1), "labels.distance": None},
    {"articles.is_retracted": False, "articles.published": None, "labels.distance": 1.5},
    {"articles.is_retracted": False, "articles.published": date(2022, 5, 1), "labels.distance": 2.5},
]
TABLE = pa.table(
    {
        name: pa.array([{**a, **b}[name] for a, b in zip(FIGURES, EXTRA, strict=True)], find_column(name).type)
        for name in FIGURES[0] | EXTRA[0]
    }
)


def rows(query: str) -> list[int]:
    return [row for row, met in enumerate(parse(query).met(TABLE).to_pylist()) if met]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("width >= 300", [1, 2, 3]),
        ("width > 300 and width <> 700", [2]),
        ("width in (100, 700)", [0, 3]),
        ("figures.width not in (100, 700.0)", [1, 2]),
        ("license_group = 'commercial' or width = 300", [0, 1, 2]),
        ("license_group = 'commercial' AND NOT width < 300", [2]),
        ("primary_label contains 'Maps'", [0]),
        ("not primary_label contains 'Maps'", [1, 2, 3]),
        ("primary_label contains any ('Tables', 'Microscopy', 'x')", [0, 1]),
        ("primary_label is null", [2, 3]),
        ("primary_label is not null", [0, 1]),
        ("license_group contains 'mm'", [0, 2, 3]),
        ("license_group contains any ('non', 'oth')", [1, 3]),
        ("primary_label icontains 'maps'", [0]),
        ("primary_label icontains any ('TABLES', 'microscopy')", [0, 1]),
        ("license_group icontains 'COMM'", [0, 2, 3]),
        ("license_group icontains any ('NON', 'OTH')", [1, 3]),
        ("license_group contains 'COMM'", []),
        ("is_retracted", [0]),
        ("is_retracted = false and not is_retracted", [1, 2, 3]),
        ("published >= '2021-05-01'", [1, 3]),
        ("not published >= '2021-05-01'", [0]),  # what has no date is on neither side
        ("published is null", [2]),
        ("labels.distance in (0.5, 2.5)", [0, 3]),
        ("labels.distance not in (0.5)", [2, 3]),  # nor is what has none
        ("published in ('2020-05-01', '2022-05-01')", [0, 3]),
        ("is_retracted in (true)", [0]),
        ("labels.distance <= 1.5", [0, 2]),
        ("labels.distance < 2 or width = 300", [0, 1, 2]),
        ("(width = 100 or width = 300) and (license_group = 'other')", [1]),
        ("width = 100 or width = 300 and license_group = 'other'", [0, 1]),
        ("license_group = 'it''s'", []),
        ("width > labels.distance", [0, 2, 3]),
    ],
)
def test_what_a_query_finds(query: str, expected: list[int]) -> None:
    assert rows(query) == expected


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("licence_group = 'other'", "licence_group: no such column; did you mean license_group"),
        ("labels.primary = 'x'", "labels.primary: no such column; did you mean labels.primary_label"),
        ("image is null", "image: no such column"),
        ("WIDTH > 300", "WIDTH: no such column; did you mean width"),
        ("title = 'x'", "title: in several tables; expected figures.title or articles.title"),
        ("width >", "ends too early; expected a condition such as width >= 300"),
        ("", "ends too early"),
        ("width == 3", "'=' at character 8: unexpected"),
        ("width = 3 height = 3", "'height' at character 11: unexpected"),
        ("width = 3; drop table figures", "';' at character 10: unexpected"),
        ("read_parquet('/etc/passwd')", "\"('/etc/passwd')\" at character 13: unexpected"),
        ("__import__ = 'os'", "__import__: no such column"),
        ("width = 'wide'", "figures.width: is a number, got 'wide'"),
        ("width = 99999999999", "figures.width: 99999999999 is not of type int32"),
        ("width", "figures.width: is a number; expected a comparison after it"),
        ("width contains '3'", "figures.width: is a number; contains is for lists and text"),
        ("width = caption", "figures.width: is a number, and cannot be compared with figures.caption, text"),
        ("primary_label = 'Maps'", "labels.primary_label: is a list; expected contains after it"),
        ("primary_label in ('Maps')", "labels.primary_label: is a list; expected contains after it"),
        ("primary_label contains 3", "labels.primary_label: expected text in single quotes, got 3"),
        ("is_retracted = 'yes'", "articles.is_retracted: is true or false, got 'yes'"),
        ("published > '2020-13-01'", "articles.published: expected a date such as '2020-05-31', got '2020-13-01'"),
        ('license_group = "other"', "'\"other\"' at character 17: unexpected"),
        ("not " * 5000 + "is_retracted", "conditions are nested too deeply"),
    ],
)
def test_what_is_no_query_is_one_line(query: str, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse(query)
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


Truth = bool | None
SIGNS = {"<": operator.lt, "<=": operator.le, "=": operator.eq, "!=": operator.ne, ">": operator.gt, ">=": operator.ge}


@st.composite
def conditions(draw: st.DrawFn, depth: int = 3) -> tuple[str, list[Truth]]:
    """A query on labels.distance, and for each row of TABLE whether it holds by SQL's three values."""
    kind = draw(st.sampled_from(["leaf", "not", "and", "or"])) if depth else "leaf"
    if kind == "leaf":
        sign, value = draw(st.sampled_from(sorted(SIGNS))), draw(st.sampled_from([0.5, 1.5, 2.0]))
        values = TABLE["labels.distance"].to_pylist()
        return f"labels.distance {sign} {value}", [None if v is None else SIGNS[sign](v, value) for v in values]
    text, truth = draw(conditions(depth - 1))
    if kind == "not":
        return f"not ({text})", [None if t is None else not t for t in truth]
    other_text, other_truth = draw(conditions(depth - 1))
    decisive = kind == "or"
    both = [
        decisive if decisive in pair else (None if None in pair else not decisive)
        for pair in zip(truth, other_truth, strict=True)
    ]
    return f"({text}) {kind} ({other_text})", both


@settings(max_examples=60, deadline=None)
@given(conditions())
def test_conditions_combine_as_in_sql(condition: tuple[str, list[Truth]]) -> None:
    text, truth = condition
    assert rows(text) == [row for row, value in enumerate(truth) if value is True]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | st.text("width=><'() andortiscl.3,", max_size=40))
def test_any_text_is_a_query_or_one_line(text: str) -> None:
    try:
        parse(text)
    except ValueError as error:
        assert "\n" not in str(error)


def test_keywords_may_begin_a_column() -> None:
    assert parse("orientation = 1 and is_retracted").columns == {
        find_column("figures.orientation"),
        find_column("articles.is_retracted"),
    }


def test_columns_are_slim_and_plain() -> None:
    names = {str(column) for column in COLUMNS}
    assert "figures.image" not in names
    assert {"figures.width", "articles.keywords", "labels.primary_label", "duplicates.of"} <= names


def test_rows_are_joined_in_order_and_a_repeat_is_that_of_the_figure_or_else_of_its_article() -> None:
    figures = pa.table({"figure_id": ["b", "a", "c"], "article_id": ["2", "1", "9"], "width": pa.array([1, 2, 3])})
    others = {
        "articles": pa.table({"article_id": ["1", "2"], "license_group": ["x", "y"]}),
        "labels": pa.table({"figure_id": ["a", "b"], "primary_label": [["A"], ["B", "C"]]}),
        "duplicates": pa.table(
            {
                "id": ["2", "a", "a", "1"],
                "of": ["article two", "elsewhere", "figure a", "article one"],
                "kind": ["version", "against", "near", "same-doi"],
            }
        ),
    }
    columns = [find_column(name) for name in ("figures.width", "license_group", "primary_label", "duplicates.of")]
    assert join(figures, others, columns).to_pydict() == {
        "figures.width": [1, 2, 3],
        "articles.license_group": ["y", "x", None],
        "labels.primary_label": [["B", "C"], ["A"], None],
        "duplicates.of": ["article two", "figure a", None],
    }


def test_a_figures_own_licence_counts_unless_its_articles_is_asked_for() -> None:
    figures = pa.table({"figure_id": ["a", "b"], "article_id": ["1", "1"], "license_code": ["CC BY-NC", None]})
    others = {"articles": pa.table({"article_id": ["1"], "license_code": ["CC BY"]})}
    columns = [find_column(name) for name in ("license_code", "articles.license_code", "figures.license_code")]
    assert join(figures, others, columns).to_pydict() == {
        "license_code": ["CC BY-NC", "CC BY"],
        "articles.license_code": ["CC BY", "CC BY"],
        "figures.license_code": ["CC BY-NC", None],
    }


def test_fifty_thousand_values() -> None:
    listed = ", ".join(str(number) for number in range(400, 50_400))
    assert rows(f"width in ({listed})") == [2, 3]
    assert rows(f"width not in ({listed})") == [0, 1]


def test_columns_that_are_reckoned_from_others() -> None:
    sizes = [("One.", 200, 100, 1), ("Größe", 200, 100, 6), (None, 300, 300, None)]
    names = ("caption", "width", "height", "orientation")
    columns = {
        name: pa.chunked_array([list(values)]) for name, values in zip(names, zip(*sizes, strict=True), strict=True)
    }
    figures = pa.table({"figure_id": ["a", "b", "c"], "article_id": ["x"] * 3, **columns})

    def found(query: str) -> list[bool]:
        condition = parse(query)
        met: list[bool] = condition.met(join(figures, {}, condition.columns)).to_pylist()
        return met

    assert found("caption_length >= 5") == [False, True, False]  # characters, not bytes
    assert found("caption_length < 5") == [True, False, False]
    assert found("aspect = 2") == [True, False, False]
    assert found("figures.aspect < 1") == [False, True, False]  # it stands upright
    assert found("aspect = 1.0") == [False, False, True]


def test_labels_of_panels_are_a_list_and_those_of_figures_are_not_mixed_with_them() -> None:
    said = [("f", 2, "Maps", 0.7), ("f", 0, "Tables", 0.9), ("f", 1, "Tables", 0.6), ("g", 0, "Maps", 0.8)]
    labels = pa.table(dict(zip(PANEL_LABELS_OF, map(list, zip(*said, strict=True)), strict=True)))
    figures = pa.table({"figure_id": ["g", "f"], "article_id": ["1", "1"]})
    names = ("image_label", "panel_image_label", "least_panel_confidence")
    others = {"image_labels": of_whole_figures(labels), "panel_labels": of_panels(labels)}
    joined = join(figures, others, list(map(find_column, names)))
    assert joined["image_labels.image_label"].to_pylist() == ["Maps", "Tables"]
    assert joined["panel_labels.panel_image_label"].to_pylist() == [None, ["Tables", "Maps"]]
    assert joined["panel_labels.least_panel_confidence"].to_pylist() == [None, pytest.approx(0.6)]
    assert of_panels(labels.slice(0, 0)).schema.names == ["figure_id", "panel_image_label", "least_panel_confidence"]
