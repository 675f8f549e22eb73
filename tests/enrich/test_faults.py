"""Enrichment that is killed in the middle, or whose rate limiter is."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import ray

from biomedica_ray.enrich.config import EnrichConfig
from biomedica_ray.enrich.pipeline import run as enrich
from biomedica_ray.enrich.rate import NAME, NAMESPACE
from biomedica_ray.runs import Run
from biomedica_ray.store import Store
from biomedica_ray.units import Flow, unit_of
from tests.fakes.eutils import EutilsServer, eutils_server
from tests.synthetic import N_UNITS, article, write_extracted

RATE = 3
PROBE = "1"
"""What is asked for before the work starts, to see whether the service can be reached."""


@pytest.fixture(autouse=True)
def no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NCBI_API_KEY", raising=False)


def make_store(root: Path, n_articles: int) -> Store:
    store = Store(str(root))
    write_extracted(store, [article(f"PMC{n}", pmid=str(1000 + n)) for n in range(n_articles)], [])
    return store


def run(store: Store, server: EutilsServer, email: str) -> Run:
    config = EnrichConfig(store=store.root, email=email, eutils_url=server.url, rate=RATE)
    with Run("enrich", config) as stage_run:
        enrich(config, stage_run)
    return stage_run


def rows(store: Store) -> list[list[dict[str, Any]]]:
    tables = (store.dataset("enrich", name).to_table().to_pylist() for name in ("pubmed", "errors"))
    return [sorted(table, key=str) for table in tables]


def asked(server: EutilsServer, email: str) -> Counter[str]:
    """How often each id was asked for by the run with that address."""
    calls = [call for call in server.calls if call.fields["email"] == email]
    return Counter(pmid for call in calls for pmid in call.pmids if pmid != PROBE)


@pytest.mark.cluster
def test_a_run_that_was_killed_half_way_asks_only_for_what_is_missing(ray_cluster: None, tmp_path: Path) -> None:
    """Half of the units lack their commit, as after a kill; the two runs are told apart by their addresses."""
    first, second = "first@example.org", "second@example.org"
    store = make_store(tmp_path / "store", 40)
    with eutils_server(100, unknown=frozenset({"1007"})) as server:
        run(store, server, first)
        whole, commits = rows(store), store.commits("enrich")
        lost = set(sorted(commits)[::2])
        for unit in lost:
            store.delete(f"commits/enrich/{unit:06d}.json")
        resumed = run(store, server, second)
    missing = {str(1000 + n) for n in range(40) if unit_of(f"PMC{n}", N_UNITS) in lost}
    assert asked(server, second) == Counter(missing)
    assert resumed.counts["articles"] == Flow(40, 39, 1)
    assert resumed.before["articles"].rows_in == 40 - len(missing)
    after = store.commits("enrich")
    assert {unit for unit in after if after[unit] == commits[unit]} == commits.keys() - lost
    assert rows(store) == whole


@pytest.mark.cluster
def test_a_rate_limiter_that_is_killed_comes_back_and_keeps_the_rate(ray_cluster: None, tmp_path: Path) -> None:
    n_articles = 1200  # two calls a unit
    store = make_store(tmp_path / "store", n_articles)
    pids: list[int] = []

    def kill(server: EutilsServer) -> None:
        while len(server.calls) < 3:
            time.sleep(0.01)
        pids.append(limiter_pid())
        os.kill(pids[0], signal.SIGKILL)

    # The server allows two more, as a busy machine may bring calls nearer together than the leaves were.
    with eutils_server(RATE + 2) as server:
        killer = threading.Thread(target=kill, args=(server,), daemon=True)
        killer.start()
        finished = run(store, server, "somebody@example.org")
        killer.join(10)
        assert limiter_pid() != pids[0]
    assert len(server.calls) >= 1 + 2 * N_UNITS
    assert 429 not in server.statuses()
    assert len(server.calls) - 1 <= RATE * (server.calls[-1].at - server.calls[0].at) + 1
    assert finished.counts["articles"] == Flow(n_articles, n_articles, 0)
    found = {row["article_id"]: row["mesh_headings"][0]["descriptor"] for row in rows(store)[0]}
    assert found == {f"PMC{n}.1": f"Heading {1000 + n}" for n in range(n_articles)}
    assert set(asked(server, "somebody@example.org").values()) == {1}


def limiter_pid() -> int:
    """The process of the limiter that is there now."""
    actor: Any = ray.get_actor(NAME, NAMESPACE)
    pid: int = ray.get(actor.__ray_call__.remote(lambda _: os.getpid()))
    return pid
