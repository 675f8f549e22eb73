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
    need = TrainConfig(store="s", **settings).needs()[0]
    found = need.unmet(TWO_CPUS)
    assert found.startswith(expected)
    assert bool(found) == bool(expected)


def test_a_resumed_run_has_an_actor_for_each_lane_of_its_order() -> None:
    config = TrainConfig(store="s", reader="ray", reader_cpus=0.5, num_workers=1)
    assert not config.need(lanes=2).unmet(TWO_CPUS)
    assert config.need(lanes=3).unmet(TWO_CPUS).startswith("cpus_per_worker and reader_cpus: asks for 2.5 CPUs")
    assert not TrainConfig(store="s", num_workers=1).need(lanes=3).unmet(TWO_CPUS)
