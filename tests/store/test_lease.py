from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from biomedica_ray.store import Store, StoreError
from biomedica_ray.store.lease import Lease, _LocalPlace
from tests.fakes.flaky_proxy import flaky_proxy
from tests.fakes.s3 import client, s3_server


def write(store: Store, part: str, **holder: object) -> None:
    store.write_json(f"leases/{part}.json", holder)


def test_the_second_run_is_told_of_the_first_and_another_part_is_free(store: Store) -> None:
    with Lease(store, "train/clip", "run-1"):
        held = (
            rf"train/clip is held by run-1 on {socket.gethostname()} since 20\d\d-.*, renewed \d+ s ago .*--wait true$"
        )
        with pytest.raises(StoreError, match=held), Lease(store, "train/clip", "run-2"):
            pass
        with Lease(store, "train/other", "run-3"):
            assert store.list("leases/train") == ["clip.json", "other.json"]
    with Lease(store, "train/clip", "run-4"):
        assert store.read_json("leases/train/clip.json")["run_id"] == "run-4"
    assert store.list("leases/train") == []
    assert not store.is_local or not Path(store.root).exists()


def test_a_run_that_waits_begins_when_the_other_has_ended(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.store.lease.ASK_AGAIN_S", 0.05)
    order = []

    def second() -> None:
        with Lease(store, "extract", "run-2", wait=True):
            order.append("second")

    thread = threading.Thread(target=second)
    with Lease(store, "extract", "run-1"):
        thread.start()
        time.sleep(0.3)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


def test_of_many_that_ask_at_once_one_holds_it_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    if store.root.startswith("gs://"):
        pytest.skip("Arrow writes there without conditions, and of runs that ask at once several may go on for a while")
    monkeypatch.setattr("biomedica_ray.store.lease.ASK_AGAIN_S", 0.02)
    ended = subprocess.Popen(["true"])
    ended.wait()
    # free, so that all of them try to take it over
    write(store, "extract", run_id="run-0", host=socket.gethostname(), process=ended.pid, since="then")
    inside, most, done = 0, 0, 0
    lock = threading.Lock()

    def run(number: int) -> None:
        nonlocal inside, most, done
        with Lease(store, "extract", f"run-{number}", wait=True):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.05)
            with lock:
                inside -= 1
                done += 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(run, range(1, 7)))
    assert (most, done) == (1, 6)


def test_a_killed_run_holds_its_part_no_longer(store: Store) -> None:
    code = (
        "import os, signal; from biomedica_ray.store import Store; from biomedica_ray.store.lease import Lease\n"
        f"Lease(Store({store.root!r}, {store.endpoint_url!r}), 'extract', 'run-1').__enter__()\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -9
    assert store.read_json("leases/extract.json")["run_id"] == "run-1"
    with Lease(store, "extract", "run-2"):
        assert store.read_json("leases/extract.json")["run_id"] == "run-2"


def test_a_run_elsewhere_is_taken_for_dead_when_it_has_not_renewed_its_lease(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(store, "extract", run_id="run-1", host="elsewhere", process=1, since="then")
    with pytest.raises(StoreError, match="held by run-1 on elsewhere since then"), Lease(store, "extract", "run-2"):
        pass
    monkeypatch.setattr("biomedica_ray.store.lease.EXPIRES_S", 0.0)
    time.sleep(1.1)  # S3 tells dates by the second
    with Lease(store, "extract", "run-2"):
        assert store.read_json("leases/extract.json")["run_id"] == "run-2"


def test_a_lease_is_renewed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.store.lease.RENEW_S", 0.1)
    path = store.path("leases/extract.json")
    with Lease(store, "extract", "run-1"):
        first = store.filesystem.get_file_info(path).mtime_ns
        deadline = time.monotonic() + 10
        while store.filesystem.get_file_info(path).mtime_ns == first and time.monotonic() < deadline:
            time.sleep(0.05)
        assert store.filesystem.get_file_info(path).mtime_ns > first
        with pytest.raises(StoreError, match="held by run-1"), Lease(store, "extract", "run-2"):
            pass
    assert not store.has("leases/extract.json")


def test_there_is_no_moment_without_a_lease(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.store.lease.RENEW_S", 0.001)
    with Lease(store, "extract", "run-1"):
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            assert store.read_json("leases/extract.json")["run_id"] == "run-1"


def test_a_run_whose_lease_was_taken_stops_and_leaves_the_others(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.store.lease.RENEW_S", 0.1)
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_DFL)
    # Processes that a shell starts in the background ignore it.
    outside = signal.signal(signal.SIGINT, signal.default_int_handler)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Lease(store, "extract", "run-1"):
        write(store, "extract", run_id="run-2", host="elsewhere", process=1, since="now")
        time.sleep(90)
    signal.signal(signal.SIGINT, outside)
    assert time.monotonic() - started < 60
    assert store.read_json("leases/extract.json")["run_id"] == "run-2"


def test_a_renewal_that_came_about_though_nobody_heard_of_it_is_ours(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first answer after a renewal is lost."""
    monkeypatch.setattr("biomedica_ray.store.lease.RENEW_S", 0.1)
    with Lease(store, "extract", "run-1") as lease:
        place, lost = lease._place, threading.Event()
        write, read = place.write, place.read

        def write_and_lose(*arguments: Any) -> str | None:
            version = write(*arguments)
            if not lost.is_set():
                lost.set()
                raise OSError("the connection was lost")
            return version

        monkeypatch.setattr(place, "write", write_and_lose)
        assert lost.wait(10)
        time.sleep(1)
        held = read()
        assert held is not None and held.holder["run_id"] == "run-1"
    assert not store.has("leases/extract.json")


def test_a_lease_that_is_being_written_is_held(tmp_path: Path) -> None:
    (tmp_path / "leases").mkdir()
    (tmp_path / "leases/extract.json").write_text("")
    with pytest.raises(StoreError, match="held by a run that is starting"), Lease(Store(str(tmp_path)), "extract", "x"):
        pass
    assert [path.name for path in (tmp_path / "leases").iterdir()] == ["extract.json"]


@pytest.mark.parametrize("how", ["500", "503", "cut", "lose", "truncate"])
def test_a_server_that_fails_now_and_then_costs_no_lease(how: str) -> None:
    asked = count()
    with (
        s3_server() as server,
        flaky_proxy(server, lambda _, __: how if next(asked) % 3 == 0 else None) as (url, seen),
    ):
        client(server).create_bucket(Bucket="stores")
        store = Store("s3://stores/mine", url)
        store.try_writing()
        with Lease(store, "extract", "run-1"):
            with pytest.raises(StoreError, match="held by run-1"), Lease(store, "extract", "run-2"):
                pass
            assert seen.asked["/stores/mine/leases/extract.json"] >= 4
        assert Store("s3://stores/mine", server).list("leases") == []


@pytest.mark.parametrize("kind", ["s3", "az"])
def test_a_lease_that_was_taken_though_nobody_heard_of_it_is_ours(kind: str, request: pytest.FixtureRequest) -> None:
    """The answer to the first write is lost, and it is sent again."""

    def spoil(path: str, times: int) -> str | None:
        return "lose" if path.endswith("extract.json") and times == 1 else None

    server, root = request.getfixturevalue({"s3": "endpoint", "az": "azure"}[kind]), f"{kind}://stores/lost"
    with flaky_proxy(server, spoil) as (url, _):
        with Lease(Store(root, url), "extract", "run-1"):
            assert Store(root, server).read_json("leases/extract.json")["run_id"] == "run-1"
        assert Store(root, server).list("leases") == []


def test_who_comes_late_takes_no_lease_from_who_came_first(tmp_path: Path) -> None:
    """Two have seen that a lease is free; the second one asks for it when the first one has it."""
    lease = tmp_path / "leases/extract.json"
    place = _LocalPlace(lease)
    free = place.write({"run_id": "run-1"}, None)
    assert free is not None
    inode = lease.stat().st_ino
    first = place.write({"run_id": "run-2"}, free)
    assert first is not None and lease.stat().st_ino != inode
    inode = lease.stat().st_ino
    assert place.write({"run_id": "run-3"}, free) is None
    assert lease.stat().st_ino == inode  # it was not moved away and back, which would leave a moment without it
    place.delete(free)
    assert json.loads(lease.read_text())["run_id"] == "run-2"
    assert [path.name for path in lease.parent.iterdir()] == ["extract.json"]


def test_a_claim_of_a_process_that_died_is_removed_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = tmp_path / "leases/extract.json"
    place = _LocalPlace(lease)
    free = place.write({"run_id": "run-1"}, None)
    assert free is not None
    with monkeypatch.context() as dying:
        dying.setattr(Path, "replace", lambda *_: os._exit(9))
        process = os.fork()
        if not process:
            place.write({"run_id": "run-2"}, free)
        os.waitpid(process, 0)
    assert place.write({"run_id": "run-3"}, free) is None
    monkeypatch.setattr("biomedica_ray.store.lease.EXPIRES_S", 0.0)
    assert place.write({"run_id": "run-3"}, free) is None
    assert place.write({"run_id": "run-3"}, free) is not None
