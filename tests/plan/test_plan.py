from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from biomedica_ray.cli import main
from biomedica_ray.plan.estimate import Machine, Measured, estimate, measured

ROOT = Path(__file__).parents[2]
CPU_NODE = Machine("cpu", 20, {"CPU": 16, "GPU": 0}, 0.8, 0.4)
GPU_NODE = Machine("gpu", 4, {"CPU": 16, "GPU": 1}, 3.0, None)


def run(stage: str, rows: int, seconds: float, cpus: int, gpus: int = 0, **more: Any) -> dict[str, Any]:
    entity = {"extract": "articles"}.get(stage, "figures")
    sizes = [{"s": s, "nodes": 3, "CPU": cpus, "GPU": gpus} for s in (0.0, seconds)]
    record = {"stage": stage, "status": "done", "seconds": seconds, "before": {}, "results": {"cluster": sizes}}
    return {**record, "counts": {entity: {"rows_in": rows}}, **more}


def test_a_stage_grows_with_its_rows() -> None:
    """1,000 articles took 32 CPUs an hour: a million take 32,000 CPU-hours, 2,000 node-hours, 100 hours on 20 nodes."""
    (extract,) = measured([run("extract", 1000, 3600, 32)]).values()
    found = estimate(extract, 1_000_000, [CPU_NODE, GPU_NODE])
    assert found.hours == {"CPU": pytest.approx(32_000), "GPU": 0}
    assert (found.bound, found.wall) == ("CPU", pytest.approx(100))
    assert (found.dollars, found.spot) == (pytest.approx(1600), pytest.approx(800))
    assert not found.short


def test_cpus_that_come_with_gpus_are_paid_once() -> None:
    """Two nodes with a GPU and one without, for an hour."""
    annotate = Measured("annotate", 100, 3600, {"CPU": 48, "GPU": 2})
    found = estimate(annotate, 1000, [CPU_NODE, GPU_NODE])
    assert found.dollars == pytest.approx(20 * 3.0 + 10 * 0.8)
    assert found.spot == pytest.approx(20 * 3.0 + 10 * 0.4)
    assert (found.bound, found.wall) == ("GPU", pytest.approx(5))


def test_what_was_done_before_took_no_time() -> None:
    runs = [run("extract", 100, 900, 2), run("extract", 100, 5, 2, before={"articles": {"rows_in": 100}})]
    assert measured(runs)["extract"].seconds == 900
    again = run("extract", 150, 600, 2, before={"articles": {"rows_in": 100}})
    assert measured([*runs, again])["extract"].rows == 50


def test_failed_runs_and_stages_that_do_not_grow_tell_nothing() -> None:
    runs = [run("extract", 100, 900, 2, status="failed"), run("report", 1, 9, 2)]
    assert measured([*runs, run("dedupe", 100, 900, 2, results={})]) == {}


def test_a_cluster_without_gpus_cannot_do_what_needed_some() -> None:
    with pytest.raises(ValueError, match="no nodes with GPUs"):
        estimate(Measured("annotate", 1, 1, {"CPU": 1, "GPU": 1}), 1, [CPU_NODE])


def written(store: Path, *runs: dict[str, Any]) -> Path:
    for number, each in enumerate(runs):
        folder = store / "runs" / str(number)
        folder.mkdir(parents=True)
        (folder / "run.json").write_text(json.dumps({"run_id": str(number), "started": f"{number}", **each}))
    return store


def test_the_sheet_of_the_shipped_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    store = written(tmp_path, run("extract", 1000, 3600, 32), run("annotate", 4000, 300, 16, 1))
    assert main(["plan", "--store", str(store)]) == 0
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    price = yaml.safe_load((ROOT / "deploy" / "prices.yaml").read_text())["m7i.4xlarge"]["on_demand"]
    assert lines["extract"][1:] == [
        "6,300,000",
        "201,600.0",
        "0.0",
        "630.0",
        "CPU",
        f"{12_600 * price:,.0f}",
        f"{12_600 * 0.35:,.0f}",
    ]
    assert lines["annotate"][1:3] == ["*", "24,000,000"]
    assert lines["all"][1] == f"{201_600 + 24e6 / 4000 * 16 * 300 / 3600:,.1f}"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--prices", "nowhere.yaml"], "prices: nowhere.yaml: "),
        (["--cluster", "jobs/extract.yaml"], "cluster and prices: expected node types"),
        (["--articles", "nan"], "articles: expected a number of at least 1, got nan"),
        (["--article", "5"], "--article: unknown key; did you mean articles?"),
    ],
)
def test_misuse_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    line: str,
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["plan", "--store", str(written(tmp_path, run("extract", 10, 60, 2))), *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"biomedica plan: {line}") and said.count("\n") == 1


def test_a_store_without_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["plan", "--store", str(tmp_path)]) == 2
    assert "no run that did work; run extract, dedupe" in capsys.readouterr().err
