from __future__ import annotations

from typing import Any

import pytest

from biomedica_ray.train.config import TrainConfig

TWO_CPUS = [{"CPU": 2.0}]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ""),
        ({"reader": "ray", "reader_cpus": 0.5, "num_workers": 1}, ""),
        ({"reader": "ray", "min_workers": 1, "batch_size": 2}, "cpus_per_worker and reader_cpus: asks for 3 CPUs"),
        ({"reader": "ray"}, "num_workers: 2 workers of 2 CPUs (cpus_per_worker and reader_cpus) each are asked for"),
        ({"num_workers": 3}, "num_workers: 3 workers of 1 CPU (cpus_per_worker)"),
        ({"use_gpu": True}, "use_gpu: asks for 1 GPU"),
    ],
)
def test_what_a_machine_cannot_give(settings: dict[str, Any], expected: str) -> None:
    (need,) = TrainConfig(store="s", **settings).needs()
    found = need.unmet(TWO_CPUS)
    assert found.startswith(expected)
    assert bool(found) == bool(expected)
