from __future__ import annotations

import pytest

from biomedica_ray.cluster_size import hours
from biomedica_ray.report.scaling import read_scaling

SIZES = [
    {"s": 0.0, "nodes": 1, "CPU": 0, "GPU": 0},
    {"s": 60.0, "nodes": 3, "CPU": 32, "GPU": 0},
    {"s": 1860.0, "nodes": 1, "CPU": 0, "GPU": 0},
    {"s": 1900.0, "nodes": 1, "CPU": 0, "GPU": 0},
]


def test_hours_are_those_of_the_nodes_that_were_there() -> None:
    """Two nodes of 16 CPUs for half an hour."""
    assert hours(SIZES, "CPU") == pytest.approx(16)
    assert hours(SIZES, "nodes") == pytest.approx((60 * 1 + 1800 * 3 + 40 * 1) / 3600)
    assert hours(SIZES, "GPU") == 0


def test_the_line_is_level_between_two_changes_and_drawn_only_where_there_are_some() -> None:
    runs = [{"stage": "extract", "results": {"cluster": SIZES}}, {"stage": "select", "results": {}}]
    (scaling,) = read_scaling(runs)
    assert (scaling.stage, scaling.most, scaling.gpus) == ("extract", 3, None)
    assert scaling.cpus is not None
    heights = [point.split(",")[1] for point in scaling.cpus.line.split()]
    assert [heights[i] == heights[i + 1] for i in range(0, 6)] == [True, False, True, False, True, True]
