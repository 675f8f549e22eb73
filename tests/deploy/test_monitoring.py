from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

MONITORING = Path(__file__).parents[2] / "deploy" / "monitoring"
CODE = (Path(__file__).parents[2] / "biomedica_ray" / "metrics.py").read_text()

NAMES = {f"ray_{name}" for name in re.findall(r'(?:Counter|Gauge)\(\s*"(biomedica_\w+)"', CODE)}
LABELS = {"stage", "run_id", "entity", "what", "state"}


def of_runs(expression: str) -> set[str]:
    return set(re.findall(r"ray_biomedica_\w+", expression))


def test_the_dashboard_draws_the_metrics_that_runs_have() -> None:
    dashboard = json.loads((MONITORING / "grafana.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels) == 12
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    assert set().union(*map(of_runs, expressions)) == NAMES
    for panel in panels:
        for target in panel["targets"]:
            if of_runs(target["expr"]):
                assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= LABELS
            assert target["expr"].count("(") == target["expr"].count(")")
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(places)


def test_alerts_ask_for_metrics_that_runs_have() -> None:
    (group,) = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]:
        assert rule.keys() == {"alert", "expr", "for", "labels", "annotations"}
        assert of_runs(rule["expr"]) and of_runs(rule["expr"]) <= NAMES
        named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert named <= LABELS and all(label in rule["expr"] or label in {"stage", "what"} for label in named)
