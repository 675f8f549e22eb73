from __future__ import annotations

from pathlib import Path

import torch

from biomedica_ray.store import Store
from biomedica_ray.train.checkpoints import (
    Checkpoints,
    Position,
    WorkerPosition,
    optimizer_tensors,
    restore_optimizer,
)


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
    return Position(number, 1, [WorkerPosition(3, errors), WorkerPosition(4)])


def test_training_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    checkpoints = Checkpoints(Store(str(tmp_path)), "run")
    model, optimizer = trained(3)
    checkpoints.save(files(model, optimizer), position(3), [{"step": 3}])
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


def test_the_last_two_checkpoints_stay(tmp_path: Path) -> None:
    checkpoints = Checkpoints(Store(str(tmp_path)), "run")
    model, optimizer = trained(1)
    for number in (5, 10, 15):
        checkpoints.save(files(model, optimizer), position(number), [{"step": n} for n in range(1, number + 1)])
    folders = sorted(path.name for path in (tmp_path / "checkpoints/run").glob("step-*"))
    assert folders == ["step-000010", "step-000015"]
    assert checkpoints.metrics(12)[-1] == {"step": 12}


def test_nothing_is_pickled(tmp_path: Path) -> None:
    model, optimizer = trained(1)
    Checkpoints(Store(str(tmp_path)), "run").save(files(model, optimizer), position(1), [])
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
