"""The evaluate stage: one task on the cluster reads the held-out shards and scores the model.

Model libraries are imported in that task, as they take seconds: a driver needs none.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from biomedica_ray.board import Board, Follower
from biomedica_ray.cluster import on_a_worker
from biomedica_ray.config import OF_A_RUN
from biomedica_ray.evaluate import benchmarks, dry_run
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.evaluate.held_out_tasks import TASKS, NotApplicableError, Settings
from biomedica_ray.models.trained import TrainedModel
from biomedica_ray.reading.pairs import Pairs
from biomedica_ray.reading.place import Place
from biomedica_ray.reading.shards import RawSample, Shard, Source, Unreadable, read_shards
from biomedica_ray.reading.stretches import draw, read_numbers
from biomedica_ray.runs import Run
from biomedica_ray.schema import ERRORS, error_row
from biomedica_ray.store import Store, StoreError
from biomedica_ray.units import Flow, fingerprint

if TYPE_CHECKING:
    from biomedica_ray.evaluate.encode import Encoded, Model
    from biomedica_ray.evaluate.validation import Validation

log = logging.getLogger(__name__)

VERSION = 3
"""Raise it when the same model and samples would give other scores."""

_OF_SETS = {
    "suite",
    "tasks",
    "models",
    "prompts",
    "probe",
    "shots",
    "mistakes",
    "published",
    "decontaminate",
    "into",
    "compare",
    "tolerance",
    "memory_gb",
}
_OF_A_DRY_RUN = {"dry_run", "images_per_s", "dollars_per_hour"}
IRRELEVANT = {*OF_A_RUN, "num_cpus", "use_gpu", "batch_size", "data", "selection", *_OF_SETS, *_OF_A_DRY_RUN}
"""Keys that do not change the scores; the data counts by what it holds."""


def run(config: EvaluateConfig, record: Run) -> None:
    """Score the model of ``config.name`` on every task, and write ``checkpoints/<name>/evaluation.json``.

    With ``suite`` or ``tasks``, what :func:`biomedica_ray.evaluate.benchmarks.run` does.

    Does nothing when that model has been scored on the same samples with the same settings.

    Raises:
        StoreError: There is no trained model, or fewer than 2 held-out samples can be read.
    """
    if config.on_published_sets:
        benchmarks.run(config, record)
        return
    checkpoints = TrainedModel(record.store, config.name)
    origin = checkpoints.origin()
    held_out = find_held_out(dataset_of(config, record.store), "test", config.samples, config.seed)
    mark = fingerprint(VERSION, config.model_dump(mode="json", exclude=IRRELEVANT), origin, held_out.content)
    done = record.committed(f"evaluate/{config.name}").get(0)
    if done and done.complete and done.fingerprint == mark and _written(record.store, checkpoints) == mark:
        log.info("evaluate: %s is already evaluated", config.name)
        record.add(done.counts, before=True)
        _tell(record, checkpoints)
        return
    numbers = held_out.numbers
    if config.dry_run:
        tried = on_a_worker(partial(dry_run.try_on_samples, checkpoints, held_out), num_cpus=config.num_cpus)
        found = {"images": len(numbers), "texts": len(numbers), "reused": 0}
        dry_run.tell(config, record, config.name, found=found, workers=1, tried=tried)
        return
    board = Board()
    job = _Job(config, checkpoints, held_out, board)
    with (
        record.progress("samples", len(numbers)) as progress,
        Follower(board, lambda item: progress.update(item["samples"], rows=item["samples"])),
    ):
        work = partial(_evaluate, job)
        scored = on_a_worker(work, num_cpus=config.num_cpus, num_gpus=int(config.use_gpu))
    if not scored.tasks:
        _commit(record, config, mark, len(numbers), scored, complete=False)
        raise StoreError(f"{held_out.data.root}: {scored.read} held-out samples can be read, expected at least 2")
    for name, task in scored.tasks.items():
        if "skipped" in task:
            log.warning("evaluate: %s: %s", name, task["skipped"])
    # First, as it fails where samples were lost; scores of which it knows and that are not there are made again.
    _commit(record, config, mark, len(numbers), scored, complete=True)
    document = {"name": config.name, "step": origin["step"], "tasks": scored.tasks, "run_id": record.run_id}
    record.store.write_json(checkpoints.path("evaluation.json"), {**document, "fingerprint": mark})
    _tell(record, checkpoints)


def _written(store: Store, checkpoints: TrainedModel) -> str | None:
    """The fingerprint of the scores that are there; None where there are none, or those of an earlier version."""
    try:
        found: str | None = store.read_json(checkpoints.path("evaluation.json")).get("fingerprint")
    except FileNotFoundError:
        return None
    return found


def _tell(record: Run, checkpoints: TrainedModel) -> None:
    path = checkpoints.path("evaluation.json")
    record.results.update(evaluation=record.store.uri(path), tasks=record.store.read_json(path)["tasks"])


@dataclass(frozen=True)
class Scored:
    """What came of the held-out samples.

    Attributes:
        tasks: Scores by task; empty where fewer than 2 samples can be read.
        read: Samples that were scored.
        errors: Samples that cannot be read.
    """

    tasks: dict[str, Any]
    read: int
    errors: list[Unreadable]


@dataclass(frozen=True)
class HeldOut:
    """The samples that models are scored on.

    Attributes:
        data: The dataset.
        shards: Its shards that have held-out samples.
        numbers: Which samples, counted through all shards.
    """

    data: Source | Pairs
    shards: tuple[Shard, ...]
    numbers: list[int]

    @property
    def content(self) -> list[tuple[str, str]]:
        """What distinguishes these shards from others."""
        return [(shard.path, shard.content) for shard in self.shards]

    def samples(self, rank: int = 0, workers: int = 1) -> Iterator[RawSample | Unreadable]:
        """The part of one of several workers: whole stretches, but where two workers share one.

        The parts one after the other, by rank, are the samples in order. Raises StoreError where a file cannot be read.
        """
        start, stop = (number * len(self.numbers) // workers for number in (rank, rank + 1))
        return read_numbers(self.data, self.shards, self.numbers[start:stop])


def dataset_of(config: EvaluateConfig, store: Store) -> Store:
    """The dataset that a config means."""
    return Store(config.data or store.uri(Place(config.selection).folder("dataset")), config.endpoint_url)


def find_held_out(data: Store, split: Literal["validation", "test"], most: int, seed: int = 0) -> HeldOut:
    """At most ``most`` samples of a held-out split of a dataset, drawn at random from the seed.

    Raises:
        StoreError: There are fewer than 2.
    """
    shards = read_shards(data, None, split)
    n_samples = sum(shard.samples for shard in shards)
    if n_samples < 2:
        raise StoreError(
            f"{data.root}: {n_samples} {split} samples, expected at least 2; serialize with a greater {split}_fraction"
        )
    return HeldOut(data, shards, draw([shard.samples for shard in shards], most, seed))


@dataclass(frozen=True)
class _Job:
    config: EvaluateConfig
    checkpoints: TrainedModel
    held_out: HeldOut
    board: Board


def _evaluate(job: _Job) -> Scored:
    """As :func:`score_model`, for the model of a run; is a task on the cluster."""
    import torch  # noqa: PLC0415

    from biomedica_ray.evaluate.encode import Model  # noqa: PLC0415

    torch.set_num_threads(max(1, int(job.config.num_cpus)))
    model = Model.of_run(job.checkpoints, "cuda" if job.config.use_gpu else "cpu")
    return score_model(model, job.held_out, job.config, lambda n: job.board.post({"samples": n}))


def score_model(
    model: Model, held_out: HeldOut | Validation, config: EvaluateConfig, tell: Callable[[int], None]
) -> Scored:
    """Scores of a model on held-out samples.

    Args:
        model: The model.
        held_out: What it is scored on.
        config: How.
        tell: Called with the number of samples of each batch that is done.
    """
    from biomedica_ray.evaluate.encode import encode  # noqa: PLC0415

    samples = encode(model, held_out.samples(), config.batch_size, max(1, int(config.num_cpus)), tell)
    settings = Settings(config.recall_at, config.bootstrap, config.seed)
    enough = len(samples.labels) >= 2
    tasks = {name: _score(name, model, samples, settings) for name in TASKS} if enough else {}
    return Scored(tasks, len(samples.labels), samples.errors)


def _score(name: str, model: Model, samples: Encoded, settings: Settings) -> dict[str, Any]:
    try:
        return TASKS[name](model, samples, settings)
    except NotApplicableError as error:
        return {"skipped": str(error)}


def _commit(record: Run, config: EvaluateConfig, mark: str, rows_in: int, scored: Scored, *, complete: bool) -> None:
    """Count the samples, and write those that could not be read into the errors table."""
    stage = f"evaluate/{config.name}"
    rows = [error_row("evaluate", error.what, error.kind, error.message, entity="sample") for error in scored.errors]
    counts = {"samples": Flow(rows_in, scored.read, len(rows))}
    record.add(counts)
    with record.store.write_unit(stage, 0, mark, record.run_id) as writer:
        writer.table("errors", ERRORS, directory=f"errors/{stage}").write(rows)
        writer.commit(counts, complete=complete)
