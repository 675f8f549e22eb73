"""Ray's own fake of a cloud, whose nodes are processes on this machine, for nodes whose type has memory."""

from __future__ import annotations

import json
from typing import Any

from ray._private import ray_constants
from ray._private.node import Node
from ray._private.parameter import RayParams
from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider
from ray.autoscaler.tags import (
    NODE_KIND_WORKER,
    STATUS_UP_TO_DATE,
    TAG_RAY_NODE_KIND,
    TAG_RAY_NODE_NAME,
    TAG_RAY_NODE_STATUS,
    TAG_RAY_USER_NODE_TYPE,
)

HEAD_ID = "f" * 51 + "0" * 5
HEAD_TYPE = "ray.head.default"
"""The names that the fake gives to the head and its type."""

_LISTS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
    "cluster_synced_files",
    "rsync_exclude",
    "rsync_filter",
)

HEAD_ENVIRONMENT = {
    "AUTOSCALER_UPDATE_INTERVAL_S": "1",
    "RAY_FAKE_CLUSTER": "1",
    "RAY_enable_autoscaler_v2": "1",
    "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
}
"""What the head's ``ray start`` needs in its environment."""


def autoscaling_config(gcs_address: str, types: dict[str, Any], idle_timeout_minutes: float) -> dict[str, Any]:
    """For ``ray start --head --autoscaling-config``: a head without work, and types of nodes as in cluster.yaml."""
    head = {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0}
    return {
        "cluster_name": "fake",
        "max_workers": 8,
        "provider": {
            "type": "external",
            "module": f"{__name__}.LocalNodes",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "launch_multiple": True,
            "head_node_id": HEAD_ID,
            "gcs_address": gcs_address,
        },
        "available_node_types": {HEAD_TYPE: head, **types},
        "head_node_type": HEAD_TYPE,
        "auth": {},
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": idle_timeout_minutes,
        "docker": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{name: [] for name in _LISTS},
    }


class LocalNodes(FakeMultiNodeProvider):
    """Starts the processes of a node with the memory of its type, which Ray's fake would refuse as a resource."""

    def _create_node_with_resources_and_labels(
        self, node_config: Any, tags: dict[str, str], count: int, resources: dict[str, float], labels: dict[str, str]
    ) -> None:
        with self.lock:
            name, node_type = self._next_hex_node_id(), tags[TAG_RAY_USER_NODE_TYPE]
            node = Node(
                RayParams(
                    min_worker_port=0,
                    max_worker_port=0,
                    dashboard_port=None,
                    dashboard_agent_listen_port=0,
                    num_cpus=int(resources.get("CPU", 0)),
                    num_gpus=int(resources.get("GPU", 0)),
                    memory=int(resources["memory"]),
                    object_store_memory=int(resources["object_store_memory"]),
                    labels=labels,
                    redis_address=self._gcs_address,
                    gcs_address=self._gcs_address,
                    env_vars={
                        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": name,
                        "RAY_CLOUD_INSTANCE_ID": name,
                        "RAY_NODE_TYPE_NAME": node_type,
                        ray_constants.LABELS_ENVIRONMENT_VARIABLE: json.dumps(labels),
                    },
                ),
                head=False,
                shutdown_at_exit=False,
                spawn_reaper=False,
            )
            state = {TAG_RAY_NODE_KIND: NODE_KIND_WORKER, TAG_RAY_USER_NODE_TYPE: node_type}
            more = {TAG_RAY_NODE_NAME: name, TAG_RAY_NODE_STATUS: STATUS_UP_TO_DATE}
            self._nodes[name] = {"tags": {**state, **more, **tags}, "node": node}
