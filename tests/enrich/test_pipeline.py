"""The stage enrich, on Ray, against a local server that counts calls and enforces the rate."""

from __future__ import annotations

import time
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import ray

from biomedica_ray import cli
from biomedica_ray.cluster import StageFailedError
from biomedica_ray.config import ConfigError
from biomedica_ray.enrich.config import EnrichConfig
from biomedica_ray.enrich.pipeline import run as enrich
from biomedica_ray.enrich.rate import ClusterLimiter
from biomedica_ray.runs import Run
from biomedica_ray.stages import PipelineConfig, load
from biomedica_ray.store import Store, StoreError
from biomedica_ray.units import Flow
from tests.fakes.eutils import KEY, EutilsServer, eutils_server
from tests.synthetic import article, lose_a_row, write_extracted

N_ARTICLES = 12
UNKNOWN = "1003"


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NCBI_API_KEY", raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Twelve articles; PMC0 has no pmid, PMC1 one that is none, and PubMed does not know that of PMC3."""
    store = Store(str(tmp_path / "store"))
    pmids = [None, "see DOI", *(str(1000 + number) for number in range(2, N_ARTICLES))]
    write_extracted(store, [article(f"PMC{number}", pmid=pmid) for number, pmid in enumerate(pmids)], [])
    return store


def run(store: Store, server: EutilsServer, **keys: Any) -> Run:
    config = EnrichConfig(store=store.root, email="somebody@example.org", eutils_url=server.url, **keys)
    with Run("enrich", config) as stage_run:
        enrich(config, stage_run)
    return stage_run


@pytest.mark.cluster
def test_each_article_is_a_row_or_an_error_and_is_fetched_once(ray_cluster: None, store: Store) -> None:
    with eutils_server(unknown=frozenset({UNKNOWN})) as server:
        first = run(store, server)
        calls = len(server.calls)
        second = run(store, server)
    assert first.counts == {
        "articles": Flow(N_ARTICLES - 1, N_ARTICLES - 3, 2),
        "articles without pmid": Flow(1, 1, 0),
    }
    rows = store.dataset("enrich", "pubmed").to_table().to_pylist()
    assert {row["article_id"]: row["mesh_headings"][0]["descriptor"] for row in rows} == {
        f"PMC{number}.1": f"Heading {1000 + number}" for number in range(2, N_ARTICLES) if number != 3
    }
    errors = store.dataset("enrich", "errors").to_table().to_pylist()
    assert sorted((row["what"], row["kind"]) for row in errors) == [
        ("PMC1.1", "bad-pmid"),
        ("PMC3.1", "unknown-pmid"),
    ]
    assert server.peak() <= 4, "3 a second, and one that a busy machine delayed"
    assert len(server.calls) == calls, "the second run asked again"
    assert second.counts == first.counts


@pytest.mark.cluster
def test_a_unit_that_could_not_be_asked_for_is_tried_again(ray_cluster: None, store: Store) -> None:
    with eutils_server(100, spoil=lambda _, pmids: "400" if "1002" in pmids else None) as server:
        first = run(store, server, rate=50)
    failed = first.counts["articles"].errors - 1
    assert failed >= 1
    errors = store.dataset("enrich", "errors").to_table().to_pylist()
    assert sum(row["kind"] == "unavailable" for row in errors) == failed
    with eutils_server(100) as server:
        second = run(store, server, rate=50)
    assert second.counts["articles"] == Flow(N_ARTICLES - 1, N_ARTICLES - 2, 1)
    assert len(server.answered) == failed + 1, "only what failed, and the probe"


@pytest.mark.cluster
def test_an_article_that_is_not_read_fails_the_run(
    ray_cluster: None, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = min(store.commits("extract"))
    lose_a_row(store, "extract", unit, "articles")
    with eutils_server(100) as server:
        command = ["enrich", "--store", store.root, "--email", "somebody@example.org", "--eutils_url", server.url]
        assert cli.main([*command, "--rate", "50"]) == 1
    assert f"enrich, unit {unit}: rows lost: articles: " in capsys.readouterr().err.splitlines()[-1]
    assert unit not in store.commits("enrich")


@pytest.mark.cluster
def test_many_workers_and_jobs_keep_one_rate(ray_cluster: None) -> None:
    @ray.remote(num_cpus=0.1)
    def worker(seconds: float) -> list[float]:
        limiter, leaves, end = ClusterLimiter(10), [], time.time() + seconds
        while time.time() < end:
            limiter.acquire()
            leaves.append(time.time())
        return leaves

    leaves = sorted(chain.from_iterable(ray.get([worker.remote(4.0) for _ in range(6)])))
    assert len(leaves) >= 25
    assert len(leaves) - 1 <= 10 * (leaves[-1] - leaves[0])
    # A busy machine may delay a leave's way to the worker, and so bring it nearer to the next.
    assert max(sum(start <= leave < start + 1 for leave in leaves) for start in leaves) <= 12


@pytest.mark.cluster
def test_the_key_is_used_and_written_nowhere(ray_cluster: None, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCBI_API_KEY", KEY)
    with eutils_server() as server:
        run(store, server)
        assert {call.fields.get("api_key") for call in server.calls} == {KEY}
    for path in Path(store.root).rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes()
    monkeypatch.setenv("NCBI_API_KEY", "no-such-key")
    with eutils_server() as server, pytest.raises(ConfigError, match=r"NCBI_API_KEY: .*API key") as caught:
        run(store, server, edition="next")
    assert "no-such-key" not in str(caught.value)


@pytest.mark.cluster
def test_a_service_out_of_reach_is_one_line(ray_cluster: None, store: Store, tmp_path: Path) -> None:
    with eutils_server() as server:
        pass
    with pytest.raises(StageFailedError, match=r"eutils_url: http://127\.0\.0\.1") as caught:
        run(store, server)
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreError, match="nothing extracted yet"):
        run(Store(str(tmp_path / "empty")), server)


def test_a_pipeline_enriches_where_it_is_asked_to() -> None:
    plain = load("pipeline", ["--store", "s"])
    asked = load("pipeline", ["--store", "s", "--enrich.email", "somebody@example.org"])
    assert isinstance(plain, PipelineConfig)
    assert isinstance(asked, PipelineConfig)
    assert "enrich" not in plain.stages
    assert asked.stages[:2] == ("extract", "enrich")
    with pytest.raises(ConfigError, match=r"enrich\.email"):
        load("pipeline", ["--store", "s", "--enrich.email", "nobody"])
