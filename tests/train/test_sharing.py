from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from biomedica_ray.train.sharing import share_files, share_weights

FILES = {
    "model.safetensors": {"a": torch.arange(6.0).reshape(2, 3), "n": torch.tensor(7)},
    "optimizer.safetensors": {"a/step": torch.tensor(3.0), "a/exp_avg": torch.ones(2, dtype=torch.bfloat16)},
}


def work(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    torch.manual_seed(rank)
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    share_weights(model, torch.device("cpu"))
    shared = share_files(FILES if rank == 0 else None, torch.device("cpu"))
    torch.save((model.state_dict(), shared), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_all_workers_have_what_the_first_one_read(tmp_path: Path) -> None:
    context = mp.get_context("forkserver")
    processes = [context.Process(target=work, args=(rank, str(tmp_path))) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    torch.manual_seed(0)
    first = torch.nn.Linear(3, 2).state_dict()
    for rank in range(2):
        weights, shared = torch.load(tmp_path / f"{rank}.pt")
        assert torch.equal(weights["0.weight"], first["weight"])
        assert weights["1.num_batches_tracked"].dtype == torch.int64
        assert shared.keys() == FILES.keys()
        for file, tensors in FILES.items():
            assert shared[file].keys() == tensors.keys()
            for name, tensor in tensors.items():
                assert torch.equal(shared[file][name], tensor)
                assert shared[file][name].dtype == tensor.dtype


def test_one_worker_shares_with_nobody() -> None:
    assert share_files(FILES, torch.device("cpu")) is FILES
    with pytest.raises(AssertionError):
        share_files(None, torch.device("cpu"))
