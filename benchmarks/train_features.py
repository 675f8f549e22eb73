"""What each feature of training costs: processor time of a step with it, beside that of a plain step.

Steps on random images and texts, one after the other with each feature in each round; the ratios are those of a round,
of which the median is shown. First in this process, then in two processes with half of the batch each, whose times are
added up: DDP and FSDP, each beside the plain step of one.

    python -m benchmarks.train_features --rounds 3
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from biomedica_ray.models.clip import build, image_size
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.learner import Learner

ALONE: dict[str, dict[str, Any]] = {
    "plain": {},
    "grad_checkpointing": {"grad_checkpointing": True},
    "accumulate: 4": {"accumulate": 4},
    "lock_image, unlock_last: 5": {"lock_image": True, "unlock_last": 5},
    "layer_decay: 0.75": {"layer_decay": 0.75},
    "ema: 0.999": {"ema": 0.999},
}
TOGETHER: dict[str, dict[str, Any]] = {
    "2 workers, ddp": {},
    "2 workers, fsdp": {"shard": "fsdp"},
    "2 workers, fsdp, accumulate: 4": {"shard": "fsdp", "accumulate": 4},
}


def seconds(
    model: Any, settings: dict[str, Any], samples: int, steps: int, *, rank: int = 0, workers: int = 1
) -> float:
    """Processor seconds of a step of this worker, after a first one that is not counted."""
    config = TrainConfig(store="", **settings)
    learner = Learner(deepcopy(model), config, steps + 1, torch.device("cpu"), rank=rank, workers=workers)
    images = torch.randint(0, 256, (samples, 3, *image_size(model)), dtype=torch.uint8)
    tokens = torch.randint(1, 400, (samples, model.context_length))
    started = 0.0
    for step in range(steps + 1):
        if step == 1:
            started = time.process_time()
        learner.backward(step, learner.images(images), tokens, config.accumulate)
        learner.update(step)
    return (time.process_time() - started) / steps


def _worker(rank: int, folder: str, options: argparse.Namespace) -> None:
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    model, _ = build(resolve_model(options.model, None))
    for name, settings in TOGETHER.items():
        took = torch.tensor(seconds(model, settings, options.batch_size // 2, options.steps, rank=rank, workers=2))
        dist.all_reduce(took)
        if rank == 0:
            with Path(folder, "seconds").open("a") as file:
                file.write(f"{name}\t{float(took)}\n")
    dist.destroy_process_group()


def together(options: argparse.Namespace) -> dict[str, float]:
    """Processor seconds of a step of both workers."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.start_processes(_worker, (folder, options), nprocs=2, start_method="spawn")
        lines = Path(folder, "seconds").read_text().splitlines()
    return {name: float(value) for name, value in (line.split("\t") for line in lines)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-S-32-alt")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    model, _ = build(resolve_model(options.model, None))
    found: dict[str, list[float]] = {}
    for _ in range(options.rounds):
        row = {name: seconds(model, each, options.batch_size, options.steps) for name, each in ALONE.items()}
        for name, value in {**row, **together(options)}.items():
            found.setdefault(name, []).append(value)
            print(f"{name}: {value:.3f} s", flush=True)
    print("\n| step | processor s | of plain | from | to |\n|---|---:|---:|---:|---:|")
    for name, values in found.items():
        ratios = sorted(value / plain for value, plain in zip(values, found["plain"], strict=True))
        middle = statistics.median(ratios)
        print(f"| {name} | {statistics.median(values):.2f} | {middle:.2f} | {ratios[0]:.2f} | {ratios[-1]:.2f} |")


if __name__ == "__main__":
    main()
