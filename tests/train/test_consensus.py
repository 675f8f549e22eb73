from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from biomedica_ray.train.consensus import Agreed, Word, agree, gpu_utilisation

WORDS = [Word(ask=True), Word(leave=True, utilisation=0.0)]


def say(rank: int, folder: str, answers: Any) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=len(WORDS))
    answers.put(agree(torch.tensor(float(rank)), WORDS[rank], rank, len(WORDS)))
    dist.destroy_process_group()


def test_all_workers_hear_what_any_of_them_says(tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    answers = context.Queue()
    workers = [context.Process(target=say, args=(rank, str(tmp_path), answers)) for rank in range(len(WORDS))]
    for worker in workers:
        worker.start()
    found = [answers.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join()
    assert found == [Agreed(0.5, leave=True, failed=False, ask=True, utilisation=[None, 0.0])] * 2


def test_a_worker_alone_agrees_with_itself() -> None:
    agreed = agree(torch.tensor(2.5), Word(failed=True), 0, 1)
    assert agreed == Agreed(2.5, leave=False, failed=True, ask=False, utilisation=[None])


def test_a_cpu_has_no_utilisation() -> None:
    assert gpu_utilisation(torch.device("cpu")) is None
