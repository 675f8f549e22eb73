"""Results as a page of its own: tables, means by domain as bars, and what explains the scores of each task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biomedica_ray.evaluate import tables
from biomedica_ray.evaluate.comparisons import OVERALL
from biomedica_ray.evaluate.mistakes import Shown
from biomedica_ray.pages import formats, page_environment

if TYPE_CHECKING:
    from biomedica_ray.evaluate.leakage import Pair, TaskLeaks


@dataclass(frozen=True)
class Domain:
    """Means of the models over the tasks of a domain that all of them have."""

    name: str
    tasks: int
    means: dict[str, float]


@dataclass(frozen=True)
class Answers:
    """What a model answered in a task.

    Attributes:
        model: The model.
        score: In the task's metric.
        confusion: Of each class (row) the images that were taken for each one, and in a last column those that were
            tied, each with its share of the row; empty where the task is not of single labels.
        calibration: ECE and the bins of the reliability diagram; None of retrieval.
        mistakes: The worst ones, with pictures.
    """

    model: str
    score: float | None
    confusion: list[list[tuple[int, float]]]
    calibration: dict[str, Any] | None
    mistakes: list[Shown]


@dataclass(frozen=True)
class Task:
    """A task with the answers of all models that have a score; of its leaked images the number, and some as pairs."""

    name: str
    title: str
    metric: str
    licence: str
    classes: list[str]
    answers: list[Answers]
    pairs: list[Pair]
    leaked: int


def render(
    document: dict[str, Any], shown: dict[str, dict[str, list[Shown]]], leaks: Mapping[str, TaskLeaks] | None = None
) -> str:
    """The page, which needs no other file and no network.

    Args:
        document: The results.
        shown: Task -> model -> mistakes with pictures.
        leaks: Task -> what was found of its images in a training store.
    """
    environment = page_environment("biomedica_ray.evaluate", ".")
    environment.filters.update(count=formats.count, share=formats.share, things=formats.things)
    return environment.get_template("page.html.j2").render(
        title=document["title"],
        scores=tables.scores_table(document),
        notes=tables.notes(document),
        published=tables.published_table(document),
        sources=tables.published_notes(document),
        domains=_domains(document),
        tasks=[
            _task(name, task, shown.get(name, {}), (leaks or {}).get(name)) for name, task in document["tasks"].items()
        ],
    )


def _domains(document: dict[str, Any]) -> list[Domain]:
    order = sorted(document["means_over"].items(), key=lambda item: (item[0] == OVERALL, item[0]))
    means = document["means"]
    return [
        Domain(name, len(over), {model: of[name] for model, of in means.items() if name in of}) for name, over in order
    ]


def _task(name: str, task: dict[str, Any], shown: dict[str, list[Shown]], leaks: TaskLeaks | None) -> Task:
    answers = [
        Answers(
            model,
            found["scores"].get(task["metric"]),
            [[(n, n / max(sum(row), 1)) for n in row] for row in found["confusion"]],
            found["calibration"],
            shown.get(model, []),
        )
        for model, found in task["models"].items()
        if found
    ]
    return Task(
        name,
        task["title"],
        task["metric"],
        task["licence"] or "not known",
        task["classes"],
        answers,
        leaks.pairs if leaks else [],
        leaks.images if leaks else 0,
    )
