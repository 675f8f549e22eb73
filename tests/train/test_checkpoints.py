from __future__ import annotations

import os
import resource
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.reading.order import LanePosition
from biomedica_ray.store import Store, StoreError
from biomedica_ray.train.checkpoints import (
    Checkpoints,
    Kept,
    Position,
    Rule,
    Snapshot,
    optimizer_tensors,
    restore_optimizer,
)
from biomedica_ray.train.writer import Writer
from tests.fakes.flaky_proxy import flaky_proxy
from tests.fakes.s3 import client, s3_server


def trained(steps: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for _ in range(steps):
        step(model, optimizer)
    return model, optimizer


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    model(torch.ones(1, 3)).square().sum().backward()
    optimizer.step()


def files(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, torch.Tensor]]:
    return {"model.safetensors": model.state_dict(), "optimizer.safetensors": optimizer_tensors(optimizer, model)}


def position(number: int) -> Position:
    errors = [{"what": "a", "kind": "b", "message": "c", "epoch": "0"}]
    return Position(number, [LanePosition(1, 3, errors), LanePosition(0, 4)])


def snapshot(number: int, metrics: list[dict[str, float]] | None = None) -> Snapshot:
    return Snapshot.take(files(*trained(number)), position(number), metrics or [])


def save(checkpoints: Checkpoints, number: int) -> None:
    checkpoints.save(snapshot(number), Rule())


def weight(checkpoints: Checkpoints) -> torch.Tensor:
    """Of the model of the last checkpoint."""
    last = checkpoints.latest()
    assert last
    return checkpoints.load(last.step)["model.safetensors"]["weight"]


def test_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    checkpoints = Checkpoints(Store(str(tmp_path)), "run")
    model, optimizer = trained(3)
    checkpoints.save(Snapshot.take(files(model, optimizer), position(3), [{"step": 3}]), Rule())
    again, fresh = trained(0)
    loaded = checkpoints.load(3)
    again.load_state_dict(loaded["model.safetensors"])
    restore_optimizer(fresh, again, loaded["optimizer.safetensors"])
    for _ in range(2):
        step(model, optimizer)
        step(again, fresh)
    assert torch.equal(model.weight, again.weight)
    assert checkpoints.latest() == position(3)


def test_no_checkpoint_yet(tmp_path: Path) -> None:
    checkpoints = Checkpoints(Store(str(tmp_path)), "run")
    assert checkpoints.latest() is None
    assert checkpoints.metrics(10) == []


def test_the_last_checkpoints_and_the_best_one_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(Store(str(tmp_path)), "run")
    scores = {5: 0.5, 10: 0.25, 12: None, 15: 0.5, 20: 0.125}
    records: list[dict[str, float]] = []
    for number, score in scores.items():
        records.append({"step": number} if score is None else {"step": number, "recall": score})
        checkpoints.save(snapshot(number, records), Rule(last=2, best="recall"))
    folders = sorted(path.name for path in (tmp_path / "checkpoints/run").glob("step-*"))
    assert folders == ["step-000005", "step-000015", "step-000020"]
    assert checkpoints.kept() == [Kept(5, 0.5), Kept(15, 0.5), Kept(20, 0.125)]
    assert checkpoints.metrics(12)[-1] == {"step": 12}
    checkpoints.save(snapshot(25, [{"step": 25}]), Rule(last=1))
    assert [kept.step for kept in checkpoints.kept()] == [25]


@given(st.lists(st.none() | st.floats(0, 1), min_size=1, max_size=12), st.integers(1, 5))
def test_what_stays_is_the_same_whether_one_asks_after_each_checkpoint_or_at_the_end(
    scores: list[float | None], last: int
) -> None:
    rule = Rule(last, "recall")
    written = [Kept(step, score) for step, score in enumerate(scores)]
    staying: list[Kept] = []
    for kept in written:
        staying = rule.staying([*staying, kept])
    assert staying == rule.staying(written)
    assert staying[-last:] == written[-last:]
    best = max((kept.score for kept in written if kept.score is not None), default=None)
    assert best is None or best in [kept.score for kept in staying]
    assert len(staying) <= last + 1


def test_what_a_killed_worker_left_half_written_goes_with_the_next_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(Store(str(tmp_path)), "run")
    save(checkpoints, 1)
    half = tmp_path / "checkpoints/run/step-000003"
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    assert checkpoints.latest() == position(1)
    save(checkpoints, 2)
    assert [kept.step for kept in checkpoints.kept()] == [1, 2]
    assert not half.exists()


def test_a_whole_checkpoint_takes_the_place_of_parts_that_killed_workers_left(tmp_path: Path) -> None:
    checkpoints = Checkpoints(Store(str(tmp_path)), "run")
    save(checkpoints, 1)
    left = tmp_path / "checkpoints/run/step-000002/shard-00002-model-00001-of-00001.safetensors"
    left.parent.mkdir()
    left.write_bytes((tmp_path / "checkpoints/run/step-000001/model.safetensors").read_bytes())
    save(checkpoints, 2)
    assert not checkpoints.is_divided(2)
    assert torch.equal(weight(checkpoints), trained(2)[0].weight)
    assert [kept.step for kept in checkpoints.kept()] == [1, 2]
    with pytest.raises(StoreError, match="step-000002"):
        checkpoints.save(Snapshot(position(2), {"model.safetensors/file": {}}, []), Rule())
    assert torch.equal(weight(checkpoints), trained(2)[0].weight)  # one that counts stays where it cannot be replaced


def test_training_goes_on_while_a_checkpoint_is_written(tmp_path: Path) -> None:
    checkpoints = Checkpoints(Store(str(tmp_path)), "run")
    may_write = threading.Event()

    def slowly(taken: Snapshot) -> None:
        may_write.wait(60)
        checkpoints.save(taken, Rule())

    writer = Writer(slowly, 0)
    model, optimizer = trained(1)
    before = model.state_dict()["weight"].clone()
    writer.write(lambda: Snapshot.take(files(model, optimizer), position(1), []))
    step(model, optimizer)
    assert checkpoints.latest() is None
    may_write.set()
    writer.wait()
    assert writer.written == 1
    assert torch.equal(weight(checkpoints), before)
    assert not torch.equal(model.state_dict()["weight"], before)


def test_after_a_checkpoint_that_failed_no_other_is_begun() -> None:
    begun = []

    def fail(taken: Snapshot) -> None:
        begun.append(taken.position.step)
        raise StoreError("no room")

    writer = Writer(fail, 0)
    for number in (1, 2):
        writer.write(lambda number=number: snapshot(number))
    assert begun == [1]
    assert writer.written == 0
    assert writer.failed
    with pytest.raises(StoreError, match="no room"):
        writer.wait()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.getuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_the_checkpoint_before_stays_good(small_disk: Path) -> None:
    checkpoints = Checkpoints(Store(str(small_disk)), "run")
    save(checkpoints, 1)
    good = weight(checkpoints)
    with pytest.raises(StoreError, match="No space left on device") as caught:
        checkpoints.save(Snapshot(position(2), {"model.safetensors": {"weight": torch.zeros(2**16)}}, []), Rule())
    assert str(caught.value).startswith(f"{small_disk}/checkpoints/run/step-000002/model.safetensors: ")
    assert "\n" not in str(caught.value)
    assert torch.equal(weight(checkpoints), good)
    save(checkpoints, 2)
    assert checkpoints.latest() == position(2)


def test_a_file_that_may_not_grow_is_one_line_too(tmp_path: Path) -> None:
    """As the test above, for those who may not mount file systems."""
    checkpoints = Checkpoints(Store(str(tmp_path)), "run")
    save(checkpoints, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
        with pytest.raises(StoreError, match=r"step-000002/model\.safetensors: .*File too large"):
            checkpoints.save(Snapshot(position(2), {"model.safetensors": {"weight": torch.zeros(2**16)}}, []), Rule())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoints.latest() == position(1)
    assert not list((tmp_path / ".unfinished").iterdir())


def test_object_storage_that_refuses_is_tried_again_and_then_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.store.filesystem.ATTEMPTS", 2)
    monkeypatch.setattr("biomedica_ray.models.trained.ATTEMPTS", 2)
    refusals: dict[str, int] = {}

    def spoil(path: str, _: int) -> str | None:
        """Refuse as often as is said for a part of the path."""
        for part, left in refusals.items():
            if part in path and left:
                refusals[part] = left - 1
                return "503"
        return None

    with s3_server() as server, flaky_proxy(server, spoil) as (url, _):
        client(server).create_bucket(Bucket="bucket")
        checkpoints = Checkpoints(Store("s3://bucket/store", url), "run")
        save(checkpoints, 1)
        good = weight(checkpoints)
        refusals["step-000002/optimizer"] = 10**6
        with pytest.raises(StoreError, match=r"(?i)slow.?down") as caught:
            save(checkpoints, 2)
        assert str(caught.value).startswith("s3://bucket/store/checkpoints/run/step-000002/optimizer.safetensors: ")
        assert "\n" not in str(caught.value)
        assert checkpoints.latest() == position(1)
        assert torch.equal(weight(checkpoints), good)
        refusals["step-000002/optimizer"] = 1
        save(checkpoints, 2)
        assert checkpoints.latest() == position(2)


def test_a_checkpoint_in_object_storage_is_read_in_ranges_that_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biomedica_ray.store.ranges.RANGE_BYTES", 2**16)
    monkeypatch.setattr("biomedica_ray.store.objects.wait_after", lambda _: None)
    broken: set[str] = set()

    def spoil(what: str, times: int) -> str | None:
        path, _, part = what.partition(" ")
        if path in broken:
            return "truncate"
        return ("503", "truncate", "500", "short")[int(part[0]) % 4] if part and times == 0 else None

    weights = {"weight": torch.rand(100_000), "bias": torch.rand(3)}
    with s3_server() as server, flaky_proxy(server, spoil, by_range=True) as (url, seen):
        client(server).create_bucket(Bucket="bucket")
        Checkpoints(Store("s3://bucket/store", server), "run").save(
            Snapshot(position(4), {"model.safetensors": weights, "scaler.safetensors": {}}, [{"step": 4}]), Rule()
        )
        checkpoints = Checkpoints(Store("s3://bucket/store", url), "run")
        assert checkpoints.metrics(9) == [{"step": 4}]
        seen.requests.clear()
        loaded = checkpoints.load(4)
        assert loaded["scaler.safetensors"] == {}
        assert {name: tensor.tolist() for name, tensor in loaded["model.safetensors"].items()} == {
            name: tensor.tolist() for name, tensor in weights.items()
        }
        model = "/bucket/store/checkpoints/run/step-000004/model.safetensors"
        of_model = [request.split()[2] for request in seen.requests if model in request]
        parts = [f"{start}-{start + 2**16 - 1}" for start in range(0, 4 * 100_003, 2**16)]
        assert sorted(of_model) == sorted(2 * parts)
        assert seen.peak > 3
        broken.add(model)
        with pytest.raises(StoreError, match="; after 8 attempts") as caught:
            checkpoints.load(4)
        assert str(caught.value).startswith(f"s3:/{model}: ")
        assert "\n" not in str(caught.value)


def test_folder_in_object_storage_comes_back_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name, size in (("large.bin", 20 * 2**20 + 5), ("empty", 0)):
        (tmp_path / "a" / name).write_bytes(os.urandom(size))
    with s3_server() as server:
        client(server).create_bucket(Bucket="bucket")
        checkpoints = Checkpoints(Store("s3://bucket/store", server), "run")
        checkpoints.put_folder(tmp_path / "a", "model")
        checkpoints.get_folder("model", tmp_path / "b")
    for file in (tmp_path / "a").iterdir():
        assert (tmp_path / "b" / file.name).read_bytes() == file.read_bytes()


def test_nothing_is_pickled(tmp_path: Path) -> None:
    save(Checkpoints(Store(str(tmp_path)), "run"), 1)
    suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert suffixes == {".safetensors", ".json", ".jsonl"}


def test_folder_comes_back_as_it_was(tmp_path: Path) -> None:
    checkpoints = Checkpoints(Store(str(tmp_path / "store")), "run")
    source, target = tmp_path / "a", tmp_path / "b"
    source.mkdir()
    target.mkdir()
    (source / "x.bin").write_bytes(b"123")
    checkpoints.put_folder(source, "model")
    checkpoints.get_folder("model", target)
    assert (target / "x.bin").read_bytes() == b"123"


def test_a_run_is_finished_while_its_model_is_there(tmp_path: Path) -> None:
    checkpoints = Checkpoints(Store(str(tmp_path / "store")), "run")
    checkpoints.remove()
    save(checkpoints, 1)
    assert not checkpoints.is_finished()
    (tmp_path / "model").mkdir()
    (tmp_path / "model/x.bin").write_bytes(b"123")
    checkpoints.put_folder(tmp_path / "model", "model")
    assert checkpoints.is_finished()
    checkpoints.remove()
    assert not checkpoints.is_finished()
    assert checkpoints.latest() is None
