"""Commit records read through the snapshot of a stage."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.store import Commit, Store, StoreError
from biomedica_ray.store.records import SNAPSHOT
from tests.fakes.flaky_proxy import Seen, flaky_proxy
from tests.fakes.s3 import client, s3_server

N = 40


@pytest.fixture(scope="module")
def proxy() -> Iterator[tuple[str, Seen]]:
    with s3_server() as server, flaky_proxy(server) as (url, seen):
        client(server).create_bucket(Bucket="stores")
        yield url, seen


@pytest.fixture
def store(proxy: tuple[str, Seen], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Store:
    monkeypatch.setattr("biomedica_ray.store.records.WORTH_A_SNAPSHOT", 10)
    monkeypatch.setattr("biomedica_ray.store.records.SETTLED_S", -60.0)
    store = Store(f"s3://stores/{abs(hash(request.node.name))}", proxy[0])
    write(store, range(N), "aa")
    return store


def write(store: Store, units: range, mark: str) -> None:
    commits = [Commit("stage", unit, mark) for unit in units]
    list(map_in_threads(lambda commit: store.write_json(commit.record, commit.to_json()), commits))


def read(store: Store, seen: Seen) -> tuple[dict[int, str], int]:
    """Unit -> fingerprint, and the requests that it took."""
    before = seen.asked.total()
    marks = {unit: commit.fingerprint for unit, commit in store.commits("stage").items()}
    return marks, seen.asked.total() - before


def test_records_are_asked_for_once(store: Store, proxy: tuple[str, Seen]) -> None:
    _, seen = proxy
    first, requests = read(store, seen)
    assert first == dict.fromkeys(range(N), "aa")
    assert requests >= N
    again, few = read(store, seen)
    assert again == first
    assert few <= 4


def test_what_was_written_since_is_read(store: Store, proxy: tuple[str, Seen]) -> None:
    _, seen = proxy
    read(store, seen)
    time.sleep(1.1)  # S3 tells dates by the second
    write(store, range(3), "bb")
    write(store, range(N, N + 1), "aa")
    store.drop(store.commit("stage", 5))
    marks, requests = read(store, seen)
    assert marks == {n: "bb" if n < 3 else "aa" for n in range(N + 1) if n != 5}
    assert requests <= 4 + 2 * 4


def test_what_may_still_change_without_another_date_is_not_kept(
    store: Store, proxy: tuple[str, Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biomedica_ray.store.records.SETTLED_S", 600.0)
    read(store, proxy[1])
    assert not store.has(f"commits/stage/{SNAPSHOT}")
    write(store, range(N), "cc")  # within the same second, and as long as before
    marks, _ = read(store, proxy[1])
    assert marks == dict.fromkeys(range(N), "cc")


def test_what_a_run_has_made_is_asked_for_by_nobody(store: Store, proxy: tuple[str, Seen]) -> None:
    _, seen = proxy
    read(store, seen)
    time.sleep(1.1)
    made = [Commit("stage", unit, "bb") for unit in range(30)]
    write(store, range(30), "bb")
    before = seen.asked.total()
    store.keep_commits("stage", made)
    assert seen.asked.total() - before <= 3
    marks, requests = read(store, seen)
    assert marks == {n: "bb" if n < 30 else "aa" for n in range(N)}
    assert requests <= 2


def test_a_snapshot_that_cannot_be_read_or_written_costs_requests_alone(
    store: Store, proxy: tuple[str, Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"commits/stage/{SNAPSHOT}"
    read(store, proxy[1])
    store.write_bytes(path, b'{"000000.json": {"se')
    assert read(store, proxy[1])[0] == dict.fromkeys(range(N), "aa")
    store.write_bytes(path, b"{}")

    def refused(*_: object) -> None:
        raise StoreError("3 of 9 bytes have been stored")

    monkeypatch.setattr(Store, "write_bytes", refused)
    assert read(store, proxy[1])[0] == dict.fromkeys(range(N), "aa")
