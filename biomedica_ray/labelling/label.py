"""The label stage: every figure gets its cluster, and the labels that annotators gave the cluster.

Needs no encoder: what annotate has embedded and fitted is enough.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial

from biomedica_ray import files, schema
from biomedica_ray.annotate.cluster_tasks import assign_figures, load_clusters
from biomedica_ray.annotate.clustering import Clustering, find_clustering
from biomedica_ray.annotate.vectors import read_vectors
from biomedica_ray.cluster import on_a_worker, run_units
from biomedica_ray.config import ConfigError
from biomedica_ray.labelling.config import LabelConfig
from biomedica_ray.labelling.labels_file import LabelsFile, load_labels
from biomedica_ray.labelling.propagation import ClusterLabel, label_rows, resolve
from biomedica_ray.labelling.taxonomy import load_taxonomy
from biomedica_ray.runs import Run
from biomedica_ray.store import Store
from biomedica_ray.units import AsJson, Counts, Flow, fingerprint

log = logging.getLogger(__name__)

VERSION = 2
"""Raise it when the same clusters would give other labels."""

_WORKER_GB = 1.0
"""Memory of a worker that labels one unit."""


def run(config: LabelConfig, record: Run) -> None:
    """Commit the labels table unit by unit, as stage ``label``.

    Raises:
        ConfigError: The taxonomy or the labels are invalid, or it is not clear which model's clusters are meant.
        StoreError: There are no clusters yet.
        UnitsFailedError: Units failed; all others are done.
    """
    record.store.generations()
    taxonomy = load_taxonomy(record.store, config.taxonomy)
    said = load_labels(record.store, config.labels, taxonomy)
    clustering = find_clustering(record.store, config.model)
    place = config.labels or record.store.uri(files.LABELS)
    labelled = _labels_of_clusters(said, place, clustering, record) if said else {}
    plain = AsJson.of({cluster: asdict(label) for cluster, label in labelled.items()})
    embedded = record.store.commits(clustering.stage)
    units = {
        unit: fingerprint(VERSION, commit.content, clustering.fingerprint, plain, config.min_confidence)
        for unit, commit in embedded.items()
    }
    worker = partial(LabelWorker, record.store, record.run_id, clustering, labelled, config.min_confidence)
    run_units(
        record,
        "label",
        units,
        worker,
        memory_gb=_WORKER_GB,
        max_actors=config.max_actors,
        inputs={clustering.stage: embedded},
    )
    record.results |= {
        "model": clustering.model,
        "clustering": clustering.fingerprint,
        "clusters": clustering.clusters,
        "clusters_labelled": len(labelled),
    }


def _labels_of_clusters(said: LabelsFile, place: str, clustering: Clustering, record: Run) -> dict[int, ClusterLabel]:
    """The labels of each cluster that the labels file at ``place`` speaks of."""
    if said.clustering not in {None, clustering.fingerprint}:
        raise ConfigError(
            f"labels: {place}: its cluster ids belong to clustering {said.clustering}, "
            f"this one is {clustering.fingerprint}"
        )
    beyond = [entry.cluster for entry in said.clusters if entry.cluster and entry.cluster >= clustering.clusters]
    if beyond:
        raise ConfigError(f"labels: {place}: cluster {beyond[0]}: there are {clustering.clusters}, from 0")
    assign = partial(assign_figures, record.store, clustering, sorted(said.exemplars))
    clusters = on_a_worker(assign, memory_gb=_WORKER_GB)
    unknown = sorted(said.exemplars - clusters.keys())
    record.results |= {"exemplars": len(said.exemplars), "exemplars_unknown": len(unknown)}
    if unknown:
        some = ", ".join(unknown[:5])
        log.warning("labels: %d of %d exemplars do not exist: %s", len(unknown), len(said.exemplars), some)
    try:
        return resolve(said, clusters)
    except ValueError as error:
        raise ConfigError(f"labels: {place}: {error}") from None


class LabelWorker:
    """Assigns the figures of units to clusters and gives them their labels."""

    def __init__(
        self,
        store: Store,
        run_id: str,
        clustering: Clustering,
        labelled: Mapping[int, ClusterLabel],
        min_confidence: float,
    ) -> None:
        self._store, self._run_id, self._stage = store, run_id, clustering.stage
        self._labelled, self._min_confidence = labelled, min_confidence
        self._schema = schema.LABELS.with_metadata({"clustering": clustering.fingerprint})
        self._model = load_clusters(store, clustering.file)

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit the labels of one unit; returns its counts."""
        embedded = self._store.commit(self._stage, unit)
        ids, vectors = read_vectors(self._store, embedded)
        clusters, distances = self._model.assign(vectors)
        confidences = self._model.confidence(clusters, distances)
        rows = label_rows(
            ids,
            clusters.tolist(),
            distances.tolist(),
            confidences.tolist(),
            self._labelled,
            min_confidence=self._min_confidence,
        )
        with self._store.write_unit("label", unit, mark, self._run_id) as writer:
            labels = writer.table("labels", self._schema)
            labels.write(rows)
            counts = {"labels": Flow(embedded.counts["figures"].rows_out, labels.rows)}
            writer.commit(counts)
        return counts
