from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from biomedica_ray.train.consensus import Agreed, Word, agree, gpu_utilisation

WORDS = [
    Word(ask=True, distinct=3, digest=2**64 - 1),
    Word(leave=True, utilisation=0.0, distinct=4, held_out=2, digest=2**63 + 2**48 + 5),
]


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
    sums = {"distinct": 7, "held_out": 2, "digest": 2**63 + 2**48 + 4}
    assert found == [Agreed(0.5, leave=True, failed=False, ask=True, utilisation=[None, 0.0], **sums)] * 2


def test_a_worker_alone_agrees_with_itself() -> None:
    agreed = agree(torch.tensor(2.5), Word(failed=True), 0, 1)
    assert agreed == Agreed(2.5, leave=False, failed=True, ask=False, utilisation=[None])
    also = torch.tensor([0.25, float("inf")], dtype=torch.float64)
    assert agree(torch.tensor(2.5), Word(digest=9), 0, 1, also).also == [0.25, float("inf")]


def test_a_cpu_has_no_utilisation() -> None:
    assert gpu_utilisation(torch.device("cpu")) is None
