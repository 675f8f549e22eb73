"""Samples/s of training: the stage on Ray against open_clip_train, against tensors in memory, and on two workers.

The dataset is made by extract and serialize, of the embedded sample or of a folder of packages. Each round measures,
one after the other, on all cores:

- memory: the same step on batches that were made before: what the model alone takes
- decoding: making those batches, on one thread and nothing else
- ours: the stage, one worker
- open_clip_train: its own main program on the same shards, one worker of its DataLoader

and then, each worker on one core, the stage with one and with two workers. The first steps are left out everywhere.

    python -m benchmarks.train --packages FOLDER --rounds 3
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from biomedica_ray.cluster import connect
from biomedica_ray.extract import pipeline as extract
from biomedica_ray.extract.config import ExtractConfig
from biomedica_ray.models.clip import build, image_size, preprocessing
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.reading.order import LanePosition, rows_of_worker
from biomedica_ray.reading.shards import read_shards
from biomedica_ray.reading.stream import Batch, Preparation, Stream
from biomedica_ray.runs import Run
from biomedica_ray.serialize import pipeline as serialize
from biomedica_ray.serialize.config import SerializeConfig
from biomedica_ray.store import Store
from biomedica_ray.train import loop
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.learner import Learner

WARM = 2
"""Steps at the beginning that are not counted."""

_OPEN_CLIP_TRAIN = """
import functools, sys
from open_clip_train import data, main
# webdataset marks the end of a shard since 0.2.90, which open_clip_train takes for a file
data.tar_file_expander = functools.partial(data.tar_file_expander, eof_value=None)
main.main(sys.argv[1:])
"""

_LOGGED = re.compile(r"Batch \(t\): [\d.]+, ([\d.e+]+)/s,")


def make_dataset(folder: str, packages: str | None) -> None:
    source = {"source": "packages", "packages": packages} if packages else {"source": "sample"}
    with Run("extract", config := ExtractConfig(store=folder, **source)) as run:
        extract.run(config, run)
    settings = {"validation_fraction": 0, "test_fraction": 0, "samples_per_shard": 64, "keep_third_party": True}
    with Run("serialize", config := SerializeConfig(store=folder, **settings)) as run:
        serialize.run(config, run)


def ours(folder: str, name: str, settings: dict[str, Any]) -> tuple[float, float]:
    """Samples/s of the stage, and which share of the time a worker waits for data."""
    with Run("train", config := TrainConfig(store=folder, name=name, **settings)) as run:
        loop.run(config, run)
    lines = Path(folder, "checkpoints", name, "metrics.jsonl").read_text().splitlines()
    steps = [json.loads(line) for line in lines][WARM:]
    seconds = sum(step["seconds"] for step in steps)
    return sum(step["samples"] for step in steps) / seconds, sum(
        step["wait"] * step["seconds"] for step in steps
    ) / seconds


def open_clip_train(folder: str, settings: dict[str, Any], steps: int) -> float:
    """Samples/s of open_clip's own training."""
    shards = "::".join(str(path) for path in sorted(Path(folder, "dataset").rglob("*.tar")))
    samples = steps * settings["batch_size"]
    options = f"""--dataset-type webdataset --train-num-samples {samples} --workers 1 --device cpu --precision fp32
        --model {settings["model"]} --batch-size {settings["batch_size"]} --epochs 1 --warmup {settings["warmup_steps"]}
        --lr {settings["lr"]} --beta1 0.9 --beta2 0.95 --wd 0.2 --grad-clip-norm 1.0 --local-loss --gather-with-grad
        --log-every-n-steps 1 --save-frequency 0 --logs {folder}/open_clip --name {time.time_ns()}"""
    command = [sys.executable, "-c", _OPEN_CLIP_TRAIN, "--train-data", shards, *options.split()]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    rates = [float(rate) for rate in _LOGGED.findall(done.stderr + done.stdout)][WARM:]
    return len(rates) / sum(1 / rate for rate in rates)


def decoding(
    folder: str, settings: dict[str, Any], model: Any, tokenizer: Any, steps: int
) -> tuple[list[Batch], float]:
    """Batches of the stage's own stream, and the seconds of processor time that a sample takes."""
    data = Store(folder + "/dataset")
    stream = Stream(data, read_shards(data, None, "train"), 1, settings["batch_size"], 0, settings["shuffle_buffer"])
    how = Preparation(image_size(model), preprocessing(model).get("interpolation", "bicubic"), tokenizer)
    started = time.process_time()
    rows = rows_of_worker(0, 1, stream.lanes, stream.piece)
    batches = list(islice(stream.batches(rows, {0: LanePosition()}, how, 1), steps))
    return batches, (time.process_time() - started) / (steps * settings["batch_size"])


def in_memory(settings: dict[str, Any], model: Any, batches: list[Batch]) -> float:
    """Samples/s of the steps alone."""
    torch.set_num_threads(os.cpu_count() or 1)
    learner = Learner(model, TrainConfig(store="", **settings), len(batches), torch.device("cpu"))
    for number, batch in enumerate(batches):
        if number == WARM:
            started = time.perf_counter()
        learner.backward(number, learner.images(batch.images), batch.tokens, 1)
        learner.update(number)
    return (len(batches) - WARM) * settings["batch_size"] / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", help="folder of article packages; none: the embedded sample")
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    cores = os.cpu_count() or 1
    settings = {
        **{"model": options.model, "pretrained": None, "batch_size": options.batch_size},
        **{"lr": 1e-6, "warmup_steps": 10, "shuffle_buffer": 200, "checkpoint_steps": 1_000_000, "max_failures": 0},
    }
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, connect("local"):
        make_dataset(folder, options.packages)
        n_samples = sum(shard.samples for shard in read_shards(Store(folder + "/dataset"), None, "train"))
        if n_samples < options.steps * options.batch_size:
            parser.error(
                f"--steps: expected at most {n_samples // options.batch_size}, as there are {n_samples} samples"
            )
        for number in range(options.rounds):
            model, tokenizer = build(resolve_model(options.model, None))
            batches, cost = decoding(folder, settings, model, tokenizer, options.steps)
            row = {"decoding, s of a core": cost, "memory": in_memory(settings, model, batches)}
            one = {**settings, "num_workers": 1, "cpus_per_worker": cores}
            row["ours"], row["waiting"] = ours(folder, f"one-{number}", one)
            row["open_clip_train"] = open_clip_train(folder, settings, options.steps)
            for workers in (1, 2):
                each = {**settings, "num_workers": workers, "batch_size": options.batch_size // workers}
                row[f"{workers} x 1 core"], _ = ours(folder, f"of-{workers}-{number}", each)
            for key, value in row.items():
                found.setdefault(key, []).append(value)
            print(json.dumps({key: round(value, 4) for key, value in row.items()}), flush=True)
    table(found, cores)


def table(found: dict[str, list[float]], cores: int) -> None:
    middle = {key: statistics.median(values) for key, values in found.items()}
    ratio = {
        key: statistics.median(a / b for a, b in zip(found[key], found[other], strict=True))
        for key, other in (("ours", "memory"), ("open_clip_train", "ours"), ("2 x 1 core", "1 x 1 core"))
    }
    share = middle["decoding, s of a core"] * middle["memory"] / cores
    print("\n| way | samples/s | ratio |\n|---|---:|---:|")
    print(f"| step on tensors in memory, {cores} cores | {middle['memory']:.2f} |  |")
    print(f"| ours, {cores} cores | {middle['ours']:.2f} | {ratio['ours']:.3f} of memory |")
    over = 1 / ratio["open_clip_train"]
    print(f"| open_clip_train, {cores} cores | {middle['open_clip_train']:.2f} | ours is {over:.3f} of it |")
    print(f"| ours, 1 worker of 1 core | {middle['1 x 1 core']:.2f} |  |")
    print(f"| ours, 2 workers of 1 core | {middle['2 x 1 core']:.2f} | {ratio['2 x 1 core']:.2f} of one |")
    rest = 1 - ratio["ours"] * (1 + share)
    print(f"\nDecoding takes {1000 * middle['decoding, s of a core']:.1f} ms of a core a sample, {share:.1%} of the")
    print(f"model's time; neither model nor decoding: {rest:.1%}; waiting for data: {middle['waiting']:.1%}.")


if __name__ == "__main__":
    main()
