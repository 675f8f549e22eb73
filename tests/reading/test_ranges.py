"""Reading from S3 by ranges: which requests are sent, what they give, and what becomes of those that fail."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest

from biomedica_ray.reading.order import LanePosition, rows_of_worker
from biomedica_ray.reading.shards import read_shards
from biomedica_ray.reading.stream import Batch, Stream
from biomedica_ray.reading.tars import Tars, find_tars
from biomedica_ray.runs import Run
from biomedica_ray.store import Store, StoreError, ranges
from biomedica_ray.store.objects import S3Object
from biomedica_ray.store.ranges import open_ahead, open_random
from biomedica_ray.train.config import TrainConfig
from tests.fakes.flaky_proxy import Seen, Spoil, flaky_proxy
from tests.fakes.s3 import client, s3_server
from tests.reading.shards import sample, write_dataset
from tests.reading.test_stream import HOW

SMALL = 1000
"""Bytes of a range here."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with s3_server() as url:
        client(url).create_bucket(Bucket="bucket")
        yield url


@pytest.fixture(autouse=True)
def small_and_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges are small, and nobody waits before trying again."""
    monkeypatch.setattr(ranges, "RANGE_BYTES", SMALL)
    monkeypatch.setattr("biomedica_ray.store.objects.wait_after", lambda _: None)


@contextmanager
def spoilt(server: str, spoil: Spoil = lambda _, __: None) -> Iterator[tuple[Store, Seen]]:
    with flaky_proxy(server, spoil, by_range=True) as (url, seen):
        yield Store("s3://bucket", url), seen


def put(server: str, key: str, size: int) -> bytes:
    data = np.random.default_rng(size).bytes(size)
    client(server).put_object(Bucket="bucket", Key=key, Body=data)
    return data


def of_ranges(key: str, size: int) -> list[str]:
    return [f"GET /bucket/{key} {start}-{start + SMALL - 1}" for start in range(0, size, SMALL)]


@pytest.mark.parametrize("size", [0, 1, SMALL, SMALL + 1, 20 * SMALL + 7])
def test_a_stream_gives_the_object_in_one_request_a_range_and_no_other(server: str, size: int) -> None:
    data = put(server, "a", size)
    with spoilt(server) as (store, seen):
        with open_ahead(store, "a") as stream:
            assert stream.read() == data
        assert sorted(seen.requests) == sorted(of_ranges("a", max(size, 1)))
        with open_ahead(store, "a") as stream:
            assert b"".join(iter(lambda: stream.read(333), b"")) == data


def test_so_many_ranges_are_asked_for_ahead_and_no_more(server: str) -> None:
    put(server, "a", 40 * SMALL)
    together = threading.Barrier(ranges.AHEAD)

    def wait_for_the_others(what: str, _: int) -> None:
        if what in [f"/bucket/a {n * SMALL}-{(n + 1) * SMALL - 1}" for n in range(1, 1 + ranges.AHEAD)]:
            together.wait(30)  # raises if not as many come at a time

    with spoilt(server, wait_for_the_others) as (store, seen), open_ahead(store, "a") as stream:
        for taken in (1, SMALL):  # the last byte of the second read is the first of the second range
            stream.read(taken)
            expected = 1 + ranges.AHEAD + taken // SMALL
            deadline = time.monotonic() + 30
            while len(seen.requests) < expected and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(0.5)
            assert len(seen.requests) == expected
        assert seen.peak == ranges.AHEAD
        assert not together.broken


@pytest.mark.parametrize("how", ["500", "503", "truncate", "short"])
def test_a_range_that_fails_is_asked_for_again(server: str, how: str) -> None:
    data = put(server, "a", 5 * SMALL + 3)  # whose last range is shorter than the body of an error
    with spoilt(server, lambda _, times: how if times < 2 else None) as (store, seen):
        with open_ahead(store, "a") as stream:
            assert stream.read() == data
        assert sorted(seen.requests) == sorted(3 * of_ranges("a", len(data)))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("500", "internal error"),
        ("503", "Reduce your request rate"),
        ("truncate", "incomplete|bytes read"),
        ("short", "500 bytes from byte 0 on, expected 1,000"),
    ],
)
def test_a_range_that_fails_again_and_again_is_one_line_that_names_the_object(
    server: str, how: str, message: str
) -> None:
    put(server, "a", 5 * SMALL)
    with spoilt(server, lambda _, __: how) as (store, seen):
        with open_ahead(store, "a") as stream, pytest.raises(StoreError, match=f"(?i){message}") as caught:
            stream.read()
        assert str(caught.value).startswith("s3://bucket/a: ")
        assert str(caught.value).endswith("; after 8 attempts")
        assert "\n" not in str(caught.value)
        assert len(seen.requests) == 8


def test_a_failure_among_the_ranges_ahead_comes_in_its_turn(server: str) -> None:
    data = put(server, "a", 4 * SMALL)

    def third(what: str, _: int) -> str | None:
        return "503" if what.endswith(" 2000-2999") else None

    with spoilt(server, third) as (store, _), open_ahead(store, "a") as stream:
        assert stream.read(2 * SMALL) == data[: 2 * SMALL]
        with pytest.raises(StoreError, match=r"s3://bucket/a: .*after 8 attempts"):
            stream.read(1)


def test_what_trying_again_would_not_mend_is_told_at_once(server: str) -> None:
    put(server, "a", 3 * SMALL)
    with spoilt(server) as (store, seen):
        with open_ahead(store, "none") as stream, pytest.raises(FileNotFoundError, match="s3://bucket/none: no such"):
            stream.read()
        assert len(seen.requests) == 1
        item = S3Object(store.uri("a"), store.endpoint_url)
        item.get(0, SMALL)
        put(server, "a", 3 * SMALL + 1)
        with pytest.raises(StoreError, match="s3://bucket/a: the object changed while it was read"):
            item.get(SMALL, 2 * SMALL)
        assert len(seen.requests) == 3


def test_a_document_that_is_replaced_while_it_is_read_is_read_again(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("biomedica_ray.store.objects.RANGE_BYTES", SMALL)
    put(server, "a", 5 * SMALL)
    replaced = []

    def replace_it(what: str, times: int) -> None:
        if what.endswith(" 2000-2999") and not times:
            replaced.append(put(server, "a", 4 * SMALL + 7))

    with spoilt(server, replace_it) as (store, _):
        assert [store.read_bytes("a")] == replaced


def test_reading_anywhere_takes_only_what_is_asked_for(server: str) -> None:
    data = put(server, "a", 10 * SMALL + 5)
    with spoilt(server, lambda what, times: "503" if what[-1:].isdigit() and not times else None) as (
        store,
        seen,
    ):
        with open_random(store, "a") as file:
            assert file.seek(-10, 2) == len(data) - 10
            assert file.read(100) == data[-10:]
            assert file.read(100) == b""
            file.seek(500)
            assert file.read(2200) == data[500:2700]
            assert file.tell() == 2700
        parts = [f"{len(data) - 10}-{len(data) - 1}", "500-1499", "1500-2499", "2500-2699"]
        assert sorted(seen.requests) == sorted(["HEAD /bucket/a", *2 * [f"GET /bucket/a {part}" for part in parts]])


def test_a_local_file_needs_no_requests(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    store = Store(str(tmp_path))
    with open_ahead(store, "a") as stream:
        assert stream.read() == b"0123456789"
    with open_random(store, "a") as file:
        file.seek(4)
        assert file.read(3) == b"456"


HOWS = ("500", "503", "truncate", "short")
SHARDS = (range(5), range(5, 14), range(14, 23))


@pytest.fixture(scope="module")
def dataset(server: str, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A dataset on a disk; the server has the same one."""
    root = tmp_path_factory.mktemp("dataset")
    data = write_dataset(root, [map(sample, numbers) for numbers in SHARDS])
    for path in root.rglob("*.*"):
        client(server).upload_file(str(path), "bucket", f"set/{path.relative_to(root)}")
    return data


def test_shards_are_found_by_one_listing_of_their_folder(server: str, dataset: Store) -> None:
    with spoilt(server) as (store, seen):
        remote = Store("s3://bucket/set", store.endpoint_url)
        assert read_shards(remote, None, "train") == read_shards(dataset, None, "train")
        *document, listing = seen.requests
        assert {request.split()[1] for request in document} == {"/bucket/set/dataset.json"}
        assert listing.startswith("GET /bucket") and listing.endswith("set/webdataset/commercial/train/")


def test_tars_that_a_pattern_names_are_found_by_one_listing(server: str, tmp_path: Path) -> None:
    run = Run("train", TrainConfig(store=str(tmp_path)))
    for number in range(20):
        client(server).put_object(Bucket="bucket", Key=f"many/{number:02d}.tar", Body=bytes(number))
    sizes = {f"{number:02d}.tar": 1 for number in range(20)}
    client(server).put_object(Bucket="bucket", Key="many/sizes.json", Body=json.dumps(sizes).encode())
    with spoilt(server) as (store, seen):
        _, few = find_tars(["s3://bucket/many/{00..15}.tar"], run, store.endpoint_url)
        assert sum(request.startswith("HEAD") for request in seen.requests) == 16
        seen.requests.clear()
        source, all_ = find_tars(["s3://bucket/many/{00..19}.tar"], run, store.endpoint_url)
        assert sorted(request.rpartition(" ")[2] for request in seen.requests) == [f"0-{SMALL - 1}", "many/"]
        assert all_[:16] == few
        assert [source.content(shard.path) for shard in all_] == [shard.content[2:] for shard in all_]
        with pytest.raises(Exception, match=r"data: s3://bucket/many/20\.tar: no such file"):
            find_tars(["s3://bucket/many/{00..20}.tar"], run, store.endpoint_url)


def batches(order: Stream, steps: int, lanes: list[LanePosition]) -> list[Batch]:
    rows = rows_of_worker(0, 1, order.lanes, order.piece)
    source = order.batches(rows, {part.lane: lanes[part.lane] for part in rows}, HOW, threads=2)
    found = list(islice(source, steps))
    source.close()
    return found


def test_batches_of_shards_in_s3_are_those_of_a_disk_bit_by_bit_and_go_on_so(
    server: str, dataset: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranges, "RANGE_BYTES", 8 * SMALL)  # a shard has up to nine
    local = Stream(dataset, read_shards(dataset, None, "train"), lanes=2, batch_size=3, seed=0, buffer=4)
    whole = batches(local, 8, [LanePosition(), LanePosition()])
    with spoilt(server, lambda what, times: HOWS[crc32(what.encode()) % 4] if not times else None) as (store, seen):
        remote = replace(local, data=Store("s3://bucket/set", store.endpoint_url))
        tars = replace(
            local,
            data=Tars("", store.endpoint_url),
            shards=[replace(shard, path=f"s3://bucket/set/{shard.path}") for shard in local.shards],
        )
        for order, done in ((remote, 0), (remote, 3), (tars, 0), (tars, 5)):
            lanes = [LanePosition(lane.epoch, lane.slots) for lane in whole[done - 1].lanes.values()] if done else []
            found = batches(order, 8 - done, lanes or [LanePosition(), LanePosition()])
            assert [batch.keys for batch in found] == [batch.keys for batch in whole[done:]]
            assert all((a.images == b.images).all() for a, b in zip(found, whole[done:], strict=True))
            assert [batch.lanes for batch in found] == [batch.lanes for batch in whole[done:]]
        assert len(set(seen.requests)) < len(seen.requests)
