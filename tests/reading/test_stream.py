from __future__ import annotations

import io
import json
import tarfile
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from biomedica_ray.reading.order import LanePosition, rows_of_worker
from biomedica_ray.reading.shards import RawSample, Unreadable, read_samples, read_shards
from biomedica_ray.reading.stream import Batch, Preparation, Stream
from biomedica_ray.reading.texts import TextChoice
from biomedica_ray.store import Store, StoreError
from biomedica_ray.train.checkpoints import Position
from tests.reading.shards import sample, write_dataset

HOW = Preparation((8, 8), "bicubic", lambda texts: torch.zeros((len(texts), 4), dtype=torch.long))
SHARDS = (range(5), range(5, 14), range(14, 23))


@pytest.fixture
def data(tmp_path: Path) -> Store:
    return write_dataset(tmp_path, [[sample(number) for number in shard] for shard in SHARDS])


def stream(data: Store, lanes: int = 1, buffer: int = 4) -> Stream:
    return Stream(data, read_shards(data, None, "train"), lanes, batch_size=3, seed=0, buffer=buffer)


def start(order: Stream) -> list[LanePosition]:
    return [LanePosition() for _ in range(order.lanes)]


def batches(
    order: Stream, steps: int, workers: int = 1, lanes: list[LanePosition] | None = None, how: Preparation = HOW
) -> list[list[Batch]]:
    """What all workers get: of each step a batch of each worker."""
    lanes = lanes or start(order)
    sources = []
    for rank in range(workers):
        rows = rows_of_worker(rank, workers, order.lanes, order.piece)
        sources.append(order.batches(rows, {part.lane: lanes[part.lane] for part in rows}, how, threads=2))
    found = [[next(source) for source in sources] for _ in range(steps)]
    for source in sources:
        source.close()
    return found


def after(step: list[Batch]) -> list[LanePosition]:
    """Where the lanes stand after a step, without what they could not read."""
    lanes = {number: lane for batch in step for number, lane in batch.lanes.items()}
    return [LanePosition(lanes[number].epoch, lanes[number].slots) for number in sorted(lanes)]


def step_keys(found: list[list[Batch]]) -> list[list[str]]:
    """The keys of the whole batch of each step."""
    return [[key for batch in step for key in batch.keys] for step in found]


def tokens(found: list[list[Batch]]) -> torch.Tensor:
    return torch.cat([batch.tokens for step in found for batch in step])


def keys(found: list[list[Batch]]) -> list[str]:
    return [key for step in step_keys(found) for key in step]


def errors(found: list[list[Batch]]) -> list[dict[str, str]]:
    return [error for step in found for batch in step for lane in batch.lanes.values() for error in lane.errors]


def truncate(data: Store, number: int, keep: float) -> None:
    path = Path(data.root) / f"webdataset/commercial/train/{number:06d}.tar"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


@pytest.mark.parametrize("lanes", [1, 2, 3])
def test_each_sample_is_seen_once_in_a_pass(data: Store, lanes: int) -> None:
    order = stream(data, lanes)
    length = -(-23 // lanes)
    assert (order.length, order.steps(1), order.steps(3)) == (length, -(-length // 3), -(-3 * length // 3))
    steps = batches(order, order.steps(3))
    for epoch in range(3):
        by_lane = [[key for step in step_keys(steps) for key in step[3 * n : 3 * n + 3]] for n in range(lanes)]
        seen = Counter(key for lane in by_lane for key in lane[epoch * length : (epoch + 1) * length])
        assert seen.keys() == {f"PMC{number}-1_001" for number in range(23)}
        assert sum(seen.values()) - 23 == -23 % lanes


def test_the_order_follows_from_seed_and_pass(data: Store) -> None:
    order = stream(data)
    found = keys(batches(order, order.steps(2)))
    assert found == keys(batches(order, order.steps(2)))
    assert found[:23] != found[23:46]
    assert found[:23] != keys(batches(replace(order, seed=1), order.steps(2)))[:23]


@pytest.mark.parametrize("buffer", [1, 4, 100])
def test_resuming_goes_on_with_the_samples_that_were_not_seen(data: Store, buffer: int) -> None:
    order = stream(data, 2, buffer)
    whole = batches(order, 8)
    for done in range(1, 8):
        rest = batches(order, 8 - done, lanes=after(whole[done - 1]))
        assert step_keys(rest) == step_keys(whole[done:])
        assert torch.equal(rest[0][0].images, whole[done][0].images)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """23 samples, of which numbers 3, 4 and 20 have no image."""
    root = tmp_path_factory.mktemp("damaged")
    rows = [[sample(n, image=b"no image" if n in (3, 4, 20) else None) for n in shard] for shard in SHARDS]
    return write_dataset(root, rows)


@settings(max_examples=30)
@given(
    st.sampled_from([(1, 1), (2, 4), (3, 100), (4, 4)]),
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 3), st.integers(0, 11)), min_size=1, max_size=4),
)
def test_any_stops_and_any_numbers_of_workers_give_the_same_batches(
    damaged: Store, order_of: tuple[int, int], stops: list[tuple[int, int, int]]
) -> None:
    order = stream(damaged, *order_of)
    divisors = [n for n in range(1, order.step_samples + 1) if order.step_samples % n == 0]
    total = order.steps(2)
    whole = batches(order, total)
    position = Position(0, start(order))
    seen: list[list[str]] = []
    lost: list[dict[str, str]] = []
    given = Counter[int]()
    # Each run is killed some steps after its last checkpoint, the last run does what remains.
    for wanted, unkept, choice in [*stops, (total, 0, 0)]:
        workers = divisors[choice % len(divisors)]
        kept = min(wanted, total - position.step)
        found = batches(order, kept + unkept, workers, position.lanes)
        assert {len(batch.keys) for step in found for batch in step} <= {order.step_samples // workers}
        if kept == 0:
            continue
        seen += step_keys(found[:kept])
        leads = [rows_of_worker(rank, workers, order.lanes, order.piece) for rank in range(workers)]
        for step in found[:kept]:
            for rows, batch in zip(leads, step, strict=True):
                given += batch.given
                lost += [error for part in rows if part.start == 0 for error in batch.lanes[part.lane].errors]
        position = Position.from_json(
            json.loads(json.dumps(asdict(Position(position.step + kept, after(found[kept - 1])))))
        )
    assert seen == step_keys(whole)
    assert sorted(map(str, lost)) == sorted(map(str, errors(whole)))
    # What workers count together is each readable sample once a pass.
    assert (given[0], given[1]) == (20, 20)
    assert given == sum((batch.given for step in whole for batch in step), Counter[int]())
    first = [f"PMC{number}-1_001" for number in range(23) if number not in (3, 4, 20)]
    assert set(first) == {key for step in seen for key in step}
    assert [error["what"] for error in lost if error["epoch"] == "0"].count("PMC20-1_001") == 1


def letters(texts: list[str], context_length: int = 80) -> torch.Tensor:
    """A token a character."""
    return torch.tensor([[ord(char) for char in text.ljust(context_length, "\0")] for text in texts])


def test_resuming_goes_on_with_the_same_texts(data: Store) -> None:
    how = replace(HOW, tokenize=letters, texts=TextChoice({"caption": 1, "part": 2}))
    order = replace(stream(data), metadata=True)
    whole = tokens(batches(order, 8, how=how))
    stopped = batches(order, 3, how=how)
    rest = tokens(batches(order, 5, lanes=after(stopped[-1]), how=how))
    assert torch.equal(rest, whole[3 * order.piece :])
    kinds = {"".join(map(chr, row))[:2] for row in whole.tolist()}
    assert kinds == {"A ", "(A", "(B"}


def test_unreadable_image_is_told_and_another_sample_takes_its_place(tmp_path: Path) -> None:
    broken = sample(2, image=b"no image")
    data = write_dataset(tmp_path, [[sample(0), sample(1), broken, sample(3), sample(4), sample(5)]])
    found = batches(stream(data), 2)
    assert [len(step[0].keys) for step in found] == [3, 3]
    first = [error for error in errors(found) if error["epoch"] == "0"]
    assert [(error["what"], error["kind"]) for error in first] == [("PMC2-1_001", "not-an-image")]
    assert set(keys(found)) == {f"PMC{number}-1_001" for number in (0, 1, 3, 4, 5)}
    assert set(keys(found)[:5]) == set(keys(found))


def test_truncated_shard_loses_its_rest_and_no_more(data: Store) -> None:
    truncate(data, 1, 0.5)
    shard = read_shards(data, None, "train")[1]
    items = list(read_samples(data, shard, 0, shard.samples))
    readable = [item for item in items if isinstance(item, RawSample)]
    lost = [item for item in items if isinstance(item, Unreadable)]
    assert len(items) == 9
    assert 1 <= len(readable) <= 5
    assert {error.kind for error in lost} == {"truncated-shard"}
    order = stream(data, 2)
    found = batches(order, order.steps(1))
    assert len([error for error in errors(found) if error["epoch"] == "0"]) == len(lost)
    assert len(set(keys(found))) == 23 - len(lost)


def test_no_readable_sample_at_all_is_an_error(tmp_path: Path) -> None:
    data = write_dataset(tmp_path, [[sample(number, image=b"no image") for number in range(4)]])
    with pytest.raises(StoreError, match="none of 4 samples can be read"):
        batches(stream(data), 1)


def test_fewer_samples_than_a_batch_are_all_in_each(tmp_path: Path) -> None:
    order = stream(write_dataset(tmp_path, [[sample(0), sample(1)]]))
    assert (order.piece, order.steps(5)) == (2, 5)
    assert [set(step) for step in step_keys(batches(order, 2))] == [{"PMC0-1_001", "PMC1-1_001"}] * 2


def test_sample_without_caption_is_told(tmp_path: Path) -> None:
    data = write_dataset(tmp_path, [[sample(0), sample(1)]])
    path = tmp_path / "webdataset/commercial/train/000000.tar"
    with tarfile.open(path) as tar:
        files = [(info, tar.extractfile(info).read()) for info in tar]
    with tarfile.open(path, "w") as tar:
        for info, content in files:
            if info.name != "PMC1-1_001.txt":
                tar.addfile(info, io.BytesIO(content))
    first, second = read_samples(data, read_shards(data, None, "train")[0], 0, 2)
    assert isinstance(first, RawSample)
    assert isinstance(second, Unreadable)
    assert (second.what, second.kind) == ("PMC1-1_001", "incomplete-sample")


def test_missing_dataset_and_missing_shard_are_named(tmp_path: Path, data: Store) -> None:
    with pytest.raises(StoreError, match="no dataset here"):
        read_shards(Store(str(tmp_path / "nothing")), None, "train")
    (tmp_path / "webdataset/commercial/train/000001.tar").unlink()
    with pytest.raises(StoreError, match=r"000001\.tar: dataset\.json names this shard"):
        read_shards(data, None, "train")


def test_licence_groups_and_splits_are_chosen(data: Store) -> None:
    assert len(read_shards(data, ["commercial"], "train")) == 3
    assert read_shards(data, ["other"], "train") == ()
    assert read_shards(data, None, "test") == ()
