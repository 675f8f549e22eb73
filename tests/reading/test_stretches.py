"""What is drawn of a large dataset, and that no more than that is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.evaluate.encode import primary_labels
from biomedica_ray.evaluate.pipeline import HeldOut, find_held_out
from biomedica_ray.reading.shards import RawSample, Unreadable, read_samples, read_shards
from biomedica_ray.reading.stretches import STRETCH, draw, read_numbers
from biomedica_ray.store import Store, StoreError, ranges
from tests.fakes.flaky_proxy import flaky_proxy
from tests.fakes.s3 import client, s3_server
from tests.reading.shards import sample, write_dataset

SIZES = (200, 300, 7, 93)
"""Samples of the shards."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Store:
    rows = [sample(number) for number in range(sum(SIZES))]
    starts = [sum(SIZES[:n]) for n in range(len(SIZES))]
    shards = [rows[start : start + size] for start, size in zip(starts, SIZES, strict=True)]
    return write_dataset(tmp_path_factory.mktemp("data"), shards, "test", twins=True)


def slowly(data: Store, numbers: Sequence[int]) -> list[tuple[str, bytes, str, list[str]]]:
    """Samples by their numbers, of all that the tars hold."""
    every = [
        each
        for shard in read_shards(data, None, "test")
        for each in read_samples(data, shard, 0, shard.samples, metadata=True)
    ]
    return content(every[number] for number in numbers)


def content(samples: Iterator[RawSample | Unreadable]) -> list[tuple[str, bytes, str, list[str]]]:
    found = []
    for each in samples:
        assert isinstance(each, RawSample)
        found.append((each.key, each.image, each.caption, primary_labels(each.metadata)))
    return found


@given(st.lists(st.integers(0, 300), min_size=1, max_size=8), st.integers(1, 700), st.integers(0, 5))
def test_as_many_samples_are_drawn_as_wanted_in_stretches(sizes: list[int], most: int, seed: int) -> None:
    numbers = draw(sizes, most, seed)
    assert len(numbers) == min(most, sum(sizes))
    assert numbers == sorted(set(numbers))
    assert not numbers or 0 <= numbers[0] <= numbers[-1] < sum(sizes)
    assert numbers == draw(sizes, most, seed)
    gaps = sum(b - a > 1 for a, b in pairwise(numbers))
    assert gaps <= most // STRETCH + len(sizes)


def test_each_sample_is_as_likely_as_any_other_and_another_seed_draws_others() -> None:
    sizes = [640, 320, 960]
    drawn = Counter(number for seed in range(600) for number in draw(sizes, 320, seed))
    expected = 600 * 320 / sum(sizes)
    assert all(0.5 * expected < drawn[number] < 1.6 * expected for number in range(sum(sizes)))
    assert draw(sizes, 320, 0) != draw(sizes, 320, 1)


@pytest.mark.parametrize("numbers", [[0], [599], range(600), [1, 3, 70, 199, 200, 201, 499, 500, 506, 507, 598]])
def test_samples_of_the_twins_are_those_of_the_tars(data: Store, numbers: Sequence[int]) -> None:
    found = content(read_numbers(data, read_shards(data, None, "test"), list(numbers)))
    assert found == slowly(data, numbers)


def test_without_twins_the_tars_are_read(tmp_path: Path) -> None:
    data = write_dataset(tmp_path, [[sample(0), sample(1)], [sample(2)], [sample(3), sample(4), sample(5)]], "test")
    shards = read_shards(data, None, "test")
    assert content(read_numbers(data, shards, [1, 3, 5])) == slowly(data, [1, 3, 5])
    lost = write_dataset(tmp_path / "lost", [map(sample, range(40))], "test", twins=True)
    (tmp_path / "lost/parquet/commercial/test/000000.parquet").unlink()
    assert content(read_numbers(lost, read_shards(lost, None, "test"), [3, 39])) == slowly(lost, [3, 39])


def test_damaged_files_lose_what_cannot_be_read_of_them(tmp_path: Path) -> None:
    for twins in (False, True):
        data = write_dataset(
            tmp_path / str(twins), [map(sample, range(40)), map(sample, range(40, 50))], "test", twins=twins
        )
        name = "parquet/commercial/test/000000.parquet" if twins else "webdataset/commercial/test/000000.tar"
        path = Path(data.root) / name
        whole = path.read_bytes()
        shards = read_shards(data, None, "test")
        path.write_bytes(whole[: len(whole) // 2])
        found = list(read_numbers(data, shards, [0, 30, 31, 45]))
        first, *lost, last = found
        assert isinstance(last, RawSample)
        assert isinstance(first, Unreadable if twins else RawSample)  # the footer of a twin is at its end
        assert [each.what for each in lost if isinstance(each, Unreadable)] == [
            f"{shards[0].path}#{n}" for n in (30, 31)
        ]
    path.write_bytes(whole[:3000] + bytes(100) + whole[3100:])
    found = list(read_numbers(data, shards, [0, 30, 45]))
    assert [type(each) for each in found] == [Unreadable, RawSample, RawSample]
    assert isinstance(found[0], Unreadable)
    assert (found[0].what, found[0].kind) == (f"{shards[0].path}#0", "damaged-shard")
    assert found[0].message.startswith(name)


@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_the_parts_of_all_workers_are_the_samples_in_order(data: Store, workers: int) -> None:
    held_out = find_held_out(data, "test", 150, seed=3)
    parts = [content(held_out.samples(rank, workers)) for rank in range(workers)]
    assert [each for part in parts for each in part] == slowly(data, held_out.numbers)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_what_is_read_from_s3_is_in_proportion_to_what_is_drawn(data: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "RANGE_BYTES", 20_000)
    monkeypatch.setattr("biomedica_ray.store.objects.wait_after", lambda _: None)
    refused: set[str] = set()

    def spoil(what: str, times: int) -> str | None:
        if what in refused:
            return "503"
        return ("503", "truncate", "500", "short")[len(what) % 4] if "parquet " in what and times == 0 else None

    with s3_server() as server, flaky_proxy(server, spoil, by_range=True) as (url, seen):
        client(server).create_bucket(Bucket="bucket")
        for path in Path(data.root).rglob("*.*"):
            client(server).upload_file(str(path), "bucket", str(path.relative_to(data.root)))
        remote = Store("s3://bucket", url)
        held_out: HeldOut = find_held_out(remote, "test", 128, seed=1)
        assert held_out.numbers == find_held_out(data, "test", 128, seed=1).numbers
        seen.requests.clear()
        assert content(held_out.samples()) == slowly(data, held_out.numbers)
        assert not [request for request in seen.requests if ".tar" in request]
        gets = {request for request in seen.requests if request.startswith("GET")}
        read = sum(
            int(last) - int(first) + 1 for _, _, part in map(str.split, gets) for first, last in [part.split("-")]
        )
        drawn = sum(len(each[1]) for each in slowly(data, held_out.numbers))
        whole = sum(path.stat().st_size for path in Path(data.root).rglob("*.parquet"))
        assert drawn < read < 0.5 * whole
        (lost,) = {request.partition(" ")[2] for request in sorted(gets)[:1]}
        refused.add(lost)
        with pytest.raises(StoreError, match=rf"s3:/{lost.split()[0]}: .*; after 8 attempts"):
            list(held_out.samples())


def test_twins_of_earlier_versions_have_bytes_alone(tmp_path: Path) -> None:
    data = write_dataset(tmp_path, [map(sample, range(3))], "test", twins=True)
    shards = read_shards(data, None, "test")
    now = list(read_numbers(data, shards, [0, 2]))
    (twin,) = tmp_path.rglob("*.parquet")
    table = pq.read_table(twin)
    images = pc.struct_field(table["jpg"], "bytes")
    pq.write_table(table.set_column(table.schema.get_field_index("jpg"), "jpg", images), twin)
    assert list(read_numbers(data, shards, [0, 2])) == now
    assert [each.image for each in now if isinstance(each, RawSample)] == [sample(n)[1] for n in (0, 2)]
