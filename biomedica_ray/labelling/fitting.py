"""Fitting the classifier of images on examples: cross-validated, calibrated, and sure only where it may be.

Imported by workers only, as scikit-learn takes seconds.
"""

from __future__ import annotations

import warnings
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from biomedica_ray.evaluate.calibration import calibration
from biomedica_ray.evaluate.task_scores import Calibration
from biomedica_ray.labelling.classifier import Floats, ImageClassifier, softmax
from biomedica_ray.labelling.examples import Example
from biomedica_ray.units import pmcid_of

MIN_ARTICLES = 3
"""A concept with examples of fewer articles is left out: it can be neither learned nor judged."""

_FOLDS = 5
_STRENGTHS = (0.01, 0.1, 1.0, 10.0)
"""Inverse strengths of the L2 penalty (C of scikit-learn) that are tried, for vectors of unit variance."""
_LOCAL_STRENGTH = 1.0
"""That of the regressions of local concepts, which have too few examples each to choose one by."""
_MAX_ITERATIONS = 1000
_TEMPERATURES = (0.05, 20.0)
_DOUBT = 0.1
"""Chance that the precision at ``sure_from`` is less than what was asked for."""
_STEP = 5
"""Examples by which the search for ``sure_from`` goes on."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Share:
    """How many of some images are right, with the exact 95 % interval of the share (Clopper and Pearson, 1934)."""

    right: int
    of: int
    low: float
    high: float


@dataclass(frozen=True)
class Judged:
    """How good the classifier is on examples that it had not seen: each is judged by a fit on other articles.

    Attributes:
        examples: How many.
        articles: Of how many articles.
        accuracy: Share whose label is among what people said; one that shows none of the concepts is always wrong.
        balanced_accuracy: The mean of that share over the concepts.
        calibrated_on: images: by what people said of images by themselves; exemplars: by what they said of clusters, so
            that accuracy and confidence are those of agreeing with it, and nothing is sure.
        sure_from: As in :class:`ImageClassifier`.
        sure: Share of the examples that are sure.
        sure_precision: Share of these that are right; None where there are none.
        calibration: How often it is right at which confidence.
        concepts: For each concept its name, examples, precision and recall; precision is None where nothing got it.
        left_out: Concept -> articles, of those with examples of fewer than :data:`MIN_ARTICLES`.
        random: The same of images that were drawn at random, as the others are mostly hard ones: what may be expected
            of all; None where there are none.
        local: As concepts, of the local ones.
    """

    examples: int
    articles: int
    accuracy: float
    balanced_accuracy: float
    calibrated_on: str
    sure_from: float | None
    sure: float
    sure_precision: float | None
    calibration: Calibration
    concepts: list[dict[str, Any]]
    left_out: dict[str, int]
    random: Share | None = None
    local: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class _Labelled:
    """Examples as arrays; one that shows several concepts has a row for each, of a weight of its share.

    Attributes:
        rows: (m,) the example.
        classes: (m,) the concept.
        weights: (m,)
    """

    rows: Integers
    classes: Integers
    weights: npt.NDArray[np.float64]

    def of(self, chosen: npt.NDArray[np.bool_]) -> _Labelled:
        """Those of some of the examples, from an (n,) mask."""
        kept = chosen[self.rows]
        return _Labelled(self.rows[kept], self.classes[kept], self.weights[kept])


def fit_to_examples(
    examples: Sequence[Example], vectors: npt.NDArray[np.floating], *, precision: float, seed: int
) -> tuple[ImageClassifier, Judged]:
    """Fit on examples, choose the penalty by cross-validation over articles, calibrate, and find where it is sure.

    Args:
        examples: n images and what people said of them.
        vectors: (n, d) their embeddings.
        precision: What the labels that count as sure are to reach.
        seed: Seed of the folds.

    Raises:
        ValueError: Fewer than two concepts have examples of :data:`MIN_ARTICLES` articles.
    """
    articles = _articles(examples)
    names, left_out = _learnable([example.primary for example in examples], articles)
    if len(names) < 2:
        raise ValueError(f"examples of {len(names)} concepts in {MIN_ARTICLES} or more articles; expected two or more")
    vectors = vectors.astype(np.float32)
    said = _labelled(examples, names)
    scale = float(1 / max(vectors.std(), np.finfo(np.float32).eps))
    shown = [next((each for each in example.primary if each in names), "") for example in examples]
    folds = list(_folds(shown, articles, seed))
    strength, logits = min(
        ((each, _unseen(vectors * scale, said, folds, len(names), each)) for each in _STRENGTHS),
        key=lambda tried: _loss(softmax(tried[1]), said),
    )
    weights, bias = _regression(vectors * scale, said, len(names), strength)
    temperature, judged = _calibrated(logits, examples, names, precision)
    trusted = _trusted(examples, precision)
    local = [
        found
        for name in _learnable([example.secondary for example in examples], articles)[0]
        if (found := _fit_local(name, vectors * scale, examples, articles, trusted=trusted, seed=seed))
    ]
    classifier = ImageClassifier(
        "classifier",
        tuple(names),
        weights * scale,
        bias,
        temperature,
        judged.sure_from,
        tuple(each.judged["concept"] for each in local),
        np.stack([each.weights for each in local]) * scale if local else None,
        np.array([each.bias for each in local], np.float32) if local else None,
    )
    return classifier, replace(judged, left_out=left_out, local=[each.judged for each in local])


def calibrate(
    classifier: ImageClassifier, examples: Sequence[Example], vectors: npt.NDArray[np.floating], *, precision: float
) -> tuple[ImageClassifier, Judged | None]:
    """A classifier that was not fitted on the examples, its temperature and ``sure_from`` by them.

    Args:
        classifier: Of temperature 1.
        examples: n images and what people said of them; those of no concept of the classifier's count for nothing.
        vectors: (n, d) their embeddings.
        precision: What the labels that count as sure are to reach.

    Returns:
        The classifier as it is, and None, where there are fewer than :func:`least_examples`.
    """
    kept = [n for n, example in enumerate(examples) if set(example.primary) & set(classifier.names)]
    if len(kept) < least_examples(precision):
        return classifier, None
    logits = vectors[kept].astype(np.float32) @ classifier.weights.T + classifier.bias
    temperature, judged = _calibrated(logits, [examples[n] for n in kept], classifier.names, precision)
    return replace(classifier, temperature=temperature, sure_from=judged.sure_from), judged


def _calibrated(
    logits: Floats, examples: Sequence[Example], names: Sequence[str], precision: float
) -> tuple[float, Judged]:
    """The temperature, and how good the labels of logits (n, c) are at it.

    By images of which people spoke alone, where there are enough: what was said of a cluster need not hold for each of
    its exemplars, so by these alone nothing is sure.
    """
    trusted = _trusted(examples, precision)
    own = len(trusted) >= least_examples(precision) and all(examples[n].alone for n in trusted)
    logits, examples = logits[trusted], [examples[n] for n in trusted]
    temperature = fit_temperature(logits, _labelled(examples, names))
    judged = _judge(softmax(logits / temperature), examples, names, precision if own else None)
    return temperature, replace(judged, calibrated_on="images" if own else "exemplars")


def _trusted(examples: Sequence[Example], precision: float) -> Integers:
    """Numbers of the examples that say how good labels are: images of which people spoke alone, or all if too few."""
    alone = np.array([n for n, example in enumerate(examples) if example.alone], np.int64)
    return alone if len(alone) >= least_examples(precision) else np.arange(len(examples))


def least_examples(precision: float) -> int:
    """How many examples, all of them right, show a precision with no more than the accepted doubt."""
    return int(np.ceil(np.log(_DOUBT) / np.log(precision)))


def fit_temperature(logits: Floats, said: _Labelled) -> float:
    """The temperature at which the logits (n, c) of examples say best what these are, by log-likelihood."""

    def loss(log_temperature: float) -> float:
        return _loss(softmax(logits / np.exp(log_temperature)), said)

    found = minimize_scalar(loss, bounds=tuple(np.log(_TEMPERATURES)), method="bounded")
    return float(np.exp(found.x))


def find_sure(confidence: Floats, right: npt.NDArray[np.bool_], precision: float) -> float | None:
    """The least confidence from which on labels are right often enough, or None if there is none.

    From the most confident examples down, steps of a few are taken in as long as a binomial test of those so far
    rejects that the precision is less than ``precision``: fixed-sequence testing, which bounds the chance of a wrong
    answer by that of a single test (Angelopoulos et al., Learn then Test, 2021, arXiv 2110.01052, section 2).

    Args:
        confidence: (n,) of examples that the classifier had not seen.
        right: (n,) whether their labels are.
        precision: What is asked for, below 1.
    """
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(right[order])
    found = None
    for taken in range(least_examples(precision), len(order) + 1, _STEP):
        if binom.sf(hits[taken - 1] - 1, taken, precision) > _DOUBT:
            break
        found = float(confidence[order[taken - 1]])
    return found


def _articles(examples: Sequence[Example]) -> Integers:
    """(n,) number of each example's article, whatever its version."""
    return np.unique([pmcid_of(example.figure_id) for example in examples], return_inverse=True)[1].astype(np.int64)


def _learnable(said: Sequence[Sequence[str]], articles: Integers) -> tuple[list[str], dict[str, int]]:
    """The concepts that examples of enough articles show, in alphabetical order; and the others with their articles."""
    seen: dict[str, set[int]] = defaultdict(set)
    for concepts, article in zip(said, articles.tolist(), strict=True):
        for concept in concepts:
            seen[concept].add(article)
    names = sorted(name for name, its in seen.items() if len(its) >= MIN_ARTICLES)
    return names, {name: len(its) for name, its in sorted(seen.items()) if name not in names}


def _labelled(examples: Sequence[Example], names: Sequence[str]) -> _Labelled:
    number = {name: n for n, name in enumerate(names)}
    shown = [[number[each] for each in example.primary if each in number] for example in examples]
    rows = [row for row, classes in enumerate(shown) for _ in classes]
    weights = [1 / len(classes) for classes in shown for _ in classes]
    return _Labelled(
        np.array(rows, np.int64), np.array([each for classes in shown for each in classes], np.int64), np.array(weights)
    )


def _folds(shown: Sequence[Hashable], articles: Integers, seed: int) -> Iterator[npt.NDArray[np.bool_]]:
    """Masks (n,) of the examples that each fold judges; an article is in one fold, and what is shown in most."""
    most = max(Counter(shown).values())  # scikit-learn takes no more folds than the most frequent concept has figures
    folds = min(_FOLDS, len(set(articles.tolist())), most)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # A concept of fewer articles than folds is absent from some of them, which does no harm.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for _, judged in splitter.split(np.zeros((len(shown), 1)), shown, articles):
            mask = np.zeros(len(shown), np.bool_)
            mask[judged] = True
            yield mask


def _unseen(
    vectors: Floats, said: _Labelled, folds: Sequence[npt.NDArray[np.bool_]], n_classes: int, strength: float
) -> Floats:
    """(n, c) logits of each example, by a fit on those of other folds."""
    logits = np.empty((len(vectors), n_classes), np.float32)
    for judged in folds:
        weights, bias = _regression(vectors, said.of(~judged), n_classes, strength)
        logits[judged] = vectors[judged] @ weights.T + bias
    return logits


_NEVER = -30.0
"""Logit of a concept that no example of a fit shows."""


def _regression(vectors: Floats, said: _Labelled, n_classes: int, strength: float) -> tuple[Floats, Floats]:
    """Weights (c, d) and bias (c,) of a multinomial logistic regression."""
    weights = np.zeros((n_classes, vectors.shape[1]), np.float32)
    bias = np.full(n_classes, _NEVER, np.float32)
    present = np.unique(said.classes)
    if len(present) == 1:
        bias[present] = 0
        return weights, bias
    fitted = LogisticRegression(C=strength, max_iter=_MAX_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a little short of the optimum is as good a classifier
        fitted.fit(vectors[said.rows], said.classes, sample_weight=said.weights)
    if len(present) == 2:  # scikit-learn gives the logit of the second alone
        weights[present], bias[present] = np.stack([-fitted.coef_[0], fitted.coef_[0]]) / 2, 0
        bias[present] += np.array([-1, 1]) * fitted.intercept_[0] / 2
    else:
        weights[present], bias[present] = fitted.coef_, fitted.intercept_
    return weights, bias


@dataclass(frozen=True)
class _Local:
    """A local concept: weights (d,) and bias of the logit that an image shows it, and how good that is."""

    weights: Floats
    bias: float
    judged: dict[str, Any]


def _fit_local(
    name: str, vectors: Floats, examples: Sequence[Example], articles: Integers, *, trusted: Integers, seed: int
) -> _Local | None:
    """A logistic regression for a local concept, calibrated by Platt's scaling on examples that it had not seen.

    Args:
        name: The concept.
        vectors: (n, d) of unit variance.
        examples: The n examples.
        articles: (n,) their articles.
        trusted: Those that it is calibrated by, where the concept can be judged by them; otherwise all.
        seed: Seed of the folds.

    Returns:
        None where too few articles show it, or do not, to learn and judge it; or where what was learnt of other
        articles says nothing of an example.
    """
    shown = np.array([name in example.secondary for example in examples])
    if not _both_shown(shown, articles):
        return None
    everything = np.arange(len(examples))
    said = _Labelled(everything, shown.astype(np.int64), np.ones(len(examples)))
    unseen = _unseen(vectors, said, list(_folds(shown.tolist(), articles, seed)), 2, _LOCAL_STRENGTH)
    by = trusted if _both_shown(shown[trusted], articles[trusted]) else everything
    slope, shift = platt(unseen[by, 1] - unseen[by, 0], shown[by])
    if slope <= 0:
        return None
    weights, bias = _regression(vectors, said, 2, _LOCAL_STRENGTH)
    found = slope * (unseen[by, 1] - unseen[by, 0]) + shift >= 0
    judged = _found(name, shown[by], found)
    return _Local(slope * (weights[1] - weights[0]), slope * float(bias[1] - bias[0]) + shift, judged)


def _both_shown(shown: npt.NDArray[np.bool_], articles: Integers) -> bool:
    """Whether enough articles have examples that show a concept, and enough have some that do not."""
    return all(len(np.unique(articles[each])) >= MIN_ARTICLES for each in (shown, ~shown))


def platt(logits: npt.NDArray[np.floating], shown: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and shift that make logits (n,) those of probabilities (Platt, 1999, Probabilistic Outputs for SVMs).

    Targets are drawn in as there: of few examples that show a concept no certainty follows.
    """
    target = np.where(shown, (shown.sum() + 1) / (shown.sum() + 2), 1 / ((~shown).sum() + 2))
    twice = np.concatenate([logits, logits])[:, None].astype(np.float64)
    fitted = LogisticRegression(C=np.inf, max_iter=_MAX_ITERATIONS)
    fitted.fit(twice, np.repeat([1, 0], len(logits)), sample_weight=np.concatenate([target, 1 - target]))
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def _loss(probabilities: Floats, said: _Labelled) -> float:
    """Mean negative log-likelihood of what was said."""
    told = np.log(np.maximum(probabilities[said.rows, said.classes], np.finfo(np.float32).tiny))
    return float(-(told * said.weights).sum() / max(said.weights.sum(), 1))


def _judge(probabilities: Floats, examples: Sequence[Example], names: Sequence[str], precision: float | None) -> Judged:
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    right = np.array([names[n] in example.primary for n, example in zip(predicted.tolist(), examples, strict=True)])
    sure_from = None if precision is None else find_sure(confidence, right, precision)
    sure = np.zeros(len(right), np.bool_) if sure_from is None else confidence >= sure_from
    concepts = [
        _found(name, np.array([name in example.primary for example in examples]), predicted == n)
        for n, name in enumerate(names)
    ]
    random = np.array([example.random for example in examples])
    recalls = [each["recall"] for each in concepts if each["recall"] is not None]
    return Judged(
        examples=len(examples),
        articles=len(set(_articles(examples).tolist())),
        accuracy=round(float(right.mean()), 4),
        balanced_accuracy=round(float(np.mean(recalls or [0.0])), 4),
        calibrated_on="",
        sure_from=sure_from,
        sure=round(float(sure.mean()), 4),
        sure_precision=round(float(right[sure].mean()), 4) if sure.any() else None,
        calibration=calibration(confidence, right),
        concepts=concepts,
        left_out={},
        random=share(int(right[random].sum()), int(random.sum())) if random.any() else None,
    )


def _found(name: str, there: npt.NDArray[np.bool_], found: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """How well a concept is found: of examples where it is (n,), and where it was said to be (n,)."""
    return {
        "concept": name,
        "examples": int(there.sum()),
        "precision": round(float(there[found].mean()), 4) if found.any() else None,
        "recall": round(float(found[there].mean()), 4) if there.any() else None,
    }


def share(right: int, of: int) -> Share:
    """A share and its interval."""
    interval = binomtest(right, of).proportion_ci(0.95)
    return Share(right, of, round(float(interval.low), 4), round(float(interval.high), 4))
