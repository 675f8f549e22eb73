from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import psutil
import pytest
import torch

from biomedica_ray.reading.actors import batches_of_actors
from biomedica_ray.reading.order import LanePosition, rows_of_worker
from biomedica_ray.reading.shards import read_shards
from biomedica_ray.reading.stream import Preparation, Stream
from tests.reading.shards import sample, write_dataset

HOW = Preparation((8, 8), "bicubic", lambda texts: torch.zeros((len(texts), 4), dtype=torch.long))


def readers() -> list[psutil.Process]:
    processes = psutil.Process().children(recursive=True)
    return [process for process in processes if "ray::_Reader" in " ".join(process.cmdline())]


@pytest.mark.cluster
def test_actors_give_the_batches_of_the_worker_even_when_one_is_killed(tmp_path: Path, ray_cluster: None) -> None:
    rows = [[sample(n, image=b"no image" if n in (3, 9) else None) for n in range(k, k + 9)] for k in (0, 9)]
    data = write_dataset(tmp_path, rows)
    order = Stream(data, read_shards(data, None, "train"), lanes=2, batch_size=3, seed=0, buffer=4)
    # The second of two workers in a run of two lanes that begins in the middle: one lane whole.
    for workers, rank in ((2, 1), (3, 1)):
        own = rows_of_worker(rank, workers, order.lanes, order.piece)
        start = {part.lane: LanePosition(0, 4) for part in own}
        expected = list(islice(order.batches(own, start, HOW, 1), 8))
        with contextlib.closing(batches_of_actors(order, own, start, HOW, 0.5)) as source:
            found = list(islice(source, 3))
            (victim, *_) = readers()
            victim.kill()
            found += list(islice(source, 5))
        assert [batch.keys for batch in found] == [batch.keys for batch in expected]
        assert [batch.lanes for batch in found] == [batch.lanes for batch in expected]
        assert all(torch.equal(one.images, other.images) for one, other in zip(found, expected, strict=True))


@pytest.mark.cluster
def test_a_node_that_is_lost_with_pieces_that_were_ready_costs_nothing(tmp_path: Path) -> None:
    write_dataset(tmp_path, [map(sample, range(9)), map(sample, range(9, 20))])
    command = [sys.executable, "-m", "tests.reading.losing_a_node", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    assert told["found"] == told["expected"]
