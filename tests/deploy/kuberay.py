"""KubeRay's resources as JSON schemas, strict: a mistyped key, which KubeRay would ignore, is an error.

The fields are those of https://github.com/ray-project/kuberay/tree/master/ray-operator/apis/ray/v1; templates of pods
are checked with Kubernetes' own schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema
import kubernetes_validate

KUBERNETES = "1.33"

_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_COUNT = {"type": "integer", "minimum": 0}


def _strict(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


_CLUSTER_SPEC = _strict(
    ["headGroupSpec"],
    rayVersion={"type": "string"},
    authOptions=_strict(["mode"], mode={"enum": ["disabled", "token"]}),
    enableInTreeAutoscaling={"type": "boolean"},
    autoscalerOptions=_strict(
        [],
        version={"enum": ["v1", "v2"]},
        idleTimeoutSeconds=_COUNT,
        upscalingMode={"enum": ["Default", "Aggressive", "Conservative"]},
        resources={"type": "object"},
        image={"type": "string"},
        env={"type": "array"},
        envFrom={"type": "array"},
        securityContext={"type": "object"},
    ),
    headGroupSpec=_strict(["rayStartParams", "template"], rayStartParams=_TEXTS, template={"type": "object"}),
    workerGroupSpecs={
        "type": "array",
        "items": _strict(
            ["groupName", "rayStartParams", "template", "minReplicas", "maxReplicas"],
            groupName={"type": "string"},
            replicas=_COUNT,
            minReplicas=_COUNT,
            maxReplicas=_COUNT,
            numOfHosts=_COUNT,
            idleTimeoutSeconds=_COUNT,
            rayStartParams=_TEXTS,
            template={"type": "object"},
        ),
    },
)

_JOB_SPEC = _strict(
    ["entrypoint"],
    entrypoint={"type": "string"},
    clusterSelector=_TEXTS,
    runtimeEnvYAML={"type": "string"},
    backoffLimit=_COUNT,
    submitterConfig=_strict([], backoffLimit=_COUNT),
    submissionMode={"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
    shutdownAfterJobFinishes={"type": "boolean"},
    ttlSecondsAfterFinished=_COUNT,
    activeDeadlineSeconds=_COUNT,
    metadata=_TEXTS,
)


def validate(resource: dict[str, Any]) -> None:
    """Raise a ValidationError where Kubernetes or KubeRay would refuse a resource, or ignore a part of it."""
    if resource["apiVersion"] != "ray.io/v1":
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)
        return
    spec = {"RayCluster": _CLUSTER_SPEC, "RayJob": _JOB_SPEC}[resource["kind"]]
    names = {"apiVersion": {"const": "ray.io/v1"}, "kind": {"type": "string"}, "metadata": {"type": "object"}}
    jsonschema.validate(resource, _strict(["apiVersion", "kind", "metadata", "spec"], **names, spec=spec))
    for template in templates(resource):
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "x"}, "template": template}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)


def templates(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The pod templates of a RayCluster, the head's first; a RayJob has none."""
    spec = resource["spec"]
    if resource["kind"] == "RayCluster":
        yield spec["headGroupSpec"]["template"]
        yield from (group["template"] for group in spec["workerGroupSpecs"])
