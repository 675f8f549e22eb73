from __future__ import annotations

import dataclasses
import io
import tarfile
from collections import Counter
from pathlib import Path

import pytest
import torch

from biomedica_ray.store import Store, StoreError
from biomedica_ray.train.shards import RawSample, Unreadable, read_samples, read_shards
from biomedica_ray.train.stream import Batch, Preparation, Stream, prefetch
from biomedica_ray.train.texts import TextChoice
from tests.train.shards import sample, write_dataset

HOW = Preparation((8, 8), "bicubic", lambda texts: torch.zeros((len(texts), 4), dtype=torch.long))
SHARDS = (range(5), range(5, 14), range(14, 23))


@pytest.fixture
def data(tmp_path: Path) -> Store:
    return write_dataset(tmp_path, [[sample(number) for number in shard] for shard in SHARDS])


def stream(data: Store, rank: int, workers: int, buffer: int = 4) -> Stream:
    return Stream(data, read_shards(data, None, "train"), rank, workers, seed=0, buffer=buffer)


def batches(worker: Stream, epoch: int = 0, done: int = 0, skip: int = 0) -> list[Batch]:
    return list(worker.batches(epoch, worker.sizes(3)[done:], skip, HOW, threads=2))


def keys(found: list[Batch]) -> list[str]:
    return [key for batch in found for key in batch.keys]


def truncate(data: Store, number: int, keep: float) -> None:
    path = Path(data.root) / f"webdataset/commercial/train/{number:06d}.tar"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_each_sample_is_seen_once_in_a_pass(data: Store, workers: int) -> None:
    found = [keys(batches(stream(data, rank, workers))) for rank in range(workers)]
    counts = Counter(key for worker in found for key in worker)
    assert counts.keys() == {f"PMC{number}-1_001" for number in range(23)}
    assert len({len(worker) for worker in found}) == 1
    assert sum(counts.values()) - 23 == -23 % workers


def test_the_order_follows_from_seed_and_pass(data: Store) -> None:
    worker = stream(data, 0, 1)
    assert keys(batches(worker)) == keys(batches(worker))
    assert keys(batches(worker)) != keys(batches(worker, epoch=1))


@pytest.mark.parametrize("done", range(1, 4))
@pytest.mark.parametrize("buffer", [1, 4, 100])
def test_resuming_goes_on_with_the_samples_that_were_not_seen(data: Store, done: int, buffer: int) -> None:
    worker = stream(data, 1, 2, buffer)
    whole = batches(worker)
    rest = batches(worker, done=done, skip=whole[done - 1].slots)
    assert keys(whole[:done]) + keys(rest) == keys(whole)
    assert torch.equal(rest[0].images, whole[done].images)


def letters(texts: list[str], context_length: int = 80) -> torch.Tensor:
    """A token a character."""
    return torch.tensor([[ord(char) for char in text.ljust(context_length, "\0")] for text in texts])


def test_resuming_goes_on_with_the_same_texts(data: Store) -> None:
    how = dataclasses.replace(HOW, tokenize=letters, texts=TextChoice({"caption": 1, "panel": 2}))
    worker = dataclasses.replace(stream(data, 0, 1), metadata=True)
    sizes = worker.sizes(3)
    whole = list(worker.batches(1, sizes, 0, how, threads=2))
    rest = list(worker.batches(1, sizes[3:], whole[2].slots, how, threads=2))
    assert torch.equal(torch.cat([batch.tokens for batch in rest]), torch.cat([batch.tokens for batch in whole[3:]]))
    kinds = Counter("".join(map(chr, row))[:3] for batch in whole for row in batch.tokens.tolist())
    assert kinds.keys() == {"A r", "A g", "A b", "A y", "(A)", "(B)"}


def test_unreadable_image_is_told_and_another_sample_takes_its_place(tmp_path: Path) -> None:
    broken = sample(2, image=b"no image")
    data = write_dataset(tmp_path, [[sample(0), sample(1), broken, sample(3), sample(4), sample(5)]])
    found = batches(stream(data, 0, 1))
    assert [len(batch.keys) for batch in found] == [3, 3]
    errors = [error for batch in found for error in batch.errors]
    assert [(error.what, error.kind) for error in errors] == [("PMC2-1_001", "not-an-image")]
    assert set(keys(found)) == {f"PMC{number}-1_001" for number in (0, 1, 3, 4, 5)}


def test_truncated_shard_loses_its_rest_and_no_more(data: Store) -> None:
    truncate(data, 1, 0.5)
    shard = read_shards(data, None, "train")[1]
    items = list(read_samples(data, shard, 0, shard.samples))
    readable = [item for item in items if isinstance(item, RawSample)]
    lost = [item for item in items if isinstance(item, Unreadable)]
    assert len(items) == 9
    assert 1 <= len(readable) <= 5
    assert {error.kind for error in lost} == {"truncated-shard"}
    found = [batches(stream(data, rank, 2)) for rank in range(2)]
    assert sum(len(batch.errors) for worker in found for batch in worker) == len(lost)
    assert len(set(keys(found[0]) + keys(found[1]))) == 23 - len(lost)


def test_resuming_after_an_unreadable_sample_in_the_second_round(tmp_path: Path) -> None:
    broken = [sample(number, image=b"no image") for number in range(4)]
    data = write_dataset(tmp_path, [[*broken, *[sample(number) for number in range(4, 10)]]])
    worker = stream(data, 0, 1)
    whole = batches(worker)
    for done in range(1, len(whole)):
        assert keys(batches(worker, done=done, skip=whole[done - 1].slots)) == keys(whole[done:])
    assert sum(len(batch.errors) for batch in whole) == 4


def test_no_readable_sample_at_all_is_an_error(tmp_path: Path) -> None:
    data = write_dataset(tmp_path, [[sample(number, image=b"no image") for number in range(4)]])
    with pytest.raises(StoreError, match="none of 4 samples can be read"):
        batches(stream(data, 0, 1))


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


def test_prefetch_keeps_order_and_raises_what_the_source_raises() -> None:
    def source(n: int) -> object:
        yield from range(n)
        raise ValueError("source broke")

    found = []
    with pytest.raises(ValueError, match="source broke"):
        for item in prefetch(source(5)):
            found.append(item)
    assert found == [0, 1, 2, 3, 4]
