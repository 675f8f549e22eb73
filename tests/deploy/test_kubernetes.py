from __future__ import annotations

import copy
import shlex
from pathlib import Path
from typing import Any

import jsonpatch
import kubernetes_validate
import pytest
import yaml
from jsonschema import ValidationError

from biomedica_ray.stages import load
from tests.deploy.kuberay import templates, validate

ROOT = Path(__file__).parents[2]
KUBERAY = ROOT / "deploy" / "kuberay"
OVERLAYS = ("eks", "gke")


def resources(folder: Path) -> list[dict[str, Any]]:
    """What ``kubectl apply -k FOLDER`` sends: resources, and JSON patches upon them, of which these files make do."""
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert kustomization.keys() <= {"apiVersion", "kind", "namespace", "resources", "patches"}
    found: list[dict[str, Any]] = []
    for name in kustomization["resources"]:
        place = folder / name
        found += resources(place) if place.is_dir() else yaml.safe_load_all(place.read_text())
    for patch in kustomization.get("patches", []):
        ((number, target),) = [
            (number, resource)
            for number, resource in enumerate(found)
            if (resource["kind"], resource["metadata"]["name"]) == (patch["target"]["kind"], patch["target"]["name"])
        ]
        found[number] = jsonpatch.apply_patch(target, yaml.safe_load(patch["patch"]))
    return found


def cluster(folder: Path) -> dict[str, Any]:
    (found,) = [resource for resource in resources(folder) if resource["kind"] == "RayCluster"]
    return found


@pytest.mark.parametrize("folder", ["base", *(f"overlays/{name}" for name in OVERLAYS)])
def test_kubernetes_and_kuberay_accept_what_is_applied(folder: str) -> None:
    applied = resources(KUBERAY / folder)
    assert {resource["kind"] for resource in applied} == {
        "RayCluster",
        "ServiceAccount",
        "NetworkPolicy",
        "PodDisruptionBudget",
    }
    for resource in applied:
        validate(resource)


def test_a_key_that_nobody_knows_is_found() -> None:
    """The schemas are strict, in KubeRay's part and in Kubernetes'."""
    good = cluster(KUBERAY / "base")
    mistyped = copy.deepcopy(good)
    mistyped["spec"]["workerGroupSpecs"][0]["minReplica"] = 1
    with pytest.raises(ValidationError):
        validate(mistyped)
    misplaced = copy.deepcopy(good)
    misplaced["spec"]["headGroupSpec"]["template"]["spec"]["resources"] = {"request": {"cpu": "1"}}
    with pytest.raises(kubernetes_validate.ValidationError):
        validate(misplaced)


def test_the_head_does_no_work_and_workers_come_when_they_are_asked_for() -> None:
    spec = cluster(KUBERAY / "base")["spec"]
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert spec["enableInTreeAutoscaling"] and spec["authOptions"] == {"mode": "token"}
    assert [(group["groupName"], group["minReplicas"], group["replicas"]) for group in spec["workerGroupSpecs"]] == [
        ("cpu", 0, 0),
        ("gpu", 0, 0),
    ]
    assert spec["rayVersion"] == version_of("ray")


def version_of(package: str) -> str:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    (version,) = [line.partition("==")[2] for line in lines if line.startswith(f"{package}==")]
    return version


def test_pods_are_no_root_and_only_gpu_nodes_ask_for_a_gpu() -> None:
    head, cpu, gpu = (template["spec"] for template in templates(cluster(KUBERAY / "base")))
    for pod in (head, cpu, gpu):
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] and not container["securityContext"]["allowPrivilegeEscalation"]
        assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
        assert "ephemeral-storage" in container["resources"]["requests"]
    asks = [pod["containers"][0]["resources"]["limits"].get("nvidia.com/gpu") for pod in (head, cpu, gpu)]
    assert asks == [None, None, "1"]
    assert gpu["terminationGracePeriodSeconds"] == 300


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlays_say_where_images_and_nodes_are(overlay: str) -> None:
    head, cpu, gpu = (template["spec"] for template in templates(cluster(KUBERAY / "overlays" / overlay)))
    images = [pod["containers"][0]["image"] for pod in (head, cpu, gpu)]
    assert not any("REPLACE" in image for image in images)
    assert [image.rpartition(":")[2] for image in images] == ["cpu", "cpu", "gpu"]
    assert any("spot" in text for pair in cpu["nodeSelector"].items() for text in pair)
    assert cpu["tolerations"] and "nodeSelector" in gpu and "nodeSelector" not in head


@pytest.mark.parametrize("job", sorted(path.name for path in (KUBERAY / "jobs").iterdir()))
def test_jobs_run_a_stage_whose_config_is_in_the_image(job: str) -> None:
    resource = yaml.safe_load((KUBERAY / "jobs" / job).read_text())
    validate(resource)
    assert resource["spec"]["clusterSelector"] == {"ray.io/cluster": cluster(KUBERAY / "base")["metadata"]["name"]}
    words = shlex.split(resource["spec"]["entrypoint"])
    assert words[:4] == ["python", "-m", "biomedica_ray", resource["metadata"]["name"]]
    assert "COPY jobs /opt/biomedica/jobs" in (ROOT / "Dockerfile").read_text()
    here = [word.replace("/opt/biomedica/", f"{ROOT}/").replace("YOUR_BUCKET", "bucket") for word in words[4:]]
    assert load(words[3], here).store == "s3://bucket/biomedica"
    assert yaml.safe_load(resource["spec"]["runtimeEnvYAML"])["env_vars"] == {"RAY_JOB_STOP_WAIT_TIME_S": "300"}
