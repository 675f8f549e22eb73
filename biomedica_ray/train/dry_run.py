"""What a run would do and need, found out on a CPU: its course, one step, the memory of a GPU, time and money."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from biomedica_ray.config import ConfigError
from biomedica_ray.config.needs import GIB
from biomedica_ray.train.course import Course
from biomedica_ray.train.gpus import MEMORY_GIB, Gpu
from biomedica_ray.train.rehearsal import Rehearsed, preparation, steps_on_all_data

if TYPE_CHECKING:
    from biomedica_ray.train.config import TrainConfig
    from biomedica_ray.train.job import Job

log = logging.getLogger(__name__)

_FLOAT = 4
_CUDA_BYTES = GIB
"""CUDA itself, cuBLAS and NCCL, about, which no tensor accounts for."""
_MATRICES = 6
"""Matrices of the loss, rows x samples of a step: in each direction the logits, their softmax and a gradient."""


@dataclass(frozen=True)
class Explored:
    """What a task finds out about a model.

    Attributes:
        rehearsed: The step on one sample.
        parameters: Numbers of the model.
        trainable: Those of them that learn.
        gathered: Those of them that a worker has at a time with ``shard: fsdp``.
        sample: Bytes that a sample takes in the model, measured.
        block: Bytes of a sample in a block that is computed again.
        constant: Bytes of activations whatever the batch.
        pixels: Numbers of an image.
        dim: Numbers of an embedding.
    """

    rehearsed: Rehearsed
    parameters: int
    trainable: int
    gathered: int
    sample: float
    block: float
    constant: float
    pixels: int
    dim: int


def explore(job: Job) -> Explored:
    """Build the model, let it learn from one sample, and measure what it keeps; is a task on the cluster.

    Raises:
        ConfigError: As :func:`~biomedica_ray.train.rehearsal.rehearse`.
    """
    import torch  # noqa: PLC0415

    from biomedica_ray.models.clip import build, image_size, lock_towers, train_mode  # noqa: PLC0415
    from biomedica_ray.train.activations import measure  # noqa: PLC0415
    from biomedica_ray.train.fsdp import at_a_time  # noqa: PLC0415
    from biomedica_ray.train.learner import DTYPES  # noqa: PLC0415

    config = job.config
    torch.set_num_threads(max(1, int(config.cpus_per_worker)))
    model, tokenizer = build(job.spec, config.image_weights, config.patch_dropout, endpoint_url=config.endpoint_url)
    how = preparation(job, model, tokenizer)
    rehearsed = steps_on_all_data(job, model, how)
    lock_towers(model, image=config.lock_image, text=config.lock_text, unlock_last=config.unlock_last)
    train_mode(model, lock_image=config.lock_image, lock_text=config.lock_text, unlock_last=config.unlock_last)
    model.output_dict = True
    kept = measure(
        model,
        tokenizer(["a figure"]),
        loss=config.loss,
        dtype=DTYPES[config.precision],
        grad_checkpointing=config.grad_checkpointing,
    )
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    height, width = image_size(model)
    return Explored(
        rehearsed,
        sum(size for size, _ in sizes),
        sum(size for size, learns in sizes if learns),
        at_a_time(model),
        kept.sample,
        kept.block,
        kept.constant,
        3 * height * width,
        job.spec.model_cfg["embed_dim"],
    )


def memory(config: TrainConfig, explored: Explored, step_samples: int) -> dict[str, float]:
    """Bytes that a worker needs on its GPU while it computes gradients, by what they are for.

    Args:
        config: The run's.
        explored: What was measured of its model.
        step_samples: Samples of a step, of all workers.
    """
    rows = -(-step_samples // config.num_workers)
    part = -(-rows // config.accumulate)
    divided = config.shard == "fsdp" and config.num_workers > 1
    share = config.num_workers if divided else 1
    passing: dict[str, float] = {
        "gradients": _FLOAT * explored.trainable / share,
        "gathered": 2 * _FLOAT * explored.gathered if divided else 0,  # weights and their gradients
        "activations": part * (explored.sample + explored.block) + explored.constant,
        "pixels": rows * explored.pixels * (1 + _FLOAT),
        "loss": _FLOAT * (_MATRICES * rows * step_samples + 4 * explored.dim * step_samples),
    }
    parts = {
        "weights": _FLOAT * explored.parameters / share,
        "optimizer": 2 * _FLOAT * explored.trainable / share,
        "average": _FLOAT * explored.parameters / share if config.ema else 0,
        **passing,
        # The whole, which is scored and written, is there when all that passes is not.
        "result": max(0, _FLOAT * explored.parameters - sum(passing.values())) if divided else 0,
        "CUDA": _CUDA_BYTES if config.use_gpu else 0,
    }
    return {name: size for name, size in parts.items() if size}


def check_fits(config: TrainConfig, needed: Mapping[str, float], gpu: Gpu) -> None:
    """Raises ConfigError where a GPU has less memory than is needed."""
    total, there = sum(needed.values()) / GIB, MEMORY_GIB[gpu]
    if total > there:
        largest = max(needed, key=lambda name: needed[name])
        raise ConfigError(
            f"batch_size: a worker needs {total:.1f} GiB ({largest} {needed[largest] / GIB:.1f}), and {gpu} has "
            f"{there:.1f}; raise accumulate (now {config.accumulate}), set grad_checkpointing, or lower batch_size"
        )


def report(job: Job, explored: Explored, gpu: Gpu | None) -> dict[str, Any]:
    """What a dry run found, for the run's record; logs it line by line.

    Raises:
        ConfigError: The GPU has too little memory.
    """
    config, course = job.config, Course.of(job.config, job.stream)
    needed = memory(config, explored, course.step_samples)
    log.info("train: one step on %s: loss %.3f", explored.rehearsed.sample, explored.rehearsed.loss)
    log.info(
        "train: %s: %.1fM parameters, %.1fM of them learn; weights and tokenizer are there",
        job.spec.name,
        explored.parameters / 1e6,
        explored.trainable / 1e6,
    )
    parts = ", ".join(f"{name} {size / GIB:.2f}" for name, size in needed.items())
    log.info("train: memory of a worker: %.2f GiB (%s)", sum(needed.values()) / GIB, parts)
    if gpu:
        check_fits(config, needed, gpu)
        log.info("train: %s has %.1f GiB: it fits", gpu, MEMORY_GIB[gpu])
    hours = dollars = None
    if config.samples_per_s:
        hours = course.steps * course.step_samples / (config.samples_per_s * config.num_workers) / 3600
        dollars = hours * config.num_workers * config.dollars_per_hour if config.dollars_per_hour else None
        money = "" if dollars is None else f", {dollars:,.0f} dollars"
        log.info("train: %.1f hours with %d workers%s", hours, config.num_workers, money)
    else:
        log.info("train: how long it takes is unknown; samples_per_s of one worker says")
    return {
        "dry_run": {
            **asdict(course),
            "sample": explored.rehearsed.sample,
            "parameters": explored.parameters,
            "trainable": explored.trainable,
            "memory_gib": {name: round(size / GIB, 3) for name, size in needed.items()},
            "gpu": gpu,
            "hours": hours,
            "dollars": dollars,
        }
    }
