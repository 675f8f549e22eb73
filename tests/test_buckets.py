"""A store on Google Cloud Storage and on Azure: what is read from it by ranges, and stages that write to it."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import biomedica_ray
from biomedica_ray.cli import main
from biomedica_ray.reading.tars import Tars
from biomedica_ray.runs import read_runs
from biomedica_ray.store import Store, StoreError, check_answers, ranges
from biomedica_ray.store.azure_client import Account
from biomedica_ray.store.ranges import open_ahead, open_random
from tests.fakes.azure import azure_server
from tests.fakes.flaky_proxy import flaky_proxy
from tests.fakes.gcs import gcs_server


@pytest.fixture(scope="module", params=["gs", "az"])
def stores(request: pytest.FixtureRequest) -> Iterator[Store]:
    """The root of a bucket on a server of this machine."""
    with (gcs_server if request.param == "gs" else azure_server)("stores") as url:
        yield Store(f"{request.param}://stores", url)


@pytest.fixture(scope="module")
def azure() -> Iterator[str]:
    with azure_server("stores") as url:
        yield url


@pytest.mark.parametrize("size", [0, 1, 1000, 1001, 20_007])
def test_objects_are_read_by_ranges(stores: Store, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "RANGE_BYTES", 1000)
    store, data = Store(stores.uri("objects"), stores.endpoint_url), np.random.default_rng(size).bytes(size)
    store.write_bytes(f"{size}.tar", data)
    with open_ahead(store, f"{size}.tar") as stream:
        assert stream.read() == data
    with open_random(store, f"{size}.tar") as file:
        file.seek(size // 2)
        assert file.read(2500) == data[size // 2 :][:2500]
    tars = Tars("shards", stores.endpoint_url)
    with tars.open(store.uri(f"{size}.tar")) as stream:
        assert stream.read() == data
    listed = tars.listed(store.uri())
    assert listed[store.uri(f"{size}.tar")].split()[0] == str(size)


def test_what_is_not_there_is_told_at_once(stores: Store) -> None:
    store = stores
    with (
        pytest.raises(FileNotFoundError, match=f"{store.uri('none')}: no such object"),
        open_ahead(store, "none") as it,
    ):
        it.read(1)
    with pytest.raises(FileNotFoundError), open_random(store, "none"):
        pass


def test_a_bucket_that_is_not_there_is_one_line(stores: Store) -> None:
    none, url = stores.root.replace("stores", "none/pmc"), str(stores.endpoint_url)
    line = ["dedupe", "--store", none, "--endpoint_url", url]
    done = subprocess.run(
        [sys.executable, "-m", "biomedica_ray", *line], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    kind = "container" if none.startswith("az") else "bucket"
    assert done.stderr.splitlines()[-1].endswith(f"store {none} at {url}: there is no such {kind}")


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        (
            {"AZURE_STORAGE_ACCOUNT": ""},
            "AZURE_STORAGE_ACCOUNT is not set; az:// needs the name of the storage account there, on every node",
        ),
        (
            {"AZURE_STORAGE_KEY": ""},
            "no Azure credentials found; set AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN, on every node",
        ),
        ({"AZURE_STORAGE_KEY": "a key"}, "AZURE_STORAGE_KEY: expected an account key, which is base64"),
        ({"AZURE_STORAGE_KEY": "AAAA"}, "the server refuses the key or signature of the storage account"),
        (
            {"AZURE_STORAGE_SAS_TOKEN": "?sv=2020-12-06&sig=AAAA"},
            "the server refuses the key or signature of the storage account",
        ),
        ({"AZURE_STORAGE_ACCOUNT": "another"}, "there is no such storage account"),
    ],
)
def test_an_account_that_azure_refuses_is_one_line(
    azure: str, variables: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match=rf"^[^\n]*az://stores/pmc[^\n]*: {re.escape(reason)}$"):
        Store("az://stores/pmc", azure).try_writing()


def test_an_account_that_nobody_has_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "biomedicaraynobodyhasit"
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", name)
    for module in ("azure_client", "writable"):
        monkeypatch.setattr(f"biomedica_ray.store.{module}.wait_after", lambda _: None)
    told = f"store az://stores/pmc: there is no storage account {name}: {name}.blob.core.windows.net is unknown"
    with pytest.raises(StoreError, match=f"^{told}$"):
        Store("az://stores/pmc").try_writing()
    told = "the server does not answer: nowhere.invalid is unknown"
    with pytest.raises(StoreError, match=f"^store az://stores/pmc at http://nowhere.invalid: {told}$"):
        Store("az://stores/pmc", "http://nowhere.invalid").try_writing()
    with pytest.raises(StoreError, match=f"^az://stores/pmc at http://nowhere.invalid: {told}$"):
        check_answers("az://stores/pmc", "http://nowhere.invalid")


def test_a_source_whose_server_is_silent_is_told_soon(azure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.store.filesystem.TRIAL_S", 0.5)
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(
            StoreError, match=rf"^az://none/pmc at {url}: the server does not answer \(ReadTimeoutError\)$"
        ):
            check_answers("az://none/pmc", url)
    assert time.monotonic() - started < 20  # two tries of half a second each, on a busy machine
    check_answers("az://none/pmc", azure)  # it answers, whatever it says
    check_answers("az://stores/none", azure)


def test_a_signature_of_the_user_is_enough(azure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    signature = Account.of_environment().query()
    monkeypatch.delenv("AZURE_STORAGE_KEY")
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", f"?{signature}")
    store = Store("az://stores/signed", azure)
    store.try_writing()
    store.write_bytes("a.txt", b"a")
    assert (store.read_bytes("a.txt"), store.list("")) == (b"a", ["a.txt"])


def test_a_blob_is_there_as_a_whole_while_it_is_replaced(azure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.store.azure_client.PIECE_BYTES", 1000)
    store, seen, done = Store("az://stores/whole", azure), set(), threading.Event()
    versions = [bytes([number]) * (3500 if number % 2 else 900) for number in range(40)]
    store.write_bytes("it", versions[0])

    def read() -> None:
        while not done.is_set():
            seen.add(store.read_bytes("it"))

    thread = threading.Thread(target=read)
    thread.start()
    for version in versions:
        store.write_bytes("it", version)
    done.set()
    thread.join()
    assert len(seen) > 2
    assert seen <= set(versions)


def test_of_two_that_write_a_blob_at_a_time_one_has_all_of_it(azure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is second to finish has lost its blocks to the first, and sends them again."""
    monkeypatch.setattr("biomedica_ray.store.azure_client.PIECE_BYTES", 1000)
    store, sent_again = Store("az://stores/two", azure), []
    monkeypatch.setattr("biomedica_ray.store.azure_client.wait_after", sent_again.append)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(20):
            both = [letter * 20_500 for letter in (b"a", b"b")]
            list(pool.map(lambda data: store.write_bytes("it", data), both))
            assert store.read_bytes("it") in both
    assert 0 < len(sent_again) <= 20


def test_a_blob_of_blocks_is_there_though_nobody_heard_of_it(azure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer to Put Block List is lost, and it is sent again."""
    monkeypatch.setattr("biomedica_ray.store.azure_client.PIECE_BYTES", 1000)
    data = np.random.default_rng(0).bytes(3500)
    with flaky_proxy(azure, lambda _, before: "lose" if before == 4 else None) as (url, seen):
        Store("az://stores/lost", url).write_bytes("it", data)
        assert seen.below("/devstoreaccount1/stores/lost/") == {"it": 4 + 2}
    assert Store("az://stores/lost", azure).read_bytes("it") == data


def test_a_server_that_fails_is_asked_again(azure: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("azure_client", "objects"):
        monkeypatch.setattr(f"biomedica_ray.store.{module}.wait_after", lambda _: None)
    monkeypatch.setattr("biomedica_ray.store.azure_client.PIECE_BYTES", 1000)
    data = np.random.default_rng(0).bytes(3500)
    with flaky_proxy(azure, lambda _, before: {0: "503", 1: "cut", 4: "lose", 8: "truncate"}.get(before)) as (
        url,
        seen,
    ):
        store = Store("az://stores/faults", url)
        store.write_bytes("it", data)
        assert store.read_bytes("it") == data
        assert seen.below("/devstoreaccount1/stores/faults/") == {"it": 5 + 3 + 2}
        with pytest.raises(FileNotFoundError, match="az://stores/faults/none: no such object"):
            store.read_bytes("none")
    with flaky_proxy(azure, lambda _, __: "503") as (url, seen):
        with pytest.raises(OSError, match=r"^az://stores/faults/it: HTTP status 503$"):
            Store("az://stores/faults", url).write_bytes("it", data)
        assert 10 <= sum(seen.asked.values()) <= 40


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_stages_from_articles_to_a_dataset(ray_cluster: None, stores: Store) -> None:
    store = Store(stores.uri("pmc"), stores.endpoint_url)

    def run() -> None:
        for stage, *keys in (["extract", "--source", "sample"], ["dedupe"], ["panels"], ["serialize"]):
            line = [*keys, "--store", store.root, "--endpoint_url", str(store.endpoint_url), "--memory_gb", "1"]
            assert main([stage, *line]) == 0

    run()
    counts = {run["stage"]: run["counts"] for run in read_runs(store)}
    figures = store.dataset("extract", "figures").count_rows()
    assert counts["dedupe"]["figures"]["rows_out"] == figures > 100
    samples = counts["serialize"]["samples"]["rows_out"]
    assert biomedica_ray.load(store.uri("dataset"), endpoint_url=store.endpoint_url).count() == samples > 100
    commits = store.commits("extract")
    run()
    assert store.commits("extract") == commits
