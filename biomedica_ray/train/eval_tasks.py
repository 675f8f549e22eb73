"""Tasks on published sets that a model in training is measured on, zero-shot: which, on which images, and how well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.comparisons import OVERALL, RETRIEVAL
from biomedica_ray.evaluate.layouts import BadDataError, MissingDataError
from biomedica_ray.evaluate.preparing import Images, prepare
from biomedica_ray.evaluate.questions import PAPER, Questions, of_rows
from biomedica_ray.evaluate.task_files import packaged
from biomedica_ray.evaluate.zero_shot import Vectors
from biomedica_ray.messages import one_line
from biomedica_ray.reading.shards import Unreadable
from biomedica_ray.store import StoreError
from biomedica_ray.store.root import Root
from biomedica_ray.train.config import TrainConfig

if TYPE_CHECKING:
    from biomedica_ray.models.scorable import Scorable
    from biomedica_ray.train.held_out import Gather

PREFIX = "tasks."
"""Scores go by this and the task, as in ``tasks.pcam.accuracy``; their mean is ``tasks.overall``."""

_BATCH = 64
"""Images or texts a forward pass, the same ones however many workers there are, as vectors depend on it in their last
digit."""

SCORES = ("retrieval.", PREFIX)
"""What the names of scores of a model in training begin with."""


@dataclass(frozen=True)
class EvalTask:
    """A task, and the images of the set that it is about."""

    questions: Questions
    images: Images

    @property
    def name(self) -> str:
        """The task's."""
        return self.questions.task.id


def choose_tasks(config: TrainConfig) -> tuple[EvalTask, ...]:
    """The tasks of ``config.eval_tasks``, each on at most ``eval_samples`` images, the same ones for all runs.

    Raises:
        ConfigError: There is no such task, or its set is not in ``eval_data`` or cannot be used.
    """
    if not config.eval_tasks or config.eval_data is None:
        return ()
    tasks = packaged()
    chosen = tasks.chosen(None, config.eval_tasks, "eval_tasks")
    data = Root(config.eval_data, config.endpoint_url)
    try:
        prepared = prepare(data, tasks, chosen, PAPER)
    except (StoreError, OSError) as error:
        raise ConfigError(f"eval_data: {config.eval_data}: {one_line(error)}") from None
    for name, what in prepared.missing.items():
        get = tasks.set_of(tasks.tasks[name]).get
        raise ConfigError(f"eval_tasks: {name}: not in {config.eval_data}: {what}; it is from {get}")
    for name, why in prepared.wrong.items():
        raise ConfigError(f"eval_tasks: {name}: {why}")
    return tuple(EvalTask(_some(each.questions, config.eval_samples), each.images) for each in prepared.ready.values())


def _some(questions: Questions, most: int) -> Questions:
    n = len(questions.rows)
    if n <= most:
        return questions
    return of_rows(questions, np.sort(np.random.default_rng(0).choice(n, most, replace=False)))


def zero_shot(
    model: Scorable,
    tasks: Sequence[EvalTask],
    gather: Gather,
    *,
    rank: int,
    workers: int,
    threads: int,
    tell: Callable[[str], None],
) -> Mapping[str, float]:
    """Scores of a model in the tasks' own metrics, and their mean over all tasks but retrieval, if there are several.

    Each worker encodes its part of the images and texts; the first one gets the scores, which do not depend on how many
    workers there are. Images that cannot be read do not count; a task of which fewer than 2 can has no score, and then
    there is no mean.

    Args:
        model: The model as it is now, in evaluation mode.
        tasks: The tasks.
        gather: Gives the values of all workers, by rank; called by all of them.
        rank: Which worker this is.
        workers: How many there are.
        threads: That decode.
        tell: Called by the first worker with what does not count, and why.
    """
    scores: dict[str, float] = {}
    for task in tasks:
        parts = gather(_encode(model, task, rank, workers, threads))
        if rank == 0:
            if errors := [error for part in parts for error in part.errors]:
                n, first = len(task.questions.rows), errors[0]
                tell(f"{task.name}: {len(errors):,} of {n:,} images do not count: {first.what}: {first.message}")
            value = _score(task.questions, parts)
            if value is not None:
                scores[task.name] = value
    counted = [task.name for task in tasks if task.questions.task.kind != RETRIEVAL]
    found = {f"{PREFIX}{name}.{_metric(tasks, name)}": value for name, value in scores.items()}
    if len(counted) > 1 and set(counted) <= scores.keys():
        found[f"{PREFIX}{OVERALL}"] = float(np.mean([scores[name] for name in counted]))
    return found


def _metric(tasks: Sequence[EvalTask], name: str) -> str:
    return next(task.questions.task.metric for task in tasks if task.name == name)


@dataclass(frozen=True)
class _Part:
    """What a worker made of its part of a task."""

    rows: list[int]
    images: Vectors
    texts: Vectors
    errors: list[Unreadable]


def _encode(model: Scorable, task: EvalTask, rank: int, workers: int, threads: int) -> _Part:
    from biomedica_ray.evaluate.set_vectors import encode_images, encode_texts  # noqa: PLC0415 - imports torch

    questions = task.questions
    rows: list[int] = questions.rows[_share(len(questions.rows), rank, workers)].tolist()
    of_texts = encode_texts(model, questions.texts[_share(len(questions.texts), rank, workers)], _BATCH)
    try:
        found = encode_images(model, task.images, rows, _BATCH, threads)
    except (MissingDataError, BadDataError, StoreError, OSError) as error:
        # Training is not to end for this, and the other workers wait for a part.
        why = Unreadable(task.images.name, "unreadable-image", one_line(error))
        return _Part([], np.zeros((0, 1), np.float32), of_texts, [why] * len(rows))
    return _Part(found.rows, found.vectors, of_texts, found.errors)


def _share(n: int, rank: int, workers: int) -> slice:
    """Of so many, those of a worker: whole batches."""
    batches = -(-n // _BATCH)
    start, stop = (number * batches // workers * _BATCH for number in (rank, rank + 1))
    return slice(start, stop)


def _score(questions: Questions, parts: Sequence[_Part]) -> float | None:
    from biomedica_ray.evaluate.scores import score  # noqa: PLC0415 - scikit-learn takes seconds

    rows = [row for part in parts for row in part.rows]
    kept = of_rows(questions, np.flatnonzero(np.isin(questions.rows, rows)))
    images = [part.images for part in parts if len(part.rows)]
    texts = np.concatenate([part.texts for part in parts if len(part.texts)])
    if len(kept.rows) < 2 or not np.isfinite(texts).all():
        return None
    number = {text: position for position, text in enumerate(questions.texts)}
    of_kept = texts[[number[text] for text in kept.texts]]
    return score(kept, np.concatenate(images), of_kept, 0, 0).scores.get(questions.task.metric)
