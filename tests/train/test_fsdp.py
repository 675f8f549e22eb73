"""Divided models learn what whole ones do, and their checkpoints are taken up by any number of workers."""

from __future__ import annotations

import copy
import json
import resource
from datetime import timedelta
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file

from biomedica_ray.models.clip import build, export
from biomedica_ray.models.spec import ModelSpec, resolve_model
from biomedica_ray.models.variants import for_training
from biomedica_ray.store import Store, StoreError
from biomedica_ray.train import consolidate
from biomedica_ray.train.checkpoints import Checkpoints, Position, Rule, Snapshot
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.learner import Learner
from biomedica_ray.train.writer import Writer
from tests.fakes.s3 import client, s3_server
from tests.train.conftest import TINY

WORKERS, BATCH, STEPS, STOP = 2, 6, 4, 2
MODEL = {
    **TINY,
    "vision_cfg": {**TINY["vision_cfg"], "layers": 2},
    "text_cfg": {**TINY["text_cfg"], "vocab_size": 401, "layers": 3},
}
CASES: dict[str, tuple[dict[str, Any], int, float]] = {
    "plain": ({}, 1, 1e-5),
    "average": ({"ema": 0.5, "layer_decay": 0.5, "lock_text": True, "unlock_last": 1}, 2, 1e-5),
    "parts": ({"loss": "siglip", "grad_checkpointing": True, "patch_dropout": 0.5}, 3, 1e-5),
    "half": ({"precision": "bf16", "grad_checkpointing": True, "lock_image": True}, 2, 1e-3),
    "resnet": ({}, 1, 1e-5),
}
"""Settings, parts of a batch, and how far weights may be from those of whole models."""


def spec(name: str, folder: str) -> ModelSpec:
    config, *_ = CASES[name]
    path = "resnet" if name == "resnet" else "model"
    found = resolve_model(f"{folder}/{path}.json", None)
    return for_training(found, loss=config.get("loss", "clip"), patch_dropout=config.get("patch_dropout", 0))


@cache
def start(name: str, folder: str) -> Any:
    torch.manual_seed(1)
    return build(spec(name, folder), patch_dropout=CASES[name][0].get("patch_dropout", 0))[0]


def learner(name: str, folder: str, shard: Any, rank: int = 0, workers: int = WORKERS) -> Learner:
    settings = {"lr": 1e-3, "warmup_steps": 2, **CASES[name][0]}
    config = TrainConfig(store="nowhere", shard=shard, **settings)
    device = torch.device("cpu")
    return Learner(copy.deepcopy(start(name, folder)), config, STEPS, device, rank=rank, workers=workers)


def learn(worker: Learner, name: str, rank: int, steps: range) -> torch.Tensor:
    """Losses and norms of gradients."""
    found = []
    for step in steps:
        generator = torch.Generator().manual_seed(10 * step + rank)
        pixels = torch.randint(0, 256, (BATCH, 3, 32, 32), generator=generator, dtype=torch.uint8)
        tokens = torch.randint(1, 400, (BATCH, 16), generator=generator)
        loss = worker.backward(step, worker.images(pixels), tokens, CASES[name][1])
        found += [float(loss), worker.update(step).grad_norm]
    return torch.tensor(found)


def snapshot(worker: Learner, step: int) -> Snapshot:
    return Snapshot.take(worker.files(), Position(step, []), [{"step": step}])


def result(worker: Learner, **numbers: torch.Tensor) -> dict[str, torch.Tensor]:
    return {**worker.result.state_dict(), **numbers}


def _process(rank: int, folder: str, endpoint: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=WORKERS)
    group = dist.new_group(backend="gloo", timeout=timedelta(seconds=120))
    for name in CASES:
        store = Store("s3://bucket/store", endpoint) if name == "average" else Store(f"{folder}/store")
        checkpoints = Checkpoints(store, name)
        whole = learner(name, folder, "ddp", rank)
        losses = learn(whole, name, rank, range(STEPS))
        save_file(result(whole, losses=losses), f"{folder}/{name}-whole-{rank}")

        divided = learner(name, folder, "fsdp", rank)
        before = learn(divided, name, rank, range(STOP))
        checkpoints.save(snapshot(divided, STOP), Rule(), {}, group)
        losses = torch.cat([before, learn(divided, name, rank, range(STOP, STEPS))])
        save_file(result(divided, losses=losses), f"{folder}/{name}-divided-{rank}")

        again = learner(name, folder, "fsdp", rank)
        again.restore_parts(partial(checkpoints.load_parts, STOP, group=group))
        losses = torch.cat([before, learn(again, name, rank, range(STOP, STEPS))])
        save_file(result(again, losses=losses), f"{folder}/{name}-again-{rank}")
        if rank == 0 and name == "plain":
            export(again.result, None, spec(name, folder), Path(folder) / "exported")
        elif name == "plain":
            assert again.result

    # From a whole checkpoint to a divided model; of another run, which kept no average.
    whole = learner("plain", folder, "ddp", rank)
    learn(whole, "plain", rank, range(STOP))
    other = learner("average", folder, "fsdp", rank)
    other.restore(whole.files(), own=False)
    save_file(result(other), f"{folder}/continued-{rank}")
    other = learner("average", folder, "fsdp", rank)
    other.restore_parts(partial(Checkpoints(Store(f"{folder}/store"), "plain").load_parts, STOP, group=group))
    save_file(result(other), f"{folder}/continued-in-parts-{rank}")

    # One of them has a disk that is full.
    if rank == 1:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**12, resource.RLIM_INFINITY))
    with pytest.raises(StoreError) as caught:
        Checkpoints(Store(f"{folder}/store"), "plain").save(snapshot(other, 3), Rule(), {}, group)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    (Path(folder) / f"full-{rank}").write_text(str(caught.value))

    # The first one finds a file where a folder is to be deleted, and a folder where a file is to be written.
    for name, at in {"delete": "step-000003", "metrics": "metrics.jsonl/file"}.items():
        checkpoints = Checkpoints(Store(f"{folder}/store"), name)
        if rank == 0:
            there = Path(f"{folder}/store", checkpoints.path(at))
            there.parent.mkdir(parents=True)
            there.write_text("")
        dist.barrier(group)
        writer = Writer(lambda taken, to=checkpoints: to.save(taken, Rule(), {}, group), 0)
        for step in (3, 4):  # of which the second is not begun, by any of them
            writer.write(lambda step=step: snapshot(other, step))
        with pytest.raises(StoreError) as caught:
            writer.wait()
        (Path(folder) / f"first-{name}-{rank}").write_text(str(caught.value))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what the workers have made of each case."""
    folder = tmp_path_factory.mktemp("fsdp")
    (folder / "exported").mkdir()
    (folder / "model.json").write_text(json.dumps(MODEL))
    resnet = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None}
    (folder / "resnet.json").write_text(json.dumps({**MODEL, "vision_cfg": resnet}))
    with s3_server() as server:
        client(server).create_bucket(Bucket="bucket")
        arguments = (str(folder), server)
        torch.multiprocessing.start_processes(_process, arguments, nprocs=WORKERS, start_method="forkserver")
    return folder


@pytest.mark.parametrize("name", CASES)
def test_divided_models_learn_what_whole_ones_do(trained: Path, name: str) -> None:
    tolerance = CASES[name][2]
    for rank in range(WORKERS):
        whole, divided = (load_file(trained / f"{name}-{kind}-{rank}") for kind in ("whole", "divided"))
        assert whole.keys() == divided.keys()
        for key, tensor in whole.items():
            assert divided[key].shape == tensor.shape
            difference = (divided[key] - tensor).double()
            assert float(difference.norm()) <= tolerance * max(1.0, float(tensor.double().norm())), key


@pytest.mark.parametrize("name", CASES)
def test_a_divided_checkpoint_is_taken_up_bit_for_bit(trained: Path, name: str) -> None:
    for rank in range(WORKERS):
        divided, again = (load_file(trained / f"{name}-{kind}-{rank}") for kind in ("divided", "again"))
        assert divided.keys() == again.keys()
        assert all(torch.equal(tensor, again[key]) for key, tensor in divided.items())


def test_what_is_exported_is_what_one_worker_would_export(trained: Path) -> None:
    exported, _ = build(resolve_model(str(trained / "exported"), str(trained / "exported")))
    whole = load_file(trained / "plain-whole-0")
    assert exported.state_dict().keys() | {"losses"} == whole.keys()
    for key, tensor in exported.state_dict().items():
        torch.testing.assert_close(tensor, whole[key], rtol=1e-5, atol=1e-6, msg=key)


def test_a_divided_checkpoint_is_taken_up_by_one_worker(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoints = Checkpoints(Store(str(trained / "store")), "plain")
    folder = trained / "store/checkpoints/plain/step-000002"
    assert sorted(path.name for path in folder.iterdir()) == [
        "position.json",
        "shard-00001-model-00001-of-00001.safetensors",
        "shard-00002-model-00001-of-00001.safetensors",
    ]
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")]
    assert max(sizes) < 1.5 * min(sizes)
    files = checkpoints.load(STOP)
    one = learner("plain", str(trained), "fsdp", workers=1)
    one.restore(files)
    assert not one.divided
    assert one.model.logit_scale.shape == ()
    assert one.files().keys() == files.keys()
    for file, tensors in one.files().items():
        assert tensors.keys() == files[file].keys()
        assert all(torch.equal(tensor, files[file][name]) for name, tensor in tensors.items())
    whole = trained / "consolidated"
    store = str(trained / "store")
    assert consolidate.main([store, "plain", "2", str(whole)]) == 0
    assert [path.name for path in whole.iterdir()] == ["model.safetensors"]
    again, _ = build(resolve_model(str(trained / "model.json"), str(whole / "model.safetensors")))
    assert all(torch.equal(again.state_dict()[name], each) for name, each in files["model.safetensors"].items())
    assert consolidate.main([store, "plain", "7", str(whole)]) == 1
    assert capsys.readouterr().err.endswith("plain: no checkpoint of step 7, expected one of [2]\n")
    learn(one, "plain", 0, range(STOP, STOP + 1))


def test_a_run_goes_on_from_another_one_however_that_kept_its_model(trained: Path) -> None:
    whole = learner("plain", str(trained), "ddp", workers=1)
    whole.restore(Checkpoints(Store(str(trained / "store")), "plain").load(STOP))
    for rank in range(WORKERS):
        for name in ("continued", "continued-in-parts"):
            found = load_file(trained / f"{name}-{rank}")
            for key, tensor in whole.model.state_dict().items():
                torch.testing.assert_close(found[key], tensor, rtol=1e-5, atol=1e-6, msg=key)


def test_a_worker_that_cannot_write_its_part_is_one_line_on_all(trained: Path) -> None:
    for rank in range(WORKERS):
        told = (trained / f"full-{rank}").read_text()
        assert "step-000003/shard-00002-model-00001-of-00001.safetensors: " in told
        assert "File too large" in told
        assert "\n" not in told
    latest = Checkpoints(Store(str(trained / "store")), "plain").latest()
    assert latest
    assert latest.step == STOP


@pytest.mark.parametrize(("name", "path"), [("delete", "step-000003"), ("metrics", "metrics.jsonl")])
def test_what_only_the_first_worker_fails_to_do_is_one_line_on_all(trained: Path, name: str, path: str) -> None:
    told = [(trained / f"first-{name}-{rank}").read_text() for rank in range(WORKERS)]
    assert told[0].startswith(f"{trained}/store/checkpoints/{name}/{path}: ")
    assert "\n" not in told[0]
    assert all(told[0].startswith(each) and path in each for each in told)  # what is told to others is cut where long
    checkpoints = Checkpoints(Store(str(trained / "store")), name)
    assert checkpoints.latest() is None
    assert not (trained / "store" / checkpoints.path("step-000004")).exists()


@pytest.mark.parametrize(
    "settings", [{"compile": True}, {"channels_last": True}, {"precision": "fp16", "use_gpu": True}]
)
def test_what_cannot_be_divided_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"shard: fsdp cannot be combined with {next(iter(settings))}"):
        TrainConfig(store="nowhere", shard="fsdp", **settings)
