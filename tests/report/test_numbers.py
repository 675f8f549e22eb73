from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray import schema
from biomedica_ray.pages import formats
from biomedica_ray.pages.pictures import SMALL, picture
from biomedica_ray.report.charts import HEIGHT, MAX_POINTS, TOP, line_chart, nice_ticks
from biomedica_ray.report.collect import EXAMPLES, count_duplicates, draw, reasons, stage_flows
from biomedica_ray.store import Store
from biomedica_ray.units import Flow
from tests.report.stores import ERRORS, by_unit, commit_tables, error, whole_store
from tests.synthetic import N_UNITS, encoded
from tests.synthetic import picture as image


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1234.5, "1,234"), (12.345, "12.3"), (0.01234, "0.0123"), (1.23e-6, "1.23e-06")]
)
def test_number(value: float, text: str) -> None:
    assert formats.number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (9.96, "10 s"), (59.7, "1 min 0 s"), (260, "4 min 20 s"), (7500, "2 h 5 min"), (2e5, "2 d 7 h")],
)
def test_duration(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(("n", "text"), [(999, "999 B"), (12_345, "12.3 kB"), (3.49e6, "3.49 MB"), (2.7e13, "27 TB")])
def test_size(n: float, text: str) -> None:
    assert formats.size(n) == text


def test_share_never_rounds_to_zero() -> None:
    assert [formats.share(value) for value in (0, 0.0001, 0.123, 1)] == ["0.0 %", "< 0.1 %", "12.3 %", "100.0 %"]


@given(st.text(), st.integers(1, 40))
def test_shorten_keeps_to_the_length(text: str, most: int) -> None:
    short = formats.shorten(text, most)
    assert len(short) <= most
    assert short == " ".join(text.split()) or short.endswith("…")


@given(st.floats(-1e3, 1e3), st.floats(1e-3, 1e6), st.integers(2, 9))
def test_ticks_enclose_the_range_evenly(low: float, span: float, most: int) -> None:
    ticks = nice_ticks(low, low + span, most)
    step = ticks[1] - ticks[0]
    assert 2 <= len(ticks) <= most + 2
    assert ticks[0] <= low + step * 1e-6
    assert ticks[-1] >= low + span - step * 1e-6
    assert all(math.isclose(b - a, step, rel_tol=1e-6) for a, b in pairwise(ticks))


def test_chart_puts_the_highest_value_on_top() -> None:
    chart = line_chart([1, 2, 3], [4.0, 2.0, 0.0], reference=4.0)
    heights = [float(point.split(",")[1]) for point in chart.line.split()]
    assert heights[0] == TOP == chart.reference
    assert heights == sorted(heights)
    assert heights[-1] < HEIGHT


def test_long_series_are_drawn_as_means() -> None:
    assert len(line_chart(range(10_000), [1.0] * 10_000).line.split()) == MAX_POINTS


def test_a_chart_of_one_point() -> None:
    assert len(line_chart([1], [0.0]).line.split()) == 1


def test_draw_is_the_same_each_time() -> None:
    assert draw(range(5), 9) == [0, 1, 2, 3, 4]
    assert draw(range(1000), 3) == draw(range(1000), 3)
    assert len(set(draw(range(1000), 30))) == 30


def test_pictures_are_scaled_down_and_never_up() -> None:
    large, small = picture(encoded(image(1, (800, 400))), SMALL), picture(encoded(image(1, (20, 10))), SMALL)
    assert (large.width, large.height) == (SMALL, SMALL // 2)
    assert (small.width, small.height) == (20, 10)


@pytest.mark.parametrize(("data", "problem"), [(b"", "empty-image"), (b"x" * 99, "not-an-image")])
def test_a_broken_image_is_named_as_such(data: bytes, problem: str) -> None:
    assert picture(data, SMALL).problem == problem
    assert picture(data, SMALL).uri == ""


def record(stage: str, rows: int, before: int, seconds: float, status: str = "done") -> dict[str, object]:
    counts, earlier = ({"figures": {"rows_in": n, "rows_out": n, "errors": 0}} for n in (rows, before))
    failure = "ValueError: no" if status == "failed" else None
    values = {"stage": stage, "status": status, "seconds": seconds, "failure": failure}
    return {**values, "counts": counts, "before": earlier if before else {}}


def test_rates_are_those_of_the_last_run_that_found_work() -> None:
    runs = [record("extract", 60, 0, 5.0), record("extract", 100, 60, 10.0), record("extract", 100, 100, 0.1)]
    flow = stage_flows(runs)[0]
    assert flow.flows == {"figures": Flow(100, 100, 0)}
    assert flow.seconds == 10.0
    assert flow.rates == {"figures": 4.0}


def test_a_failed_run_is_told_and_its_numbers_are_not() -> None:
    flow = stage_flows([record("panels", 60, 0, 5.0), record("panels", 1, 0, 5.0, "failed")])[2]
    assert flow.flows == {"figures": Flow(60, 60, 0)}
    assert flow.failure == "ValueError: no"


def test_the_dataset_of_all_figures_goes_before_selections_of_them(tmp_path: Path) -> None:
    whole = {**record("serialize", 60, 0, 5.0), "config": {"selection": None}}
    part = {**record("serialize", 20, 0, 5.0), "config": {"selection": "maps"}}
    other = {**record("serialize", 40, 0, 5.0), "config": {"profile": "archive", "jpeg_quality": 90}}
    of_serialize = [stage.stage for stage in stage_flows([])].index("serialize")
    for runs, rows in (([whole, part, other], 60), ([part], 20), ([part, other], 40)):
        assert stage_flows(runs)[of_serialize].flows == {"figures": Flow(rows, rows, 0)}

    store = Store(str(tmp_path))
    store.open_or_create(N_UNITS)
    left_out = {"stage": "serialize", "kind": "no-caption", "message": "no caption"}
    errors = {"errors": by_unit([{**error(f"PMC{n}.1_001", "", ""), **left_out} for n in range(5)], "what")}
    commit_tables(store, "serialize/selections/maps", errors)
    assert [(reason.kind, reason.count) for reason in reasons(store)] == [("no-caption", 5)]
    commit_tables(store, "serialize", errors)
    assert [(reason.kind, reason.count) for reason in reasons(store)] == [("no-caption", 5)]


def test_what_is_counted_in_the_records_is_what_is_in_the_tables(tmp_path: Path) -> None:
    store = whole_store(tmp_path)
    found, duplicates = reasons(store), count_duplicates(store)
    assert [(reason.entity, reason.kind, reason.count) for reason in found] == [
        ("figure", "missing-image", 2),
        ("article", "bad-xml", 1),
    ]
    assert sorted(found[0].examples) == sorted((row["what"], row["message"]) for row in ERRORS[:2])
    assert duplicates.total() == 8
    assert duplicates["figure", "boilerplate"] == duplicates["figure", "near"] == 2
    for stage in ("extract", "dedupe"):
        for commit in store.commits(stage).values():  # records of earlier versions had no such counts
            store.write_json(commit.record, {**commit.to_json(), "reasons": None})
    assert (reasons(store), count_duplicates(store)) == (found, duplicates)


def test_errors_of_a_large_store_are_read_only_for_the_examples(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.open_or_create(8)
    for unit in range(8):
        with store.write_unit("panels", unit, "aa") as writer:
            errors = writer.table("errors", schema.ERRORS, directory="errors/panels")
            errors.write([{**error(f"PMC{unit}.1_001", "bad-image", "no"), "stage": "panels"}] * 2)
            writer.commit({"figures": Flow(2, 0, 2)})
    for unit in range(2, 8):
        store.delete(store.commit("panels", unit).files["errors"])
    (reason,) = reasons(store)
    assert (reason.stage, reason.count, len(reason.examples)) == ("panels", 16, EXAMPLES)
