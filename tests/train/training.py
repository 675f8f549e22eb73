"""The train stage as tests run it, and what it leaves."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from biomedica_ray.runs import Run
from biomedica_ray.train import loop
from biomedica_ray.train.config import TrainConfig


def tiny(store: Path, model: str, **changes: Any) -> TrainConfig:
    settings = {
        "name": "tiny",
        "model": model,
        "pretrained": None,
        "batch_size": 5,
        "epochs": 3,
        "lr": 3e-3,
        "warmup_steps": 2,
        "checkpoint_steps": 2,
        "shuffle_buffer": 4,
        **changes,
    }
    return TrainConfig(store=str(store), **settings)


def train(store: Path, model: str, **changes: Any) -> Run:
    config = tiny(store, model, **changes)
    with Run("train", config) as run:
        loop.run(config, run)
    return run


def metrics(store: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (store / "checkpoints/tiny/metrics.jsonl").read_text().splitlines()]


def last_step(store: Path) -> int:
    """Of the last checkpoint; 0 without one."""
    path = store / "checkpoints/tiny/latest.json"
    return int(json.loads(path.read_text())["step"]) if path.exists() else 0


def processes(name: str) -> list[psutil.Process]:
    """This process's descendants of a name, in the order of their start."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if name in " ".join(child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found


@contextmanager
def signalled(name: str, store: Path, *, beyond: int = 0, number: int = signal.SIGKILL) -> Iterator[list[int]]:
    """Signals the last process of a name at the first checkpoint beyond a step; the list has its id then."""
    hit: list[int] = []
    ended = threading.Event()

    def work() -> None:
        while last_step(store) <= beyond:
            if ended.wait(0.02):
                return
        if found := processes(name):
            os.kill(found[-1].pid, number)
            hit.append(found[-1].pid)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield hit
    finally:
        ended.set()
        thread.join()
