"""cluster.yaml against Ray's own schema and launcher code; EC2 is moto's, in this process."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws
from ray._private.runtime_env.packaging import get_excludes_from_ignore_files
from ray.autoscaler._private.aws.config import bootstrap_aws
from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
from ray.autoscaler._private.node_provider_availability_tracker import NodeAvailabilitySummary
from ray.autoscaler._private.resource_demand_scheduler import _default_utilization_scorer, get_nodes_for
from ray.autoscaler._private.util import prepare_config, validate_config

from biomedica_ray.extract.pipeline import UNITS_AT_A_TIME
from biomedica_ray.units import ARTICLES_PER_UNIT

ROOT = Path(__file__).parents[1]
MY_ADDRESS = "203.0.113.7/32"
FIGURE_GB = 1.1e-3
"""PMC's average."""

Config = dict[str, Any]


@pytest.fixture
def config() -> Config:
    """The cluster as `ray up` reads it, with Ray's defaults filled in."""
    return dict(prepare_config(yaml.safe_load((ROOT / "cluster.yaml").read_text())))


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: Config) -> Iterator[Any]:
    """An account in which what docs/cluster.md asks for exists: the security group and the instance profiles."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("HOME", str(tmp_path))  # the launcher writes its key pair to ~/.ssh
    with mock_aws():
        region = config["provider"]["region"]
        resource = boto3.resource("ec2", region)
        vpc = next(iter(resource.vpcs.filter(Filters=[{"Name": "is-default", "Values": ["true"]}])))
        group = resource.create_security_group(GroupName="biomedica", Description="biomedica", VpcId=vpc.id)
        group.authorize_ingress(IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp=MY_ADDRESS)
        members = [{"GroupId": group.id}]
        group.authorize_ingress(IpPermissions=[{"IpProtocol": "-1", "UserIdGroupPairs": members}])
        iam = boto3.client("iam", region)
        for name in ("biomedica-head", "biomedica-worker"):
            iam.create_instance_profile(InstanceProfileName=name)
        for node_type in config["available_node_types"].values():
            node_type["node_config"]["SecurityGroupIds"] = [group.id]
        yield resource


def launch(config: Config) -> dict[str, Any]:
    """Start one node of each type as the launcher does; node type -> EC2 instance."""
    config = bootstrap_aws(AWSNodeProvider.fillout_available_node_types_resources(config))
    provider = AWSNodeProvider(config["provider"], config["cluster_name"])
    instances = {}
    for name, node_type in config["available_node_types"].items():
        created = provider.create_node(copy.deepcopy(node_type["node_config"]), {}, 1)
        (instances[name],) = created.values()
    return instances


def test_ray_accepts_it(config: Config) -> None:
    validate_config(config)


def test_ray_refuses_a_misspelt_key(config: Config) -> None:
    config["available_node_types"]["cpu"]["min_worker"] = 0
    with pytest.raises(Exception, match="min_worker"):
        validate_config(config)


def test_head_takes_no_work_and_workers_come_and_go(config: Config) -> None:
    types = config["available_node_types"]
    assert config["head_node_type"] == "head"
    assert types["head"]["resources"] == {"CPU": 0, "GPU": 0}
    assert types["head"]["max_workers"] == 0
    assert {name: types[name]["min_workers"] for name in ("cpu", "gpu")} == {"cpu": 0, "gpu": 0}
    assert sum(types[name]["max_workers"] for name in ("cpu", "gpu")) == config["max_workers"]
    assert config["provider"]["cache_stopped_nodes"] is False


def test_resources_that_ray_reads_off_the_instance_types(ec2: Any, config: Config) -> None:
    types = AWSNodeProvider.fillout_available_node_types_resources(config)["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0, "GPU": 0}
    assert types["cpu"]["resources"]["CPU"] == 16
    assert "GPU" not in types["cpu"]["resources"]
    assert types["gpu"]["resources"]["GPU"] == 1
    for name in ("cpu", "gpu"):
        per_cpu = types[name]["resources"]["memory"] / types[name]["resources"]["CPU"]
        assert per_cpu > 1.5 * 2**30, f"{name}: every CPU must have room for a worker of extract"


@pytest.mark.parametrize("role", ["head", "worker"])
def test_every_node_asks_for_the_token(config: Config, role: str) -> None:
    starts = [command for command in config[f"{role}_start_ray_commands"] if "ray start" in command]
    assert len(starts) == 1
    assert "export RAY_AUTH_MODE=token" in starts[0].partition("ray start")[0]
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"


@pytest.mark.parametrize("role", ["head", "worker"])
def test_ray_starts_from_the_locked_environment(config: Config, role: str) -> None:
    installs = [command for command in config[f"{role}_setup_commands"] if "pip sync" in command]
    assert len(installs) == 1
    assert "~/env/bin/python ~/constraints.txt" in installs[0]
    for command in config[f"{role}_start_ray_commands"]:
        assert command.startswith(". ~/env/bin/activate;")
        if "ray start" in command:
            assert "--object-store-memory=" in command
            assert "ulimit -n 65536" in command


def test_dashboard_and_job_api_listen_on_loopback(config: Config) -> None:
    start = config["head_start_ray_commands"][-1]
    assert "--dashboard-host=127.0.0.1" in start
    assert "0.0.0.0" not in (ROOT / "cluster.yaml").read_text()


def test_mounted_files_exist_or_are_documented(config: Config) -> None:
    guide = (ROOT / "docs" / "cluster.md").read_text()
    for local in config["file_mounts"].values():
        assert (ROOT / local).exists() if not local.startswith("~") else local in guide, local


def test_launch_lets_nobody_in_but_us(ec2: Any, config: Config) -> None:
    instances = launch(config)
    groups = {group["GroupId"] for instance in instances.values() for group in instance.security_groups}
    assert len(groups) == 1
    (group,) = (ec2.SecurityGroup(group_id) for group_id in groups)
    ranges = {entry["CidrIp"] for rule in group.ip_permissions for entry in rule["IpRanges"]}
    members = {pair["GroupId"] for rule in group.ip_permissions for pair in rule["UserIdGroupPairs"]}
    assert ranges == {MY_ADDRESS}
    assert members == groups


def test_launch_without_a_group_of_ones_own_would_open_ssh(ec2: Any, config: Config) -> None:
    for node_type in config["available_node_types"].values():
        del node_type["node_config"]["SecurityGroupIds"]
    (group,) = launch(config)["head"].security_groups
    ranges = {
        entry["CidrIp"] for rule in ec2.SecurityGroup(group["GroupId"]).ip_permissions for entry in rule["IpRanges"]
    }
    assert ranges == {"0.0.0.0/0"}, "Ray has become stricter: cluster.yaml and docs/cluster.md may say less"


def test_launched_instances(ec2: Any, config: Config) -> None:
    instances = launch(config)
    profiles = {name: instance.iam_instance_profile["Arn"].split("/")[-1] for name, instance in instances.items()}
    assert profiles == {"head": "biomedica-head", **dict.fromkeys(("cpu", "gpu", "gpu4", "h100"), "biomedica-worker")}
    assert {name: instance.instance_type for name, instance in instances.items()} == {
        "head": "m7i.xlarge",
        "cpu": "m7i.4xlarge",
        "gpu": "g6e.4xlarge",
        "gpu4": "g6e.12xlarge",
        "h100": "p5.48xlarge",
    }
    for instance in instances.values():
        (volume,) = instance.volumes.all()
        assert volume.size >= 200
        assert volume.volume_type == "gp3"
        assert volume.encrypted


def test_disks_have_room_for_what_lies_there_before_it_goes_to_the_bucket(ec2: Any, config: Config) -> None:
    """For each CPU two units of an extraction, or a shard as tar and as Parquet; besides, what cluster.yaml names."""
    shard_gb = yaml.safe_load((ROOT / "jobs" / "serialize.yaml").read_text())["samples_per_shard"] * 2 * FIGURE_GB
    units_gb = UNITS_AT_A_TIME * ARTICLES_PER_UNIT * 4 * FIGURE_GB
    assert (shard_gb, units_gb) == (pytest.approx(5.5), pytest.approx(2.2))
    types = AWSNodeProvider.fillout_available_node_types_resources(config)["available_node_types"]
    for name in ("cpu", "gpu", "gpu4", "h100"):
        (disk,) = types[name]["node_config"]["BlockDeviceMappings"]
        assert disk["Ebs"]["VolumeSize"] >= types[name]["resources"]["CPU"] * max(shard_gb, units_gb) + 60, name


@pytest.fixture
def with_spot() -> Config:
    """The cluster with the lines for spot nodes uncommented, as its comment says."""
    text = (ROOT / "cluster.yaml").read_text()
    block = re.search(r"^  # cpu_spot:\n(?:  #   .*\n)+", text, re.M)
    assert block
    found = yaml.safe_load(text.replace(block[0], re.sub(r"^  # ", "  ", block[0], flags=re.M)))
    return dict(prepare_config(found))


def test_spot_nodes_come_first_and_others_beyond_them(with_spot: Config, config: Config, ec2: Any) -> None:
    validate_config(with_spot)
    types = with_spot["available_node_types"]
    types["cpu_spot"]["node_config"]["SecurityGroupIds"] = config["available_node_types"]["cpu"]["node_config"][
        "SecurityGroupIds"
    ]
    only = {**with_spot, "available_node_types": {name: types[name] for name in ("head", "cpu_spot")}}
    only["available_node_types"]["head"] = config["available_node_types"]["head"]
    spot = launch(only)["cpu_spot"]
    assert (spot.instance_lifecycle, spot.instance_type) == ("spot", "m7i.4xlarge")

    types = AWSNodeProvider.fillout_available_node_types_resources(with_spot)["available_node_types"]
    demands = [{"CPU": 1.0, "memory": 1.5 * 2**30}] * 20

    def chosen() -> dict[str, int]:
        scorer = partial(_default_utilization_scorer, node_availability_summary=NodeAvailabilitySummary({}))
        nodes, left = get_nodes_for(types, {}, "head", 52, demands, scorer)
        assert not left
        return dict(nodes)

    assert chosen() == {"cpu_spot": 2}
    types["cpu_spot"]["max_workers"] = 1
    assert chosen() == {"cpu_spot": 1, "cpu": 1}
    types["cpu_spot"]["max_workers"] = 0
    assert chosen() == {"cpu": 2}


def test_jobs_carry_the_code_and_nothing_else() -> None:
    excludes = get_excludes_from_ignore_files(ROOT, include_gitignore=True)
    sent = {
        path: not any(exclude(ROOT / path) for exclude in excludes)
        for path in (
            "biomedica_ray/cli.py",
            "jobs/extract.py",
            "jobs/extract.yaml",
            "demo/sample/store.json",
            "tests/a.py",
        )
    }
    assert sent == {
        "biomedica_ray/cli.py": True,
        "jobs/extract.py": True,
        "jobs/extract.yaml": True,
        "demo/sample/store.json": False,
        "tests/a.py": False,
    }
