from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from biomedica_ray.cli import main
from biomedica_ray.plan.estimate import Machine, Measured, Size, Storage, estimate, measured

ROOT = Path(__file__).parents[2]
CPU_NODE = Machine("cpu", 20, {"CPU": 16, "GPU": 0}, 200, 0.8, 0.4)
GPU_NODE = Machine("gpu", 4, {"CPU": 16, "GPU": 1}, 200, 3.0, None)
S3 = Storage(0.4, 5, 23)
MILLION = Size(1_000_000, 4_000_000)


def run(
    stage: str, rows: int, seconds: float, cpus: int, gpus: int = 0, *, usage: Any = None, **more: Any
) -> dict[str, Any]:
    entity = {"extract": "articles"}.get(stage, "figures")
    sizes = [{"s": s, "nodes": 3, "CPU": cpus, "GPU": gpus} for s in (0.0, seconds)]
    results = {"cluster": sizes, **({"usage": usage} if usage else {})}
    record = {"stage": stage, "status": "done", "seconds": seconds, "before": {}, "results": results}
    return {**record, "counts": {entity: {"rows_in": rows}}, **more}


def test_a_stage_grows_with_its_rows() -> None:
    """1,000 articles took 32 CPUs an hour: a million take 32,000 CPU-hours, 2,000 node-hours, 100 hours on 20 nodes."""
    (extract,) = measured([run("extract", 1000, 3600, 32)]).values()
    found = estimate(extract, MILLION, [CPU_NODE, GPU_NODE], S3)
    assert found.hours == {"CPU": pytest.approx(32_000), "GPU": 0}
    assert (found.bound, found.wall) == ("CPU", pytest.approx(100))
    assert (found.dollars, found.spot) == (pytest.approx(1600), pytest.approx(800))
    assert not found.short


def test_cpus_that_come_with_gpus_are_paid_once() -> None:
    """Two nodes with a GPU and one without, for an hour."""
    annotate = Measured("annotate", 100, 3600, {"CPU": 48, "GPU": 2})
    found = estimate(annotate, Size(250, 1000), [CPU_NODE, GPU_NODE], S3)
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


USAGE = {
    "seconds": {"cpu": 57_600.0},
    "units": {"extract": 4},
    "bytes": {"fetched": 4.4e9, "read": 1e8, "written": 5e9},
    "requests": {
        "GetObject": 20,
        "HeadObject": 8,
        "PutObject": 40,
        "UploadPart": 400,
        "ListObjectsV2": 4,
        "source": 5000,
    },
}


def test_bytes_grow_with_rows_and_requests_with_units() -> None:
    """1,000 articles in 4 units: a million are 4,000 units. 440,000 PUTs and 4,000 listings are 2.22 dollars."""
    ((_, extract),) = measured([run("extract", 1000, 3600, 32, usage=USAGE)]).items()
    found = estimate(extract, MILLION, [CPU_NODE], S3)
    assert found.bytes == {
        "fetched": pytest.approx(4.4e12),
        "read": pytest.approx(1e11),
        "written": pytest.approx(5e12),
    }
    assert found.requests == {"GET": 20_000, "HEAD": 8000, "PUT": 440_000, "LIST": 4000}
    assert found.request_dollars == pytest.approx(28_000 * 0.4e-6 + 444_000 * 5e-6)
    assert found.month_dollars == pytest.approx(5 * 23)


def test_uploaded_parts_grow_with_what_is_uploaded() -> None:
    """Units of half the size: twice as many rows in each, and twice as many parts."""
    smaller = {**USAGE, "units": {"extract": 8}}
    (extract,) = measured([run("extract", 1000, 3600, 32, usage=smaller)]).values()
    assert estimate(extract, MILLION, [CPU_NODE], S3).requests["PUT"] == 40 * 500 + 400 * 1000


def test_what_is_short_may_be_the_network_or_requests() -> None:
    """20 nodes of 200 MB/s write 5 TB in 1,250 s; 444,000 writes take 127 s at 3,500 a second."""
    (quick,) = measured([run("extract", 1000, 0.036, 32, usage=USAGE)]).values()
    found = estimate(quick, MILLION, [CPU_NODE], S3)
    assert (found.bound, found.wall) == ("network", pytest.approx(1250 / 3600))
    assert found.dollars == pytest.approx(1250 / 3600 * CPU_NODE.most * CPU_NODE.dollars)  # all nodes wait meanwhile
    few_bytes = {**USAGE, "bytes": {"written": 1e6}}
    (quick,) = measured([run("extract", 1000, 0.036, 32, usage=few_bytes)]).values()
    found = estimate(quick, MILLION, [CPU_NODE], S3)
    assert (found.bound, found.wall) == ("requests", pytest.approx(444_000 / 3500 / 3600))


def test_assumptions_replace_what_the_trial_cannot_tell() -> None:
    """16 processor hours of 32 that were there: at 80 % they would have been 20."""
    (extract,) = measured([run("extract", 1000, 3600, 32, usage=USAGE)]).values()
    assert estimate(extract, Size(1000, 4000, busy=0.8), [CPU_NODE], S3).hours["CPU"] == pytest.approx(20)
    (annotate,) = measured([run("annotate", 4000, 3600, 2)]).values()
    found = estimate(annotate, Size(1000, 3_600_000, gpu_figures_s=100), [CPU_NODE, GPU_NODE], S3)
    assert (found.hours["GPU"], found.assumed_gpu) == (pytest.approx(10), True)
    (annotate,) = measured([run("annotate", 4000, 3600, 2, 1)]).values()
    found = estimate(annotate, Size(1000, 4000, gpu_figures_s=100), [CPU_NODE, GPU_NODE], S3)
    assert (found.hours["GPU"], found.assumed_gpu) == (pytest.approx(1), False)


def test_a_cluster_without_gpus_cannot_do_what_needed_some() -> None:
    with pytest.raises(ValueError, match="no nodes with GPUs"):
        estimate(Measured("annotate", 1, 1, {"CPU": 1, "GPU": 1}), MILLION, [CPU_NODE], S3)


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
    out = capsys.readouterr().out
    told = " ".join(out.split())
    lines = {line.split()[0]: line.split() for line in reversed(out.splitlines()) if line}
    price = yaml.safe_load((ROOT / "deploy" / "prices.yaml").read_text())["m7i.4xlarge"]["on_demand"]
    dollars = [f"{12_600 * price:,.0f}", f"{12_600 * 0.35:,.0f}"]
    assert lines["extract"][1:] == ["6,300,000", "201,600", "0", "630.0", "CPU", *dollars]
    assert lines["annotate"][1:3] == ["*", "24,000,000"]
    assert lines["all"][1] == f"{201_600 + 24e6 / 4000 * 16 * 300 / 3600:,.0f}"
    assert "Not measured: panels, dedupe, label, serialize; no run of the trial." in told
    assert "requests" not in out


def test_the_sheet_of_one_stage_with_requests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    store = written(tmp_path, run("extract", 1000, 3600, 32, usage=USAGE), run("dedupe", 4000, 3600, 32))
    assert main(["plan", "extract", "--store", str(store)]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if line.startswith("extract")]
    assert rows[0][:4] == ["extract", "6,300,000", "201,600", "50%"]
    assert rows[1] == ["extract", "27.72", "0.63", "31.50", "0.13", "0.05", "2.77", "0.03", "0.00", "14", "724"]
    assert "dedupe" not in out and "Requests are of units" not in out
    assert "requests with units (25,200 of 250 articles)" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--prices", "nowhere.yaml"], "prices: nowhere.yaml: "),
        (["--cluster", "jobs/extract.yaml"], "cluster and prices: expected node types"),
        (["--articles", "nan"], "articles: expected a number of at least 1, got nan"),
        (["--article", "5"], "--article: unknown key; did you mean articles?"),
        (["--busy", "70"], "busy: expected a share from 0 to 1, got 70.0"),
        (["extrakt"], "extrakt: no stage whose work grows with rows; did you mean extract?"),
        (["dedupe"], "store: "),
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
    assert "no run that did work; run extract, panels, dedupe" in capsys.readouterr().err
