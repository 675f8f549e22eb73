"""Figures get the labels of their clusters, unit by unit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from biomedica_ray import schema
from biomedica_ray.annotate.cluster_tasks import load_clusters
from biomedica_ray.annotate.vectors import read_vectors
from biomedica_ray.labelling import labels
from biomedica_ray.labelling.labels import ClusterLabel
from biomedica_ray.store import Store
from biomedica_ray.units import Counts, Flow


class LabelWorker:
    """Assigns the figures of units to clusters and gives them their labels."""

    def __init__(
        self,
        store: Store,
        run_id: str,
        stage: str,
        clustering: Mapping[str, Any],
        labelled: Mapping[int, ClusterLabel],
        *,
        min_confidence: float,
    ) -> None:
        self._store, self._run_id, self._stage = store, run_id, stage
        self._labelled, self._min_confidence = labelled, min_confidence
        self._schema = schema.LABELS.with_metadata({"clustering": clustering["fingerprint"]})
        self._model = load_clusters(store, clustering["file"])

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit the labels of one unit; returns its counts."""
        ids, vectors = read_vectors(self._store, self._store.commit(self._stage, unit))
        clusters, distances = self._model.assign(vectors)
        confidences = self._model.confidence(clusters, distances)
        rows = labels.label_rows(
            ids,
            clusters.tolist(),
            distances.tolist(),
            confidences.tolist(),
            self._labelled,
            min_confidence=self._min_confidence,
        )
        counts = {"labels": Flow(len(ids), len(rows))}
        with self._store.write_unit("label", unit, mark, self._run_id) as writer:
            writer.table("labels", self._schema).write(rows)
            writer.commit(counts)
        return counts
