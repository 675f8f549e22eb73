"""How far annotators agree beyond chance: Fleiss' kappa and Krippendorff's alpha, by field and by concept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import krippendorff
import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
"""(clusters, categories) how many annotators chose each category for each cluster."""


@dataclass(frozen=True)
class Agreement:
    """Agreement on one question.

    Attributes:
        field: panel_type, panel_subtype, primary or secondary.
        concept: The question is whether the cluster shows this; None for the field as a whole, where several concepts
            of a cluster count as one answer, which agrees only with the same ones.
        clusters: Clusters with at least two votes, and so with any agreement to speak of.
        votes: Votes on those.
        observed: Share of pairs of votes on the same cluster that agree, each cluster weighing the same; None where
            there are no pairs.
        alpha: Krippendorff's, nominal; None where it is not defined: no pairs, or only one answer was ever given.
        kappa: Fleiss', over the clusters with the commonest number of votes, as it wants the same number of each; None
            where it is not defined.
        kappa_clusters: How many clusters these are.
    """

    field: str
    concept: str | None
    clusters: int
    votes: int
    observed: float | None
    alpha: float | None
    kappa: float | None
    kappa_clusters: int


def agreement(field: str, concept: str | None, votes: Sequence[Sequence[str]]) -> Agreement:
    """Agreement on one question from the answers that each cluster got."""
    several = [answers for answers in votes if len(answers) > 1]
    counts = count_answers(several)
    most = Counter(len(answers) for answers in several).most_common(1)
    comparable = count_answers([answers for answers in several if len(answers) == most[0][0]])
    return Agreement(
        field,
        concept,
        len(several),
        int(counts.sum()),
        observed_agreement(counts),
        krippendorff_alpha(counts),
        fleiss_kappa(comparable),
        len(comparable),
    )


def concept_agreements(
    field: str, concepts: Iterable[str], votes: Sequence[Sequence[frozenset[str]]]
) -> list[Agreement]:
    """Agreement on whether a cluster shows each of some concepts; those that nobody chose are left out."""
    used = {concept for answers in votes for answer in answers for concept in answer}
    return [
        agreement(field, concept, [[str(concept in answer) for answer in answers] for answers in votes])
        for concept in concepts
        if concept in used
    ]


def count_answers(votes: Sequence[Sequence[str]]) -> Counts:
    """Counts of each answer (in alphabetical order) that each cluster got."""
    column: Mapping[str, int] = {
        answer: index for index, answer in enumerate(sorted({each for answers in votes for each in answers}))
    }
    counts: Counts = np.zeros((len(votes), len(column)), np.int64)
    for row, answers in enumerate(votes):
        for answer in answers:
            counts[row, column[answer]] += 1
    return counts


def observed_agreement(counts: Counts) -> float | None:
    """Mean share of agreeing pairs; every cluster has at least two votes."""
    if not len(counts):
        return None
    votes = counts.sum(axis=1)
    return float(((counts * (counts - 1)).sum(axis=1) / (votes * (votes - 1))).mean())


def fleiss_kappa(counts: Counts) -> float | None:
    """Fleiss' kappa (Fleiss 1971, Psychol Bull 76:378); None where all votes were for the same category.

    Args:
        counts: Each row sums to the same number of votes, at least two.
    """
    observed = observed_agreement(counts)
    if observed is None:
        return None
    expected = float(np.square(counts.sum(axis=0) / counts.sum()).sum())
    return None if expected == 1 else (observed - expected) / (1 - expected)


def krippendorff_alpha(counts: Counts) -> float | None:
    """Krippendorff's alpha for nominal data, with any number of votes a cluster; None where it is not defined.

    Krippendorff 2019, Content Analysis, 4th ed., chapter 12, as the package ``krippendorff`` computes it.
    """
    if counts.shape[1] < 2:
        return None  # no votes, or one category: nothing could have been disagreed on
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))
