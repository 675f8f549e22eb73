"""How good the clusters are, and how far annotators agree on what they show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import Any

from biomedica_ray.annotate.vectors import Kind
from biomedica_ray.files import VOTES
from biomedica_ray.labelling.classifier_file import read_made
from biomedica_ray.report.charts import LineChart, line_chart
from biomedica_ray.store import Store


@dataclass(frozen=True)
class Clustering:
    """What annotate measured of its clusters.

    Attributes:
        measures: Pairs of a measure's name and value.
        sizes: Figures of each cluster, from the largest.
        variance: Share of the variance that the first dimensions keep together.
        elbow: Inertia by number of clusters, where others have been tried.
        silhouettes: Silhouette by number of clusters, where it is defined for more than one.
    """

    measures: tuple[tuple[str, float], ...]
    sizes: LineChart
    variance: LineChart
    elbow: LineChart | None
    silhouettes: LineChart | None


@dataclass(frozen=True)
class Votes:
    """What annotators said.

    Attributes:
        annotators: How many.
        answers: Answers they gave.
        states: State (decided, disputed, open) -> clusters.
        proposed: Clusters that have a proposal and decided concepts.
        against_proposal: Of those, the ones whose concepts do not have the proposed one among them.
        agreement: Agreement on each question, as :class:`~biomedica_ray.labelling.agreement.Agreement` has it.
    """

    annotators: int
    answers: int
    states: Mapping[str, int]
    proposed: int
    against_proposal: int
    agreement: tuple[dict[str, Any], ...]


_MEASURES = {
    "explained_variance": "variance kept",
    "silhouette": "silhouette",
    "stability": "stability over seeds (adjusted Rand index)",
    "purity": "purity",
    "mutual_information": "normalised mutual information",
}
"""Key of the run's results -> name."""


def read_clustering(annotated: Mapping[str, Any], sizes: Mapping[int, int]) -> Clustering | None:
    """What the last run of annotate measured; None where there is none.

    Args:
        annotated: The run's record, or nothing.
        sizes: cluster_id -> figures in it.
    """
    results = annotated.get("results", {})
    if "explained_variance_ratio" not in results or not sizes:
        return None
    shares = list(accumulate(results["explained_variance_ratio"]))
    scan = results["scan"]
    known = [(each["clusters"], each["silhouette"]) for each in scan if each["silhouette"] is not None]
    return Clustering(
        tuple((name, results[key]) for key, name in _MEASURES.items() if results.get(key) is not None),
        line_chart(range(1, len(sizes) + 1), sorted(sizes.values(), reverse=True)),
        line_chart(range(1, len(shares) + 1), shares),
        line_chart(*_columns([(each["clusters"], each["inertia"]) for each in scan])) if len(scan) > 1 else None,
        line_chart(*_columns(known)) if len(known) > 1 else None,
    )


def _columns(rows: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in rows], [y for _, y in rows]


def read_votes(store: Store) -> Votes | None:
    """What the votes stage found; None where it has not run."""
    try:
        document = store.read_json(VOTES)
    except FileNotFoundError:
        return None
    return Votes(
        len({answer["annotator"] for answer in document["answers"]}),
        len(document["answers"]),
        Counter(each["state"] for each in document["clusters"]),
        sum(bool(each["proposed"] and each["said"]["primary"]) for each in document["clusters"]),
        sum(each["against_proposal"] for each in document["clusters"]),
        tuple(document["agreement"]),
    )


def read_image_labels(store: Store, classified: Mapping[str, Any], kind: Kind = "figures") -> dict[str, Any] | None:
    """How good a classifier of images is, as :class:`~biomedica_ray.labelling.classifier_file.Made` has it.

    Args:
        store: The store.
        classified: The last run of classify, or nothing; then there is none.
        kind: What it labels.
    """
    results = classified.get("results", {})
    there = "model" in results and (kind == "figures" or kind in results)
    made = read_made(store, results["model"], kind) if there else None
    if made is None:
        return None
    told: dict[str, Any] = {"random": None, "local": []}  # which an earlier version did not tell
    return {**asdict(made), "judged": made.judged and told | made.judged}
