"""The train stage, on Ray."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import ray
import torch
from ray.util.placement_group import PlacementGroup
from safetensors.torch import load_file

from biomedica_ray.cluster import StageFailedError
from biomedica_ray.config import ConfigError
from biomedica_ray.models.clip import load_folder
from biomedica_ray.models.scorable import OfOpenClip
from biomedica_ray.reading.held_out import is_held_out
from biomedica_ray.reading.order import LanePosition, batch_digest, rows_of_worker
from biomedica_ray.reading.shards import read_shards
from biomedica_ray.reading.stream import Preparation, Stream
from biomedica_ray.runs import LostRowsError, Run
from biomedica_ray.store import Store
from biomedica_ray.train import loop, run_plan
from biomedica_ray.train.checkpoints import Checkpoints
from biomedica_ray.train.eval_tasks import choose_tasks, zero_shot
from tests.evaluate.written import write_set
from tests.reading.shards import sample, write_dataset
from tests.train.half_done import leave_half_done
from tests.train.training import last_step, metrics, processes, signalled, tiny, train

pytestmark = pytest.mark.cluster


def test_every_sample_is_counted_and_what_is_trained_is_not_trained_again(
    tmp_path: Path, tiny_model: str, ray_cluster: None
) -> None:
    broken = sample(7, image=b"no image")
    write_dataset(tmp_path / "dataset", [map(sample, range(7)), [broken, *map(sample, range(8, 21))]])
    for name in ("lc25000_lung", "breastmnist"):
        write_set(tmp_path / "sets", name)
    measured = {"eval_tasks": "lc25000_lung,breastmnist", "eval_data": str(tmp_path / "sets"), "eval_steps": 3}
    run = train(tmp_path, tiny_model, **measured)
    flow = run.counts["samples"]
    assert (flow.rows_in, flow.rows_out, flow.errors) == (63, 60, 3)
    found = metrics(tmp_path)
    assert [record["step"] for record in found] == [1, 2, 3, 4, 5, 6, 7]
    # Two lanes share 21 samples, and the last step is filled up.
    assert [record["samples"] for record in found] == [10] * 7
    assert sum(record["distinct"] for record in found) == 60
    scored = [record for record in found if "tasks.overall" in record]
    assert [record["step"] for record in scored] == [3, 6, 7]
    # Two workers have measured what one does.
    tasks = choose_tasks(tiny(tmp_path, tiny_model, **measured))
    model = OfOpenClip(*load_folder(tmp_path / "checkpoints/tiny/model"), "cpu")
    alone = zero_shot(model, tasks, lambda part: [part], rank=0, workers=1, threads=1, tell=pytest.fail)
    assert len(alone) == 3
    assert {name: value for name, value in found[-1].items() if name.startswith("tasks.")} == alone
    card = (tmp_path / "checkpoints/tiny/model/README.md").read_text()
    assert f"| tasks.overall | {alone['tasks.overall']:.4g} |" in card
    assert "zero-shot scores on published sets, on at most 2,000 images of each" in card
    assert run.results["steps"] == 7
    assert run.results["last_loss"] < run.results["first_loss"]
    assert 0 < run.results["shuffle"]["distance"] < 0.5
    (errors,) = (tmp_path / "errors/train/tiny").glob("*.parquet")
    assert pq.read_table(errors)["what"].to_pylist() == ["PMC7-1_001"] * 3
    assert {path.name for path in (tmp_path / "checkpoints/tiny").iterdir() if path.is_dir()} == {
        "step-000006",
        "step-000007",
        "model",
        "tensorboard",
    }

    again = train(tmp_path, tiny_model, checkpoint_steps=3)
    assert again.counts == run.counts
    assert {**again.results, "usage": None} == {**run.results, "usage": None}
    shutil.rmtree(tmp_path / "checkpoints/tiny")  # as one does to start over: not a run that is done
    anew = train(tmp_path, tiny_model)
    assert (anew.counts, anew.before) == (run.counts, {})
    assert [line["batch"] for line in metrics(tmp_path)] == [line["batch"] for line in found]
    with pytest.raises(
        ConfigError,
        match=r"begun with other settings: lr \(was 0.003, is 0.001\); num_workers x batch_size \(was 10, is 8\);",
    ):
        train(tmp_path, tiny_model, lr=1e-3, batch_size=4)


def test_data_are_mixed_and_a_part_of_foreign_shards_is_held_out(
    tmp_path: Path, tiny_model: str, ray_cluster: None
) -> None:
    foreign = write_dataset(tmp_path / "foreign", [map(sample, range(40))])
    own = write_dataset(tmp_path / "own", [map(sample, range(100, 110))])
    tar = f"{foreign.root}/webdataset/commercial/train/000000.tar"
    (Path(tar).parent / "sizes.json").write_text('{"000000.tar": 40}')
    mixed = [{"uri": tar, "weight": 3}, {"uri": own.root, "weight": 1, "texts": {"part": 1}}]
    settings = {"data": mixed, "validation_fraction": 0.3, "epochs": 4, "eval_steps": 9, "checkpoint_steps": 20}
    half = tiny(tmp_path, tiny_model, num_workers=2, batch_size=4, **settings)
    record = Run("train", half)
    order = run_plan.make_plan(half, record, Checkpoints(record.store, half.name)).stream
    leave_half_done(half, 7)

    run = train(tmp_path, tiny_model, num_workers=1, batch_size=8, **settings)
    held_out = sum(is_held_out(sample(n)[0], 0.3) for n in range(40))
    assert 2 < held_out < 30
    # All passes of the one that takes longest, and as many of the other.
    flow = run.counts["samples"]
    assert (flow.rows_in, flow.rows_out, flow.errors, flow.skipped) == (200, 200 - 4 * held_out, 0, 4 * held_out)
    found = metrics(tmp_path)
    assert len(found) == order.steps(4) == 27
    scores = ["retrieval.image_to_text.recall@1" in record for record in found]
    assert scores[7:] == [step % 9 == 0 for step in range(8, 28)]
    how = Preparation((8, 8), "bicubic", lambda texts: torch.zeros((len(texts), 1), dtype=torch.long))
    lanes = {lane: LanePosition() for lane in range(len(order.sizes))}
    whole = islice(order.batches(order.rows(0, 1), lanes, how, 1), 27)
    assert [record["batch"] for record in found] == [f"{batch_digest(b.keys, 0) % 2**64:016x}" for b in whole]
    with pytest.raises(ConfigError, match=r"begun with other settings: mixed \(was .*weight: 3.*, is .*weight: 2"):
        train(tmp_path, tiny_model, **{**settings, "data": [{"uri": tar, "weight": 2}, mixed[1]]}, batch_size=4)


class _Losing(Stream):
    """Passes over the third sample of each pass."""

    def _in_order(self, *arguments: Any) -> Iterator[Any]:
        for number, item in enumerate(super()._in_order(*arguments)):
            if number != 2:
                yield item


def test_a_sample_that_is_lost_fails_the_run(
    tmp_path: Path, tiny_model: str, ray_cluster: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(10))])
    monkeypatch.setattr(run_plan, "Stream", _Losing)
    with pytest.raises(LostRowsError, match=r"samples: 20 in but 18 out \+ 0 errors"):
        train(tmp_path, tiny_model, num_workers=1, epochs=2)


def expected_batches(store: Path, lanes: int, batch_size: int, buffer: int, steps: int) -> list[str]:
    """Digests of the batches of a run that nothing stops, from the data alone."""
    data = Store(str(store / "dataset"))
    order = Stream(data, read_shards(data, None, "train"), lanes, batch_size, 0, buffer)
    how = Preparation((8, 8), "bicubic", lambda texts: torch.zeros((len(texts), 1), dtype=torch.long))
    rows = rows_of_worker(0, 1, order.lanes, order.piece)
    batches = order.batches(rows, {lane: LanePosition() for lane in range(lanes)}, how, 1)
    return [f"{batch_digest(batch.keys, 0) % 2**64:016x}" for batch in islice(batches, steps)]


def test_run_goes_on_after_a_worker_was_killed(tmp_path: Path, tiny_model: str, ray_cluster: None) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(30)), map(sample, range(30, 60))])
    with signalled("RayTrainWorker", tmp_path) as killed:
        run = train(tmp_path, tiny_model, epochs=10, checkpoint_steps=1, max_failures=2)
    assert killed
    assert [record["step"] for record in metrics(tmp_path)] == list(range(1, 6 * 10 + 1))
    assert run.results["steps"] == 60
    assert run.counts["samples"].rows_out == 60 * 10


def test_a_divided_model_becomes_what_a_whole_one_does_though_a_worker_is_killed(
    tmp_path: Path, tiny_model: str, ray_cluster: None
) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(24))])
    write_dataset(tmp_path / "dataset", [map(sample, range(30, 37))], "validation")
    settings = {"batch_size": 4, "epochs": 6, "checkpoint_steps": 1, "ema": 0.5, "eval_steps": 9}
    leave_half_done(tiny(tmp_path, tiny_model, name="whole", **settings), 18)
    with signalled("RayTrainWorker", tmp_path) as killed:
        run = train(tmp_path, tiny_model, shard="fsdp", max_failures=2, **settings)
    assert killed
    assert run.results["steps"] == 18
    found = metrics(tmp_path)
    assert [record["batch"] for record in found] == expected_batches(tmp_path, 2, 4, buffer=4, steps=18)
    assert ["retrieval.image_to_text.recall@5" in record for record in found] == 2 * [*8 * [False], True]
    assert len(list((tmp_path / "checkpoints/tiny/step-000018").glob("shard-*.safetensors"))) == 2
    exported = load_file(tmp_path / "checkpoints/tiny/model/open_clip_model.safetensors")
    whole = Checkpoints(Store(str(tmp_path)), "whole").load(18)["average.safetensors"]
    assert exported.keys() == whole.keys()
    for name, tensor in whole.items():
        torch.testing.assert_close(exported[name], tensor, rtol=1e-3, atol=1e-5, msg=name)


def test_a_run_of_two_workers_goes_on_with_one_whatever_is_killed(
    tmp_path: Path, tiny_model: str, ray_cluster: None
) -> None:
    broken = sample(7, image=b"no image")
    write_dataset(tmp_path / "dataset", [map(sample, range(7)), [broken, *map(sample, range(8, 23))]])
    settings = {"epochs": 40, "checkpoint_steps": 3, "max_failures": 0}
    leave_half_done(tiny(tmp_path, tiny_model, num_workers=2, batch_size=4, **settings), 20)
    with pytest.raises(ConfigError, match=r"begun with other settings: num_workers x batch_size \(was 8, is 4\); "):
        train(tmp_path, tiny_model, num_workers=1, batch_size=4, **settings)

    settings |= {"num_workers": 1, "batch_size": 8}
    for name, message in (
        ("RayTrainWorker", r"^training failed: "),
        ("TrainController", r"^training failed: its controller was lost \(\w+\); to continue .* run the same command$"),
    ):
        before = last_step(tmp_path)
        with signalled(name, tmp_path, beyond=before) as killed, pytest.raises(StageFailedError, match=message) as told:
            train(tmp_path, tiny_model, **settings)
        assert killed
        free_what_was_asked_for()
        assert "\n" not in str(told.value)
        assert before < last_step(tmp_path) < 120
    run = train(tmp_path, tiny_model, reader="ray", reader_cpus=0.5, **settings)
    flow = run.counts["samples"]
    assert (flow.rows_in, flow.rows_out, flow.errors) == (23 * 40, 22 * 40, 40)
    found = [record["batch"] for record in metrics(tmp_path)]
    assert found == expected_batches(tmp_path, lanes=2, batch_size=4, buffer=4, steps=120)


def test_weights_that_do_not_fit_are_one_line_and_leave_nothing_behind(
    tmp_path: Path, tiny_model: str, ray_cluster: None
) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(8))])
    (tmp_path / "weights.pt").write_bytes(b"not weights")
    with pytest.raises(ConfigError, match="pretrained") as caught:
        train(tmp_path, tiny_model, num_workers=1, pretrained=str(tmp_path / "weights.pt"))
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "checkpoints").exists()


def test_a_loss_that_is_no_number_ends_the_run(tmp_path: Path, tiny_model: str, ray_cluster: None) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(8))])
    with pytest.raises(
        StageFailedError,
        match=r"^the loss is nan at step 2; features of 8 of its 8 .*PMC7-1_001.*; the checkpoint of step 1 is kept: ",
    ) as caught:
        train(tmp_path, tiny_model, lr=1e30, warmup_steps=0, checkpoint_steps=1, batch_size=4)
    assert "\n" not in str(caught.value)
    assert [record["step"] for record in metrics(tmp_path)] == [1]
    assert last_step(tmp_path) == 1
    weights = load_file(tmp_path / "checkpoints/tiny/step-000001/model.safetensors")
    assert all(tensor.isfinite().all() for tensor in weights.values())


def test_a_finished_run_is_continued_under_another_name(tmp_path: Path, tiny_model: str, ray_cluster: None) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(8))])
    train(tmp_path, tiny_model, num_workers=1, epochs=1, batch_size=4, ema=0.9)
    config = tiny(tmp_path, tiny_model, name="more", continues="tiny", num_workers=1, epochs=1, batch_size=4, lr=1e-9)
    with Run("train", config) as run:
        loop.run(config, run)
    ends = (tmp_path / "checkpoints" / name / "step-000002" for name in ("tiny", "more"))
    before, after = ({file.name: load_file(file) for file in end.glob("*.safetensors")} for end in ends)
    assert before["model.safetensors"].keys() == after["model.safetensors"].keys()
    for name, tensor in before["model.safetensors"].items():
        torch.testing.assert_close(after["model.safetensors"][name], tensor, atol=1e-6, rtol=1e-5)
    steps = [after["optimizer.safetensors"][name].item() for name in after["optimizer.safetensors"] if "/step" in name]
    assert set(steps) == {4}
    with pytest.raises(ConfigError, match=r"^continues: nobody: no run of this name has a checkpoint"):
        train(tmp_path, tiny_model, name="again", continues="nobody")


def test_what_no_restart_mends_is_tried_once(
    tmp_path: Path, tiny_model: str, ray_cluster: None, caplog: pytest.LogCaptureFixture
) -> None:
    texts = [(key, image, caption, labels) for key, image, caption, labels in map(sample, range(6))]
    write_dataset(tmp_path / "dataset", [[(key, b"no image", *rest) for key, _, *rest in texts]])
    with pytest.raises(ConfigError, match=r"^data: .*dataset: none of 3 samples can be read: 3 \S+ \(PMC"):
        train(tmp_path, tiny_model)
    assert "going on from the last checkpoint" not in caplog.text
    assert not (tmp_path / "checkpoints").exists()


def test_a_run_that_waits_for_resources_ends_at_the_first_signal(
    tmp_path: Path, tiny_model: str, ray_cluster: None, caplog: pytest.LogCaptureFixture
) -> None:
    write_dataset(tmp_path / "dataset", [map(sample, range(8))])
    cpus = int(ray.cluster_resources()["CPU"])
    taken: Any = ray.remote(_Taken).options(num_cpus=cpus).remote()
    ray.get(taken.there.remote())

    def interrupt() -> None:
        while not processes("TrainController"):
            ended.wait(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    ended = threading.Event()
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, tiny_model, num_workers=1)
    finally:
        ended.set()
        thread.join()
        # It would go on waiting for as long as this process is the driver of a cluster.
        for controller in processes("TrainController"):
            controller.kill()
        free_what_was_asked_for()
        ray.kill(taken)
    assert not (tmp_path / "checkpoints").exists()


def free_what_was_asked_for() -> None:
    """Of a controller that was killed. Ray does so when the driver ends, which here is the one of all tests."""
    for number, group in ray.util.placement_group_table().items():
        if group["state"] != "REMOVED":
            ray.util.remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(number))))


class _Taken:
    def there(self) -> bool:
        return True
