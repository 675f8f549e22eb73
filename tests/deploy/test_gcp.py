"""deploy/gcp.yaml against Ray's schema, and against cluster.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from biomedica_ray.extract.config import ExtractConfig
from biomedica_ray.serialize.config import SerializeConfig

ROOT = Path(__file__).parents[2]
GCP = yaml.safe_load((ROOT / "deploy" / "gcp.yaml").read_text())
AWS = yaml.safe_load((ROOT / "cluster.yaml").read_text())


def test_ray_accepts_it_and_no_misspelt_key() -> None:
    config = dict(prepare_config(GCP))
    validate_config(config)
    config["available_node_types"]["cpu"]["max_worker"] = 1
    with pytest.raises(Exception, match="max_worker"):
        validate_config(config)


def test_nodes_are_set_up_and_started_as_those_of_aws() -> None:
    for key in ("file_mounts", "setup_commands", "head_start_ray_commands", "worker_start_ray_commands"):
        assert GCP[key] == AWS[key]


def test_the_head_takes_no_work_and_every_cpu_has_room_for_a_worker() -> None:
    types = GCP["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0, "GPU": 0}
    assert sum(types[name]["max_workers"] for name in ("cpu", "gpu")) == GCP["max_workers"]
    least = max(ExtractConfig(store="s", source="sample").memory_gb, SerializeConfig(store="s").memory_gb)
    for name in ("cpu", "gpu"):
        assert types[name]["min_workers"] == 0
        assert types[name]["resources"]["memory"] >= types[name]["resources"]["CPU"] * least * 2**30
        (disk,) = types[name]["node_config"]["disks"]
        assert disk["initializeParams"]["diskSizeGb"] >= 16 * 5.5 + 60
    assert types["gpu"]["resources"]["GPU"] == 1
