from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from biomedica_ray import usage
from tests.fakes.flaky_proxy import flaky_proxy
from tests.fakes.s3 import CREDENTIALS, client, s3_server


@pytest.fixture(autouse=True)
def _nothing_before() -> None:
    usage.take()


def test_what_was_taken_is_told_once_also_of_threads() -> None:
    threads = [threading.Thread(target=lambda: [usage.count("bytes", "read", 2) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    taken = usage.take()
    for thread in threads:
        thread.join()
    taken = usage.sum_of(taken, usage.take())
    assert taken == {"bytes": {"read": 8000}}
    assert usage.take() == {}


def test_what_workers_tell_is_added() -> None:
    usage.count("units", "extract")
    usage.add({"units": {"extract": 2}, "requests": {"GetObject": 3}})
    assert usage.take() == {"units": {"extract": 3}, "requests": {"GetObject": 3}}


def test_processor_seconds_are_those_since_the_last_time() -> None:
    usage.take_work()
    started = time.process_time()
    while time.process_time() - started < 0.2:
        pass
    assert usage.take_work()["seconds"]["cpu"] == pytest.approx(0.2, abs=0.1)
    assert usage.take_work()["seconds"]["cpu"] < 0.1


def test_waiting_is_what_lies_between_two_pieces_of_work() -> None:
    turns = usage.Turns("gpu")
    for _ in range(2):
        time.sleep(0.2)
        with turns:
            time.sleep(0.05)
    taken = usage.take()["seconds"]
    assert 0.1 <= taken["gpu"] < 0.18
    assert 0.2 <= taken["gpu_wait"] < 0.35  # the first 0.2 s are starting


_WORK = """
import json, sys
from biomedica_ray import usage
from biomedica_ray.store import Store
from biomedica_ray.store.s3_client import s3_client
store = Store("s3://bucket/store", sys.argv[1])
store.write_bytes("small", b"a" * 1000)
store.write_bytes("again", b"a" * 1000)
store.write_bytes("large", b"a" * (25 * 2**20))
store.read_bytes("small"), store.has("small"), store.list("x"), store.delete("small")
s3_client(sys.argv[1]).head_object(Bucket="bucket", Key="store/again")
print(json.dumps(usage.take()))
"""

KINDS = {
    "GET": {"GetObject", "ListObjectsV2"},
    "HEAD": {"HeadObject", "HeadBucket"},
    "PUT": {"PutObject", "UploadPart"},
    "POST": {"CreateMultipartUpload", "CompleteMultipartUpload"},
    "DELETE": {"DeleteObject"},
}


def test_requests_to_s3_are_those_that_the_server_saw() -> None:
    def refuse_once(path: str, times: int) -> str | None:
        return "503" if path.endswith("/again") and not times else None

    with s3_server() as server, flaky_proxy(server, refuse_once) as (url, seen):
        client(server).create_bucket(Bucket="bucket")
        environment = {**os.environ, **CREDENTIALS, "PYTHONPATH": str(Path(__file__).parents[1])}
        done = subprocess.run(
            [sys.executable, "-c", _WORK, url], env=environment, capture_output=True, text=True, check=True, timeout=100
        )
    used = usage.sum_of({}, json.loads(done.stdout))
    requests = Counter(
        {method: int(sum(used["requests"].get(name, 0) for name in names)) for method, names in KINDS.items()}
    )
    assert requests == Counter(request.split()[0] for request in seen.requests)
    assert sum(used["requests"].values()) == len(seen.requests) > 10
    assert used["retries"] == {"PutObject": 1}
    assert used["requests"]["UploadPart"] == 3
    assert used["bytes"] == {"written": 2000 + 25 * 2**20, "read": 1000}
