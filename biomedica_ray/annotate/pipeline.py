"""Annotation: embed every figure, fit clusters on a sample of the embeddings, then assign and label unit by unit."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from biomedica_ray.annotate import embed, fitting, quality
from biomedica_ray.annotate.cluster_tasks import assign_figures
from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.annotate.truth import load_truth
from biomedica_ray.annotate.vectors import model_slug
from biomedica_ray.cluster import on_a_worker, run_units
from biomedica_ray.config import ConfigError
from biomedica_ray.labelling import labels
from biomedica_ray.labelling.concept_scores import load_prompts
from biomedica_ray.labelling.label_figures import LabelWorker
from biomedica_ray.labelling.labels import ClusterLabel, LabelsFile
from biomedica_ray.labelling.proposals import encode_prompts, write_proposals
from biomedica_ray.runs import Run
from biomedica_ray.store import Store
from biomedica_ray.units import fingerprint

log = logging.getLogger(__name__)

VERSION = 2
"""Raise it when the same clusters would give other labels."""

_TOLD = (
    *("clusters", "fitted", "sizes", "explained_variance", "explained_variance_ratio"),
    *("inertia", "silhouette", "stability"),
)
"""What the run's record tells of the clusters."""

_LABEL_GB = 1.0
"""Memory of a worker that assigns and labels one unit."""


def run(config: AnnotateConfig, run: Run) -> None:
    """Embed what has not been, fit clusters if the embeddings or settings have changed, and label every figure.

    Commits embeddings unit by unit as stage ``embed/<model>`` and labels as stage ``label``; writes the cluster model
    to ``clusters/<model>/<fingerprint>.npz`` and, last, what it is and how good to ``clusters/<model>.json``.

    Raises:
        ConfigError: The model, the weights, the labels or the truth are of no use, or there are fewer embeddings than
            clusters.
        StoreError: Nothing has been extracted yet.
        UnitsFailedError: Units failed; all others are done.
    """
    taxonomy = labels.load_taxonomy(config.taxonomy)
    prompts = load_prompts(config.prompts, taxonomy) if config.proposals else None
    said = labels.load_labels(config.labels, taxonomy) if config.labels else None
    truth = load_truth(config.truth) if config.truth else {}
    extracted = run.store.extracted()
    on_encoder = partial(on_a_worker, num_cpus=config.num_cpus, memory_gb=config.memory_gb)
    concepts = on_encoder(partial(encode_prompts, config, prompts)) if prompts else None
    info = embed.describe(config)
    slug = model_slug(config.model)
    stage = f"embed/{slug}"
    marks = [embed.VERSION, config.panels, info.to_json()]
    units = {unit: fingerprint(marks, commit.content) for unit, commit in extracted.items()}
    embed.embed_units(config, run, stage, units, info)

    embedded = run.store.commits(stage)
    scanned = fitting.scan(config, run.store, info, embedded)
    clustering = fitting.fit(config, run.store, info, embedded)
    mark = clustering["fingerprint"]
    labelled = _labels_of_clusters(config, run, said, clustering, stage) if said else {}
    plain = {cluster_id: asdict(label) for cluster_id, label in labelled.items()}
    run_units(
        run,
        "label",
        {
            unit: fingerprint(VERSION, commit.content, mark, plain, config.min_confidence)
            for unit, commit in embedded.items()
        },
        partial(LabelWorker, run.store, run.run_id, stage, clustering, labelled, min_confidence=config.min_confidence),
        memory_gb=_LABEL_GB,
        max_actors=config.max_actors,
    )
    _drop_other_clusterings(run.store, slug, clustering["file"])
    if prompts and concepts is not None:
        write = partial(write_proposals, config, run.store, mark, list(prompts.concepts), concepts)
        run.results["proposals"] = on_encoder(write)
    run.results |= {
        "model": config.model,
        "clustering": mark,
        **{name: clustering[name] for name in _TOLD},
        "scan": scanned,
        "clusters_labelled": len(labelled),
    }
    if truth:
        run.results |= _against_truth(run, truth, clustering, stage)


def _against_truth(run: Run, truth: Mapping[str, str], clustering: Mapping[str, Any], stage: str) -> dict[str, Any]:
    """How well the clusters of some figures tell what those show."""
    clusters = _assign(run, clustering, stage, truth)
    if not clusters:
        log.warning("truth: none of its %d figures exist", len(truth))
        return {"truth_figures": 0}
    known = list(clusters.values()), [truth[figure_id] for figure_id in clusters]
    return {
        "truth_figures": len(clusters),
        "purity": quality.purity(*known),
        "mutual_information": quality.mutual_information(*known),
    }


def _assign(run: Run, clustering: Mapping[str, Any], stage: str, figure_ids: Iterable[str]) -> dict[str, int]:
    """The clusters of those of the figures that exist."""
    work = partial(assign_figures, run.store, stage, clustering["file"], sorted(figure_ids))
    return on_a_worker(work, memory_gb=_LABEL_GB)


def _labels_of_clusters(
    config: AnnotateConfig, run: Run, said: LabelsFile, clustering: Mapping[str, Any], stage: str
) -> dict[int, ClusterLabel]:
    """The labels of each cluster that the labels file speaks of."""
    if said.clustering not in {None, clustering["fingerprint"]}:
        raise ConfigError(
            f"labels: {config.labels}: its cluster ids belong to clustering {said.clustering}, "
            f"this one is {clustering['fingerprint']}"
        )
    beyond = [entry.cluster for entry in said.clusters if entry.cluster and entry.cluster >= config.clusters]
    if beyond:
        raise ConfigError(f"labels: {config.labels}: cluster {beyond[0]}: there are {config.clusters}, from 0")
    clusters = _assign(run, clustering, stage, said.exemplars)
    unknown = sorted(said.exemplars - clusters.keys())
    run.results["exemplars"], run.results["exemplars_unknown"] = len(said.exemplars), len(unknown)
    if unknown:
        log.warning(
            "labels: %d of %d exemplars do not exist: %s", len(unknown), len(said.exemplars), ", ".join(unknown[:5])
        )
    try:
        return labels.resolve(said, clusters)
    except ValueError as error:
        raise ConfigError(f"labels: {config.labels}: {error}") from None


def _drop_other_clusterings(store: Store, slug: str, file: str) -> None:
    for name in store.list(f"clusters/{slug}"):
        if name.endswith(".npz") and f"clusters/{slug}/{name}" != file:
            store.delete(f"clusters/{slug}/{name}")
