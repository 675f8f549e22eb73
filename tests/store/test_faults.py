"""A server that fails at the n-th request: what was committed is whole, and what is not whole is not committed."""

from __future__ import annotations

import functools
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from biomedica_ray.store import Store, StoreError
from biomedica_ray.units import Flow
from tests.fakes.flaky_proxy import flaky_proxy
from tests.fakes.s3 import client, s3_server

ARTICLES = pa.schema([("id", pa.string())])
FIGURES = pa.schema([("id", pa.string()), ("image", pa.large_binary())])
FROM_THEN_ON = 10**9
LARGE = 11 * 2**20
"""Bytes that go up in parts."""


@functools.cache
def image(mark: str) -> bytes:
    """Bytes that cannot be compressed; only those of "new" are large, as each server here takes its time for them."""
    return random.Random(mark).randbytes(LARGE if mark == "new" else 100)


def write_unit(store: Store, mark: str) -> None:
    """A table without images, one with an image, and a file whose name stays the same."""
    with store.write_unit("extract", 1, mark, "run") as writer:
        writer.table("articles", ARTICLES).write([{"id": mark}])
        writer.table("figures", FIGURES).write([{"id": mark, "image": image(mark)}])
        writer.file("tar", "dataset/1.tar").write_bytes(mark.encode())
        writer.commit({"figures": Flow(1, 1)})


def committed(store: Store) -> str | None:
    """The mark of the commit, after its files were compared with what was written under this mark."""
    commits = store.commits("extract")
    if not commits:
        return None
    mark = commits[1].fingerprint
    assert store.read(commits[1], "articles").to_pylist() == [{"id": mark}]
    assert store.read(commits[1], "figures").to_pylist() == [{"id": mark, "image": image(mark)}]
    assert store.read_bytes("dataset/1.tar") == mark.encode()
    return mark


class Faults:
    """What happens to the requests for files of each store, by their number."""

    def __init__(self) -> None:
        self.planned: dict[str, tuple[str, range]] = {}
        self.requests = Counter[str]()

    def __call__(self, path: str, _: int) -> str | None:
        store = "/".join(path.split("/")[2:4])
        number = self.requests[store]
        self.requests[store] += 1
        how, bad = self.planned.get(store, ("", range(0)))
        return how if number in bad else None


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[str, str, Faults]]:
    """Endpoints of a server and of the proxy before it, and its faults."""
    faults = Faults()
    with s3_server() as server, flaky_proxy(server, faults) as (proxy, _):
        client(server).create_bucket(Bucket="stores")
        yield server, proxy, faults


@pytest.mark.parametrize(
    ("how", "times"), [("500", 1), ("cut", 1), ("lose", 1), ("503", FROM_THEN_ON), ("lose", FROM_THEN_ON)]
)
def test_a_unit_is_whole_or_not_committed_whatever_request_fails(
    how: str, times: int, servers: tuple[str, str, Faults], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biomedica_ray.store.filesystem.ATTEMPTS", 2)
    monkeypatch.setattr("biomedica_ray.store.filesystem.READ_AGAIN_S", 0.5)
    monkeypatch.setattr("biomedica_ray.store.objects.ATTEMPTS", 2)
    server, proxy, faults = servers

    def stores(name: str) -> tuple[Store, Store]:
        """A store, already written once, as it is and as its writer sees it."""
        clean, faulty = (Store(f"s3://stores/{tmp_path.name}/{name}", endpoint) for endpoint in (server, proxy))
        write_unit(clean, "old")
        return clean, faulty

    def outcome(number: int) -> tuple[bool, str | None]:
        """Whether the writer thought that it was done, and what is there."""
        clean, faulty = stores(str(number))
        faults.planned[f"{tmp_path.name}/{number}"] = how, range(number, number + times)
        try:
            write_unit(faulty, "new")
            done = True
        except (OSError, StoreError):
            done = False
        now = committed(clean)
        assert now == "new" or not done, f"request {number}"
        return done, now

    _, faulty = stores("clean")
    write_unit(faulty, "new")
    requests = faults.requests[f"{tmp_path.name}/clean"]
    assert requests > 10
    with ThreadPoolExecutor(8) as pool:
        outcomes = set(pool.map(outcome, range(requests)))
    # Some of the faults were survived, and of those that last not all.
    assert (True, "new") in outcomes
    assert times == 1 or {now for done, now in outcomes if not done} >= {"old", None}
