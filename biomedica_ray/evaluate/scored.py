"""What a model scores on published sets, from the vectors that the store has: with all images, without leaked ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from biomedica_ray.cluster import StageFailedError
from biomedica_ray.evaluate import features
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.evaluate.mistakes import Shown, show
from biomedica_ray.evaluate.preparing import Images, Ready, Split, Texts
from biomedica_ray.evaluate.questions import Questions, of_rows
from biomedica_ray.evaluate.statistics import Indices
from biomedica_ray.evaluate.task_scores import TaskScores
from biomedica_ray.evaluate.zero_shot import Vectors
from biomedica_ray.models.names import ModelName
from biomedica_ray.store import Store
from biomedica_ray.units import fingerprint


@dataclass(frozen=True)
class Scored:
    """A task as a model did it.

    Attributes:
        scores: Its scores; None where no image could be read.
        rows: Rows of the set that were scored, shape (n,).
        unreadable: Images that could not be read.
        duplicates: Images of which an equal one came before under another name; they count.
        shown: Its worst mistakes, as they are shown.
        clean: Without images that are among the figures of the training store; None where these were not sought.
    """

    scores: TaskScores | None
    rows: np.ndarray[Any, np.dtype[np.int64]]
    unreadable: list[str]
    duplicates: int
    shown: list[Shown] = field(default_factory=list)
    clean: Clean | None = None


@dataclass(frozen=True)
class Clean:
    """A task without images that a model may have been trained on.

    Attributes:
        scores: The scores of the rest; None where there is next to nothing left.
        images: How many they are.
        vanished: Classes that had images, and have none left.
        mark: Of the rows that were left out, which are the same where it is.
    """

    scores: TaskScores | None
    images: int
    vanished: list[str]
    mark: str


def score_model(
    store: Store,
    model: ModelName,
    ready: dict[str, Ready],
    config: EvaluateConfig,
    leaked: Mapping[str, Indices] | None = None,
) -> dict[str, Scored]:
    """The scores of one model on every task, from the vectors that the store has; is a task on the cluster.

    Args:
        store: The store.
        model: The model.
        ready: The tasks.
        config: The evaluation's.
        leaked: Set -> its rows that are leaked, ascending; None: they were not sought.
    """
    images: dict[str, features.Features] = {}
    found: dict[str, Scored] = {}
    for name, each in ready.items():
        if each.images.name not in images:
            images.clear()  # tasks on one set come one after the other, mostly
            images[each.images.name] = features.read(store, model, each.images)
        seen = images[each.images.name]
        kept = np.flatnonzero(np.isin(each.questions.rows, seen.rows))
        questions = of_rows(each.questions, kept)
        where = np.searchsorted(seen.rows, questions.rows)
        digests = {seen.sha256[position] for position in where}
        vectors, texts = seen.vectors[where], features.read(store, model, each.texts)
        asked = _Asked(each, questions, vectors, _by_text(texts, each.texts, questions.texts))
        guesses = _probes(partial(features.read, store, model), each, config, vectors) if len(kept) > 1 else {}
        scores = _scores(asked, guesses, config)
        clean = None
        if leaked is not None:
            rest = np.flatnonzero(~np.isin(questions.rows, leaked[each.images.name]))
            clean = _clean(asked, scores, rest, guesses, config)
        shown = show(each, questions.rows, scores.mistakes if scores else [], config.mistakes)
        found[name] = Scored(scores, questions.rows, seen.errors, len(where) - len(digests), shown, clean)
    return found


@dataclass(frozen=True)
class _Asked:
    """What a model was asked in a task, and the vectors that it has for it."""

    ready: Ready
    questions: Questions
    images: Vectors
    texts: Vectors

    def of(self, kept: Indices) -> _Asked:
        """The same of some of the images."""
        questions = of_rows(self.questions, kept)
        number = {text: position for position, text in enumerate(self.questions.texts)}
        texts = self.texts[[number[text] for text in questions.texts]]
        return _Asked(self.ready, questions, self.images[kept], texts)


_Guesses = dict[str, list[Indices]]
"""Score of a linear probe -> the classes that each fit of it gives to the images."""


def _scores(asked: _Asked, guesses: _Guesses, config: EvaluateConfig) -> TaskScores | None:
    """None where there are fewer than two images."""
    from biomedica_ray.evaluate.scores import score  # noqa: PLC0415 - scikit-learn takes seconds

    if len(asked.questions.rows) < 2:
        return None
    scores = score(asked.questions, asked.images, asked.texts, config.bootstrap, config.seed)
    return replace(scores, scores=scores.scores | _of_probes(guesses, asked.questions.truth))


def _clean(asked: _Asked, scores: TaskScores | None, rest: Indices, guesses: _Guesses, config: EvaluateConfig) -> Clean:
    """The task on the rest of its images, which are those at some positions."""
    of_rest = asked.of(rest)
    mark = fingerprint(np.delete(asked.questions.rows, rest).tolist())
    if len(rest) == len(asked.questions.rows):
        return Clean(scores, len(rest), [], mark)
    left = _scores(of_rest, {name: [each[rest] for each in of_fit] for name, of_fit in guesses.items()}, config)
    vanished = sorted(set(_shown_classes(asked.questions)) - set(_shown_classes(of_rest.questions)))
    return Clean(left, len(rest), [asked.questions.names[number] for number in vanished], mark)


def _shown_classes(questions: Questions) -> list[int]:
    """Numbers of the classes that the images show."""
    if questions.task.kind == "retrieval":
        return []
    if questions.task.kind == "multilabel":
        return [int(number) for number in np.flatnonzero(questions.truth.any(axis=0))]
    return [int(number) for number in np.unique(questions.truth) if number >= 0]


def _probes(
    read: Callable[[Images], features.Features], ready: Ready, config: EvaluateConfig, images: Vectors
) -> _Guesses:
    """What linear probes say; nothing where the set has no train split."""
    if ready.train is None:
        return {}
    from biomedica_ray.evaluate.probe import Labelled, few_shot, probe  # noqa: PLC0415

    def labelled(split: Split) -> Labelled:
        seen = read(split.images)
        kept = np.isin(split.rows, seen.rows)
        return Labelled(seen.vectors[np.searchsorted(seen.rows, split.rows[kept])], split.truth[kept])

    train = labelled(ready.train)
    validation = labelled(ready.validation) if ready.validation else None
    if len(np.unique(train.truth)) < 2:  # nearly nothing of it could be read
        return {}
    if validation is not None and not len(validation.truth):
        validation = None
    found: _Guesses = {}
    if config.probe:
        found["probe"] = [probe(train, validation, images, config.seed)]
    for shots in config.shots:
        found[f"probe_{shots}_shot"] = few_shot(train, validation, images, shots, config.seed)
    return found


def _of_probes(guesses: _Guesses, truth: Indices) -> dict[str, float]:
    """Scores of linear probes: the mean over the fits of each."""
    from sklearn.metrics import accuracy_score, balanced_accuracy_score  # noqa: PLC0415

    found = {
        f"{name}_accuracy": float(np.mean([accuracy_score(truth, each) for each in of_fit]))
        for name, of_fit in guesses.items()
    }
    if "probe" in guesses:
        found["probe_balanced_accuracy"] = float(balanced_accuracy_score(truth, guesses["probe"][0]))
    return found


def _by_text(read: features.Features, source: Texts, wanted: list[str]) -> Any:
    if len(read.rows) != source.n:
        raise StageFailedError(f"{source.name}: {source.n - len(read.rows)} of its texts have no finite vectors")
    number = {text: position for position, text in enumerate(source.texts)}
    return read.vectors[[number[text] for text in wanted]]
