"""What a training run learned: its loss step by step, and its scores."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biomedica_ray.report.charts import LineChart, line_chart
from biomedica_ray.store import Store


@dataclass(frozen=True)
class Training:
    """A training run.

    Attributes:
        steps: Steps done.
        first_loss: Loss of the first step.
        last_loss: Loss of the last step.
        chance_loss: Loss of a model that finds all pairs of a step alike: ln(samples a step).
        samples: Samples seen, each once a pass.
        samples_per_s: Over the whole run.
        waiting: Share of the time in which the first worker waited for data.
        loss: The loss over steps, with the chance loss for comparison.
        lr: The learning rate over steps.
        scores: Name of each score that was measured while training -> its last value, and the scores over steps.
    """

    steps: int
    first_loss: float
    last_loss: float
    chance_loss: float
    samples: int
    samples_per_s: float
    waiting: float
    loss: LineChart
    lr: LineChart
    scores: Mapping[str, tuple[float, LineChart]]


@dataclass(frozen=True)
class Score:
    """A score with its 95 % interval, if there is one, and what guessing gives."""

    task: str
    name: str
    samples: int
    value: float
    low: float | None
    high: float | None
    chance: float


@dataclass(frozen=True)
class ClassRecall:
    """Share of right answers among the samples of one class."""

    label: str
    samples: int
    recall: float


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model on held-out figures, and the tasks that could not be done with the reason."""

    step: int
    scores: tuple[Score, ...]
    classes: tuple[ClassRecall, ...]
    skipped: tuple[tuple[str, str], ...]


def read_training(store: Store, name: str) -> Training | None:
    """The training run ``name``; None if it has not reached its first checkpoint."""
    try:
        with store.filesystem.open_input_stream(store.path("checkpoints", name, "metrics.jsonl")) as stream:
            records = [json.loads(line) for line in stream.read().splitlines()]
    except FileNotFoundError:
        return None
    if not records:
        return None
    seconds = sum(record["seconds"] for record in records)
    # Older versions did not count which samples fill up the last step.
    samples = sum(record.get("distinct", record["samples"]) for record in records)
    chance = math.log(max(record["samples"] for record in records))
    steps = [record["step"] for record in records]
    return Training(
        steps[-1],
        records[0]["loss"],
        records[-1]["loss"],
        chance,
        samples,
        sum(record["samples"] for record in records) / seconds,
        sum(record["wait"] * record["seconds"] for record in records) / seconds,
        line_chart(steps, [record["loss"] for record in records], chance),
        line_chart(steps, [record["lr"] for record in records]),
        _measured(records),
    )


def _measured(records: Sequence[Mapping[str, Any]]) -> dict[str, tuple[float, LineChart]]:
    """Scores that were measured every so many steps: of retrieval recall@1, and of tasks all."""
    names = dict.fromkeys(key for record in records for key in record)
    shown = [name for name in names if name.startswith("tasks.") or name.endswith("recall@1")]
    found = {}
    for name in sorted(shown):
        steps, values = zip(*((record["step"], record[name]) for record in records if name in record), strict=True)
        found[name] = (values[-1], line_chart(steps, values))
    return found


def read_evaluation(store: Store, name: str) -> Evaluation | None:
    """The scores of training run ``name``; None if it has not been evaluated."""
    try:
        document = store.read_json(f"checkpoints/{name}/evaluation.json")
    except FileNotFoundError:
        return None
    tasks: dict[str, dict[str, Any]] = document["tasks"]
    return Evaluation(
        document["step"],
        tuple(score for task, found in tasks.items() for score in _scores(task, found)),
        tuple(
            ClassRecall(each["label"], each["samples"], each["recall"])
            for found in tasks.values()
            for each in found.get("classes", [])
        ),
        tuple((_words(task), found["skipped"]) for task, found in tasks.items() if "skipped" in found),
    )


def _scores(task: str, found: dict[str, Any]) -> Iterator[Score]:
    for path, estimate in _estimates(found, ()):
        name = " ".join(map(_words, path))
        yield Score(
            _words(task),
            name,
            found["samples"],
            estimate["value"],
            estimate["low"],
            estimate["high"],
            estimate["chance"],
        )


def _estimates(found: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Everything in a task's result that is an estimate, however deep, with the names on the way to it."""
    if "chance" in found:
        yield path, found
        return
    for name, value in found.items():
        if isinstance(value, dict):
            yield from _estimates(value, (*path, name))


def _words(name: str) -> str:
    return name.replace("_", " ")
