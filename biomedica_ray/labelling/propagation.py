"""How labels reach figures: entries of a labels file find their clusters, figures have those of their cluster."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from biomedica_ray.labelling.labels_file import Entry, LabelsFile


@dataclass(frozen=True)
class ClusterLabel:
    """The labels of one cluster, and so of its figures."""

    panel_type: str | None = None
    panel_subtype: str | None = None
    primary: list[str] = field(default_factory=list)
    secondary: list[str] = field(default_factory=list)

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of the labels table."""
        return {
            "panel_type": self.panel_type,
            "panel_subtype": self.panel_subtype,
            "primary_label": self.primary,
            "secondary_label": self.secondary,
            "how": "propagated" if self.primary else "none",
        }


def resolve(labels: LabelsFile, clusters: Mapping[str, int]) -> dict[int, ClusterLabel]:
    """The labels of each cluster that has any.

    An entry with exemplars speaks of the cluster that holds most of them now (the lower id on a tie), and so survives
    reclustering. Where several entries land on the same cluster, the one with the most exemplars there wins; on a tie
    their concepts are joined, and panel fields on which they disagree are left out. An entry that names the cluster by
    its id takes precedence over all that name it by exemplars.

    Args:
        labels: The labels file.
        clusters: Cluster of each exemplar that exists.

    Raises:
        ValueError: None of an entry's exemplars exist.
    """
    votes: dict[int, list[tuple[float, Entry]]] = defaultdict(list)
    for number, entry in enumerate(labels.clusters, 1):
        if entry.cluster is not None:
            votes[entry.cluster].append((float("inf"), entry))
            continue
        held = Counter(clusters[figure] for figure in set(entry.exemplars) if figure in clusters)
        if not held:
            raise ValueError(f"entry {number}: none of its exemplars exist: {', '.join(entry.exemplars[:3])}")
        cluster = min(held, key=lambda cluster: (-held[cluster], cluster))
        votes[cluster].append((held[cluster], entry))
    return {cluster: _joined(_winners(votes[cluster])) for cluster in sorted(votes)}


def _winners(votes: Sequence[tuple[float, Entry]]) -> list[Entry]:
    most = max(weight for weight, _ in votes)
    return [entry for weight, entry in votes if weight == most]


def _joined(entries: Sequence[Entry]) -> ClusterLabel:
    return ClusterLabel(
        _agreed(entry.panel_type for entry in entries),
        _agreed(entry.panel_subtype for entry in entries),
        list(dict.fromkeys(label for entry in entries for label in entry.primary)),
        list(dict.fromkeys(label for entry in entries for label in entry.secondary)),
    )


def _agreed(values: Iterable[str | None]) -> str | None:
    """The one value of all that say anything."""
    different = {value for value in values if value is not None}
    return different.pop() if len(different) == 1 else None


def label_rows(
    figure_ids: Sequence[str],
    clusters: Sequence[int],
    distances: Sequence[float],
    confidences: Sequence[float],
    labels: Mapping[int, ClusterLabel],
    *,
    min_confidence: float,
) -> list[dict[str, Any]]:
    """Rows of the labels table: each figure has its cluster's labels; below ``min_confidence`` they are uncertain."""
    return [
        {
            "figure_id": figure_id,
            "cluster_id": cluster,
            "distance": distance,
            "confidence": confidence,
            "uncertain": confidence < min_confidence,
            **labels.get(cluster, ClusterLabel()).columns,
        }
        for figure_id, cluster, distance, confidence in zip(figure_ids, clusters, distances, confidences, strict=True)
    ]
