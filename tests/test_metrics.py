"""The metrics of a run, as Prometheus reads them from a node."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path

import pytest
import ray
from prometheus_client.parser import text_string_to_metric_families

from biomedica_ray.cli import main
from biomedica_ray.runs import read_runs
from biomedica_ray.store import Store

Metrics = dict[tuple[str, ...], float]


def scraped(run_id: str) -> Metrics:
    """(name, entity or what, state) -> value, of one run, on all nodes."""
    found: Metrics = {}
    for node in ray.nodes():  # type: ignore[no-untyped-call]
        url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        with urllib.request.urlopen(url, timeout=10) as answer:
            families = list(text_string_to_metric_families(answer.read().decode()))
        for sample in (sample for family in families for sample in family.samples):
            if sample.name.startswith("ray_biomedica_") and sample.labels.get("run_id") == run_id:
                labels = sample.labels
                key = (sample.name.removeprefix("ray_biomedica_"), labels.get("entity") or labels["what"])
                found[key + ((labels["state"],) if "state" in labels else ())] = round(sample.value, 3)
    return found


@pytest.mark.cluster
def test_counts_of_a_run_are_those_of_its_record(
    ray_cluster: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["extract", "--store", str(tmp_path), "--source", "sample", "--log_format", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    (run,) = read_runs(Store(str(tmp_path)))
    assert (run["counts"]["figures"]["rows_out"], run["counts"]["figures"]["errors"]) == (140, 3)
    expected: Metrics = {("pieces", "units", "done"): 14, ("pieces", "units", "left"): 0}
    for entity, flow in run["counts"].items():
        expected |= {("rows_total", entity): flow["rows_out"], ("errors_total", entity): flow["errors"]}
    assert {(line["run_id"], line["stage"]) for line in lines} == {(run["run_id"], "extract")}
    assert "extract: 14 units, 0 done before" in {line["message"] for line in lines}
    used = run["results"]["usage"]
    expected |= {(f"{kind}_total", what): number for kind in used for what, number in used[kind].items() if number}
    images = sum(len(row["image"]) for row in Store(str(tmp_path)).dataset("extract", "images").to_table().to_pylist())
    assert used["units"] == {"extract": 14}
    assert used["commits"]["units"] >= 14
    assert used["bytes"]["fetched"] > images and used["bytes"]["written"] > images
    assert used["seconds"]["commit"] > 0 and 0 < used["seconds"]["cpu"] < 2 * run["seconds"]
    (trace,) = (tmp_path / "runs" / run["run_id"]).glob("trace-*.json")
    events = json.loads(trace.read_text())["traceEvents"]
    assert {event["name"] for event in events} == {"unit", "fetch", "parse", "decode", "write", "commit"}
    whole = next(event for event in events if event["name"] == "unit")
    assert whole["args"] == {"of": "extract 0"}
    assert all(whole["ts"] <= each["ts"] and each["ts"] + each["dur"] <= whole["ts"] + whole["dur"] for each in events)
    deadline = time.monotonic() + 60
    while (found := scraped(run["run_id"])) != expected and time.monotonic() < deadline:
        time.sleep(1)
    assert found == expected
