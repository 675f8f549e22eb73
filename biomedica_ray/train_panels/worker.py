"""What each Ray Train worker does: compose figures, learn from them, write checkpoints, and the weights at the end."""

from __future__ import annotations

import contextlib
import itertools

import ray.train
import ray.train.torch
import torch

from biomedica_ray.ahead import prefetch
from biomedica_ray.panels.network import Detector
from biomedica_ray.panels.reader import Reader
from biomedica_ray.panels.weights import dump_weights, load_weights
from biomedica_ray.train_panels.checkpoint import dump_checkpoint, load_checkpoint, unfinished_path
from biomedica_ray.train_panels.job import Job
from biomedica_ray.train_panels.learning import Both, Learner
from biomedica_ray.train_panels.lessons import lessons
from biomedica_ray.train_panels.pictures import single_pictures


def train(job: Job) -> None:
    """Train from the last checkpoint, or from what the config begins with, to the end; writes the finished weights."""
    config = job.config
    context = ray.train.get_context()
    rank = context.get_world_rank()
    torch.set_num_threads(max(1, int(config.cpus_per_worker)))
    torch.manual_seed(config.seed)
    found, reader = load_weights(job.weights, f"begin: {config.begin}") if job.weights else (None, Reader())
    detector = found or Detector()
    both = Both(detector, reader).train()
    device = ray.train.torch.get_device()
    learner = Learner(ray.train.torch.prepare_model(both), config.lr, config.steps, device)
    if job.checkpoint:
        learner.resume(load_checkpoint(job.checkpoint))
    pictures = single_pictures(job.store, list(config.license_groups), config.pictures) if config.pictures else []
    seed = config.seed * 1000 + rank
    with contextlib.closing(
        prefetch(
            itertools.islice(
                lessons(seed, pictures, config.batch_size, config.patches, job.done), config.steps - job.done
            )
        )
    ) as ready:
        for step, lesson in enumerate(ready, job.done):
            detected, read = learner.step(step, lesson)
            if rank:
                continue
            job.board.post({"step": step + 1, "detector": detected, "reader": read, "pictures": len(pictures)})
            about = {**job.settings, "step": step + 1, "pictures": len(pictures)}
            if step + 1 == config.steps:
                job.store.write_bytes(job.path, dump_weights(detector, reader, about))
            elif (step + 1) % config.checkpoint_steps == 0:
                job.store.write_bytes(unfinished_path(config.name), dump_checkpoint(learner.state(), about))
