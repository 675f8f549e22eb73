"""deploy/anyscale.yaml against the fields of Anyscale's own classes, and against cluster.yaml."""

from __future__ import annotations

import copy
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from biomedica_ray.extract.config import ExtractConfig
from biomedica_ray.stages import load

ROOT = Path(__file__).parents[2]
JOB = yaml.safe_load((ROOT / "deploy" / "anyscale.yaml").read_text())
AWS = yaml.safe_load((ROOT / "cluster.yaml").read_text())["available_node_types"]

_TEXT = {"type": "string", "minLength": 1}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_COUNT = {"type": "integer", "minimum": 0}
_RESOURCES = {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}}
_NODE = {"instance_type": _TEXT, "resources": _RESOURCES, "labels": _TEXTS, "flags": {"type": "object"}}


def _strict(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


JOB_CONFIG = _strict(
    ["entrypoint"],
    name=_TEXT,
    entrypoint=_TEXT,
    image_uri=_TEXT,
    working_dir=_TEXT,
    excludes={"type": "array", "items": _TEXT},
    env_vars=_TEXTS,
    max_retries=_COUNT,
    timeout_s=_COUNT,
    tags=_TEXTS,
    cloud=_TEXT,
    project=_TEXT,
    compute_config=_strict(
        [],
        cloud=_TEXT,
        head_node=_strict(["instance_type"], **_NODE),
        worker_nodes={
            "type": "array",
            "items": _strict(
                ["instance_type"],
                **_NODE,
                name=_TEXT,
                min_nodes=_COUNT,
                max_nodes=_COUNT,
                market_type={"enum": ["ON_DEMAND", "SPOT", "PREFER_SPOT"]},
            ),
        },
        min_resources=_RESOURCES,
        max_resources=_RESOURCES,
    ),
)
"""Of ``JobConfig`` and ``ComputeConfig`` in the package anyscale 0.26.112, which reads the file as well."""


def test_it_is_a_job_of_anyscale_and_a_misspelt_key_is_not() -> None:
    jsonschema.validate(JOB, JOB_CONFIG)
    for path in ((), ("compute_config",), ("compute_config", "head_node"), ("compute_config", "worker_nodes", 0)):
        wrong = place = copy.deepcopy(JOB)
        for step in path:
            place = place[step]
        place["max_node"] = 1
        with pytest.raises(jsonschema.ValidationError, match="max_node"):
            jsonschema.validate(wrong, JOB_CONFIG)


def test_its_command_is_a_stage_whose_files_travel_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    python, module, package, stage, *keys = shlex.split(JOB["entrypoint"].replace("YOUR_BUCKET", "bucket"))
    assert (python, module, package) == ("python", "-m", "biomedica_ray")
    assert isinstance(load(stage, keys), ExtractConfig)
    assert JOB["working_dir"] == "." and not {"biomedica_ray", "jobs"} & {*JOB["excludes"]}


def test_its_nodes_are_those_of_aws() -> None:
    compute = JOB["compute_config"]
    assert compute["head_node"]["resources"] == {"CPU": 0, "GPU": 0}
    for node in compute["worker_nodes"]:
        there = AWS[node["name"]]
        assert node["instance_type"] == there["node_config"]["InstanceType"]
        assert (node["min_nodes"], node["max_nodes"]) == (there["min_workers"], there["max_workers"])
    cpus = 16 * sum(node["max_nodes"] for node in compute["worker_nodes"])
    assert compute["max_resources"] == {"CPU": cpus, "GPU": compute["worker_nodes"][1]["max_nodes"]}
