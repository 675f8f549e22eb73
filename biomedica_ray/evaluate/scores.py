"""Scores of a model on a task, from the vectors of its images and texts.

Classification is scored by scikit-learn's functions. Intervals are 95 % percentile bootstrap intervals in which the
images of each class are drawn among themselves. As all of these scores follow from how often each class is taken for
each other one, it is the counts that are drawn: those of a class are multinomial.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, softmax
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from biomedica_ray.evaluate.calibration import calibration, worst
from biomedica_ray.evaluate.questions import Choice, Questions
from biomedica_ray.evaluate.statistics import LEVEL, Indices
from biomedica_ray.evaluate.task_scores import Floats, Interval, TaskScores
from biomedica_ray.evaluate.zero_shot import TIED, Vectors, class_vectors, predict

SCALE = 100.0
"""What similarities are multiplied with before a softmax: the logit scale at which CLIP's training stops (Radford et
al. 2021, 2.5), and that of medpmc-clip-eval and CLIP_benchmark."""

CUTOFFS = (1, 5, 10, 100, 200)
_CHUNK = 1024
"""Queries compared at a time, so that memory grows with the number of candidates and not with its square."""


def score(questions: Questions, images: Vectors, texts: Vectors, resamples: int, seed: int) -> TaskScores:
    """Scores of a task.

    Args:
        questions: What is asked.
        images: Normalised vectors of its rows, shape (n, d).
        texts: Normalised vectors of its texts, shape (t, d).
        resamples: How often the bootstrap draws; 0 gives no intervals.
        seed: Seed of the draws.
    """
    return _SCORE[questions.task.kind](questions, images, texts, _Draws(resamples, seed))


@dataclass(frozen=True)
class _Draws:
    resamples: int
    seed: int

    def interval(self, values: Callable[[np.random.Generator], Floats]) -> Interval:
        """Of a score, given the function that draws it ``resamples`` times."""
        return _middle(values(np.random.default_rng(self.seed))) if self.resamples else None

    def of_mean(self, values: Floats) -> Interval:
        """Of the mean of values."""
        return self.interval(lambda generator: _sums(generator, values, self.resamples) / len(values))

    def tables(self, confusion: Indices) -> npt.NDArray[np.int64]:
        """Drawn tables (resamples, c, columns) of counts with the same number of images of each class."""
        generator = np.random.default_rng(self.seed)
        sizes = confusion.sum(axis=1)
        shares = confusion / np.maximum(sizes, 1)[:, None]
        drawn = [generator.multinomial(n, share, self.resamples) for n, share in zip(sizes, shares, strict=True)]
        return np.stack(drawn, axis=1).astype(np.int64)


def _middle(drawn: Floats) -> Interval:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _multiclass(questions: Questions, images: Vectors, texts: Vectors, draws: _Draws) -> TaskScores:
    n_classes = len(questions.names)
    classes = class_vectors([texts[numbers] for numbers in questions.prompts])
    truth, predicted = questions.truth, predict(images, classes)
    present = np.unique(truth)
    logits = SCALE * (images @ classes.T).astype(np.float64)
    confusion = _confusion(truth, predicted, n_classes)
    scores = {
        "accuracy": float(accuracy_score(truth, predicted)),
        "balanced_accuracy": float(np.mean(confusion[present, present] / confusion.sum(axis=1)[present])),
        "macro_f1": float(f1_score(truth, predicted, labels=range(n_classes), average="macro", zero_division=0)),
    }
    if n_classes > 5:
        own = logits[np.arange(len(truth)), truth][:, None]
        # A class that is exactly as similar is ahead: who finds all alike has found nothing.
        scores["top5"] = float(np.mean((logits >= own).sum(axis=1) <= 5))
    if len(present) > 1:
        one_hot = truth[:, None] == present
        scores["auroc"] = float(roc_auc_score(one_hot, softmax(logits, axis=1)[:, present], average="macro"))
    right = predicted == truth
    given = logits.argmax(axis=1)
    probability = softmax(logits, axis=1)[np.arange(len(given)), given]
    recalls = np.diag(confusion[:, :n_classes]) / np.maximum(confusion.sum(axis=1), 1)
    return TaskScores(
        scores,
        _of_confusion(confusion, draws, macro_f1=True),
        1 / n_classes,
        right.astype(np.float64),
        confusion.tolist(),
        {questions.names[number]: float(recalls[number]) for number in present},
        calibration(probability, right),
        worst(probability, right, range(len(right)), lambda n: (questions.names[given[n]], questions.names[truth[n]])),
    )


def _confusion(truth: Indices, predicted: Indices, n_classes: int) -> Indices:
    """Counts (c, c + 1); the last column is that of ties."""
    columns = np.where(predicted == TIED, n_classes, predicted)
    flat = np.bincount(truth * (n_classes + 1) + columns, minlength=n_classes * (n_classes + 1))
    return flat.reshape(n_classes, n_classes + 1).astype(np.int64)


def _of_confusion(confusion: Indices, draws: _Draws, *, macro_f1: bool) -> dict[str, Interval]:
    """Intervals of accuracy, balanced accuracy and macro F1."""
    if not draws.resamples:
        return {}
    n = len(confusion)
    tables = draws.tables(confusion)
    right = np.diagonal(tables[:, :, :n], axis1=1, axis2=2)
    sizes = confusion.sum(axis=1)
    shown = sizes > 0
    found = {
        "accuracy": right.sum(axis=1) / sizes.sum(),
        "balanced_accuracy": (right[:, shown] / sizes[shown]).mean(axis=1),
    }
    if macro_f1:
        named = tables[:, :, :n].sum(axis=1)
        found["macro_f1"] = (2 * right / np.maximum(named + sizes, 1)).mean(axis=1)
    return {name: _middle(values) for name, values in found.items()}


def _multilabel(questions: Questions, images: Vectors, texts: Vectors, draws: _Draws) -> TaskScores:
    """Of each class the prompt with it against the prompt without it; equal similarities are nobody's, and wrong."""
    truth = questions.truth
    similarity = [
        SCALE * (images @ class_vectors([texts[numbers] for numbers in prompts]).T).astype(np.float64)
        for prompts in (questions.without, questions.prompts)
    ]
    shown = softmax(np.stack(similarity), axis=0)[1]
    predicted = shown > 0.5
    right = (predicted == truth) & (shown != 0.5)
    both = [number for number in range(truth.shape[1]) if 0 < truth[:, number].sum() < len(truth)]
    scores = {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean([_balanced(truth[:, number], right[:, number]) for number in both or [0]])),
        "macro_f1": float(f1_score(truth, predicted, average="macro", zero_division=0)),
    }
    if both:
        scores["auroc"] = float(roc_auc_score(truth[:, both], shown[:, both], average="macro"))
        # As medpmc-clip-eval: over all pairs of image and class at once.
        scores["auroc_flattened"] = float(roc_auc_score(truth.ravel(), shown.ravel()))
    outcomes = right.mean(axis=1)

    def accuracy(generator: np.random.Generator) -> Floats:
        # Images that show the same are drawn among themselves.
        _, kind = np.unique(truth, axis=0, return_inverse=True)
        groups = [outcomes[kind == number] for number in range(kind.max() + 1)]
        total = sum(_sums(generator, group, draws.resamples) for group in groups)
        return np.asarray(total / len(outcomes))

    per_class = {questions.names[number]: float(right[:, number].mean()) for number in range(truth.shape[1])}
    probability = np.maximum(shown, 1 - shown).ravel()

    def names(answer: int) -> tuple[str, str]:
        image, number = divmod(answer, truth.shape[1])
        said = (questions.names[number], f"no {questions.names[number]}")
        return (said[1], said[0]) if truth[image, number] else said

    return TaskScores(
        scores,
        {"accuracy": draws.interval(accuracy)},
        0.5,
        outcomes,
        [],
        per_class,
        calibration(probability, right.ravel()),
        worst(probability, right.ravel(), np.repeat(np.arange(len(truth)), truth.shape[1]).tolist(), names),
    )


def _balanced(truth: npt.NDArray[np.bool_], right: npt.NDArray[np.bool_]) -> float:
    groups = [right[truth == value] for value in (False, True)]
    return float(np.mean([group.mean() for group in groups if len(group)]))


def _sums(generator: np.random.Generator, values: Floats, resamples: int) -> Floats:
    """Sums of as many values, drawn with repetition, ``resamples`` times; those that are equal are drawn as counts."""
    each, counts = np.unique(values, return_counts=True)
    return np.asarray(generator.multinomial(len(values), counts / len(values), resamples) @ each)


def _choice(questions: Questions, images: Vectors, texts: Vectors, draws: _Draws) -> TaskScores:
    """The right option must be more similar than all others; phrasings of a question are averaged."""
    outcomes = np.empty(len(questions.choices))
    chances = np.empty(len(questions.choices))
    answers: list[tuple[int, Choice, int, float, bool]] = []
    for position, asked in enumerate(questions.choices):
        for choice in asked:
            similarity = texts[choice.options] @ images[position]
            others = np.delete(similarity, choice.answer)
            probability = softmax(SCALE * similarity.astype(np.float64))
            is_right = bool(similarity[choice.answer] > others.max(initial=-np.inf))
            given = int(probability.argmax())
            answers.append((position, choice, given, float(probability[given]), is_right))
        outcomes[position] = np.mean([answer[-1] for answer in answers[-len(asked) :]])
        chances[position] = np.mean([1 / len(choice.options) for choice in asked])
    groups = [np.flatnonzero(questions.truth == number) for number in np.unique(questions.truth)]
    named = [group for group in groups if questions.names and questions.truth[group[0]] >= 0]

    def drawn(generator: np.random.Generator, groups: list[Indices] = groups) -> list[Floats]:
        return [_sums(generator, outcomes[group], draws.resamples) for group in groups]

    scores = {"accuracy": float(outcomes.mean())}
    intervals = {"accuracy": draws.interval(lambda g: np.asarray(sum(drawn(g)) / len(outcomes)))}
    if named:
        scores["balanced_accuracy"] = float(np.mean([outcomes[group].mean() for group in named]))
        intervals["balanced_accuracy"] = draws.interval(
            lambda g: np.mean([sums / len(group) for sums, group in zip(drawn(g, named), named, strict=True)], axis=0)
        )
    per_class = {
        questions.names[questions.truth[group[0]]]: float(outcomes[group].mean())
        for group in groups
        if questions.names and questions.truth[group[0]] >= 0
    }
    probabilities = np.array([answer[3] for answer in answers])
    rights = np.array([answer[4] for answer in answers])

    def names(number: int) -> tuple[str, str]:
        _, choice, given, *_ = answers[number]
        return questions.texts[choice.options[given]], questions.texts[choice.options[choice.answer]]

    return TaskScores(
        scores,
        intervals,
        float(chances.mean()),
        outcomes,
        [],
        per_class,
        calibration(probabilities, rights),
        worst(probabilities, rights, [answer[0] for answer in answers], names),
    )


def _retrieval(questions: Questions, images: Vectors, texts: Vectors, draws: _Draws) -> TaskScores:
    """Both ways: whether one of a query's own candidates is among the first k, and 1 / its rank.

    Of candidates that are exactly as similar each order is as probable as the other.
    """
    scores: dict[str, float] = {}
    intervals: dict[str, Interval] = {}
    by_text = np.argsort(questions.truth, kind="stable")
    ways = {
        "image_to_text": (images, texts, questions.pairs, questions.truth),
        "text_to_image": (texts, images, questions.truth[by_text], questions.pairs[by_text]),
    }
    outcomes = np.zeros(0)
    for way, (queries, candidates, of_query, of_candidate) in ways.items():
        before, equal, own = standing(queries, candidates, of_query, of_candidate)
        found = {f"recall@{k}": hits(before, equal, own, k) for k in CUTOFFS if k < len(candidates)}
        found["mrr"] = reciprocal_ranks(before, equal, own)
        for name, values in found.items():
            scores[f"{way}_{name}"] = float(values.mean())
            intervals[f"{way}_{name}"] = draws.of_mean(values)
        if way == "image_to_text":
            outcomes = found.get(questions.task.metric, found["mrr"])
    for name in [name.removeprefix("image_to_text_") for name in scores if name.startswith("image_to_text_")]:
        if f"text_to_image_{name}" in scores:
            scores[name] = (scores[f"image_to_text_{name}"] + scores[f"text_to_image_{name}"]) / 2
    k = int(questions.task.metric.partition("@")[2] or 1)
    own_share = len(questions.pairs) / len(images) / len(texts)
    return TaskScores(scores, intervals, min(1.0, k * own_share), outcomes, [], {})


def standing(
    queries: Vectors, candidates: Vectors, of_query: Indices, of_candidate: Indices
) -> tuple[Indices, Indices, Indices]:
    """Where each query's best own candidate stands among all.

    Args:
        queries: Normalised, shape (n, d).
        candidates: Normalised, shape (m, d).
        of_query: The query of each pair, ascending, shape (p,).
        of_candidate: The candidate of each pair, shape (p,).

    Returns:
        Candidates that are more similar than the best own one, others that are exactly as similar and not the
        query's, and own ones that are exactly as similar as the best, each of shape (n,).
    """
    before, equal, own = (np.zeros(len(queries), np.int64) for _ in range(3))
    for start in range(0, len(queries), _CHUNK):
        similarity = queries[start : start + _CHUNK] @ candidates.T
        first, last = np.searchsorted(of_query, [start, start + len(similarity)])
        is_own = np.zeros(similarity.shape, bool)
        is_own[of_query[first:last] - start, of_candidate[first:last]] = True
        best = np.where(is_own, similarity, -np.inf).max(axis=1, keepdims=True)
        same = similarity == best
        here = slice(start, start + len(similarity))
        before[here] = (similarity > best).sum(axis=1)
        equal[here] = (same & ~is_own).sum(axis=1)
        own[here] = (same & is_own).sum(axis=1)
    return before, equal, own


def hits(before: Indices, equal: Indices, own: Indices, k: int) -> Floats:
    """Probability that one of ``own`` equals is among the first k, ``equal`` others being as similar; shape (n,)."""
    left = np.maximum(k - before, 0)
    return 1 - _none_of_own(equal, own, left)


def reciprocal_ranks(before: Indices, equal: Indices, own: Indices) -> Floats:
    """Expected 1 / rank of the first of the own candidates; shape (n,)."""
    result = 1 / (before + 1.0)
    for number in np.flatnonzero(equal):
        at = np.arange(equal[number] + 1)
        none_before = _none_of_own(equal[number], own[number], at)
        none_after = _none_of_own(equal[number], own[number], at + 1)
        result[number] = ((none_before - none_after) / (before[number] + at + 1)).sum()
    return np.asarray(result)


def _none_of_own(equal: npt.ArrayLike, own: npt.ArrayLike, drawn: npt.ArrayLike) -> Floats:
    """Probability that of ``equal + own`` candidates the first ``drawn`` are all others: hypergeometric."""
    others, all_, n = np.asarray(equal), np.asarray(equal) + np.asarray(own), np.asarray(drawn)
    possible = n <= others
    fits = np.where(possible, n, 0)
    logarithm = gammaln(others + 1) - gammaln(others - fits + 1) - gammaln(all_ + 1) + gammaln(all_ - fits + 1)
    return np.where(possible, np.exp(logarithm), 0.0)


_SCORE = {"multiclass": _multiclass, "multilabel": _multilabel, "choice": _choice, "retrieval": _retrieval}
