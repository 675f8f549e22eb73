"""The memory that a dry run reckons beside the peak that a process of its own has, on the CPU: two steps of each model.

python -m benchmarks.memory ViT-B-32:16 RN50:16 clip-lite0:64
"""

from __future__ import annotations

import argparse
import gc
import resource
import subprocess
import sys

import torch

from biomedica_ray.config.needs import GIB
from biomedica_ray.models.clip import build, image_size
from biomedica_ray.models.spec import resolve_model
from biomedica_ray.train.activations import measure
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.dry_run import Explored, memory
from biomedica_ray.train.learner import Learner
from biomedica_ray.train.rehearsal import Rehearsed


def measured(name: str, samples: int) -> None:
    """Print what two steps add to this process's memory at its peak."""
    model, tokenizer = build(resolve_model(name, None))
    config = TrainConfig(store="-", model=name, pretrained=None, num_workers=1, batch_size=samples)
    pixels = torch.randint(0, 256, (samples, 3, *image_size(model)), dtype=torch.uint8)
    tokens = tokenizer(["a figure"] * samples)
    gc.collect()
    weights = sum(4 * parameter.numel() for parameter in model.parameters())
    before = _now() - weights - pixels.numel()
    learner = Learner(model, config, 2, torch.device("cpu"))
    for step in range(2):
        learner.backward(step, learner.images(pixels), tokens, 1)
        learner.update(step)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / GIB)


def _now() -> int:
    with open("/proc/self/statm") as file:  # noqa: PTH123 - no file of ours
        return int(file.read().split()[1]) * resource.getpagesize()


def reckoned(name: str, samples: int) -> dict[str, float]:
    """Bytes by part, as a dry run has them."""
    spec = resolve_model(name, None)
    model, tokenizer = build(spec)
    model.output_dict = True
    numbers = sum(parameter.numel() for parameter in model.parameters())
    height, width = image_size(model)
    kept = measure(model.train(), tokenizer(["a figure"]), loss="clip", dtype=torch.float32, grad_checkpointing=False)
    pixels = 3 * height * width
    explored = Explored(
        Rehearsed("", 0), numbers, numbers, kept.sample, 0, kept.constant, pixels, spec.model_cfg["embed_dim"]
    )
    config = TrainConfig(store="-", model=name, pretrained=None, num_workers=1, batch_size=samples)
    return memory(config, explored, samples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="as train's model, and samples: NAME:SAMPLES")
    parser.add_argument("--measure", action="store_true", help="print the peak of this process alone")
    options = parser.parse_args()
    wanted = [(name, int(samples)) for name, samples in (each.split(":") for each in options.models)]
    if options.measure:
        measured(*wanted[0])
        return
    print("| model | samples | reckoned, GiB | measured, GiB | ratio |\n|---|---:|---:|---:|---:|")
    for name, samples in wanted:
        command = [sys.executable, __file__, f"{name}:{samples}", "--measure"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peak, sum_of_parts = float(done.stdout), sum(reckoned(name, samples).values()) / GIB
        print(f"| {name} | {samples} | {sum_of_parts:.2f} | {peak:.2f} | {sum_of_parts / peak:.2f} |", flush=True)


if __name__ == "__main__":
    main()
