"""The propose stage: a CLIP model looks at each cluster and proposes concepts, for annotators to start from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from biomedica_ray.annotate.clustering import stored_clusterings
from biomedica_ray.annotate.members import Wanted
from biomedica_ray.cluster import on_a_worker
from biomedica_ray.evaluate.prompts import Prompts
from biomedica_ray.images import ImageError, decode
from biomedica_ray.labelling.concept_scores import concept_vectors, load_prompts, propose
from biomedica_ray.labelling.config import ProposeConfig
from biomedica_ray.labelling.label_table import labelled_members, labelled_units
from biomedica_ray.labelling.proposals_file import proposals_path
from biomedica_ray.labelling.taxonomy import load_taxonomy
from biomedica_ray.models.encoder_info import EncoderInfo, Pixels, Preprocessing
from biomedica_ray.models.weights import local_weights, weights_mark
from biomedica_ray.pages.pictures import by_unit, rows_of
from biomedica_ray.runs import Run
from biomedica_ray.store import Commit, Store, StoreError
from biomedica_ray.units import Flow, fingerprint


def run(config: ProposeConfig, record: Run) -> None:
    """Write ``clusters/<model>.proposals.json``, unless that has been done; model is that of the embeddings.

    Raises:
        ConfigError: The model, its weights, the taxonomy or the prompts are invalid.
        StoreError: There are no labels yet, or some units have the clusters of an earlier clustering.
    """
    taxonomy = load_taxonomy(record.store, config.taxonomy)
    prompts = load_prompts(record.store, config.prompts, taxonomy)
    labelled = labelled_units(record.store)
    work = partial(write_proposals, config, record.store, list(labelled.values()), prompts)
    found = on_a_worker(work, num_cpus=config.num_cpus, memory_gb=config.memory_gb)
    record.add({"clusters": Flow(found.asked, len(found.clusters), skipped=len(found.unseen))})
    record.results |= {"model": config.model, "proposals": len(found.clusters), "file": record.store.uri(found.path)}


@dataclass(frozen=True)
class Proposed:
    """What was proposed.

    Attributes:
        path: The file, relative to the store's root.
        asked: Clusters that there are.
        clusters: Cluster -> its best concepts and their scores, best first.
        unseen: Clusters none of whose nearest figures decodes.
    """

    path: str
    asked: int
    clusters: dict[int, list[dict[str, Any]]]
    unseen: list[int]


def write_proposals(config: ProposeConfig, store: Store, labelled: list[Commit], prompts: Prompts) -> Proposed:
    """Look at the nearest figures of each cluster and write what they resemble, unless that has been done.

    Runs as a task, as it reads distances of all figures and the images of some.

    Raises:
        ConfigError: The model or its weights are invalid.
        StoreError: Some units have the clusters of an earlier clustering, or those are no longer there.
    """
    members, clustering = labelled_members(store, labelled, Wanted(config.images))
    models = [each.model for each in stored_clusterings(store) if each.fingerprint == clustering]
    if not models:
        raise StoreError(f"{store.root}: the labels are of an earlier clustering; run `biomedica label` again")
    path = proposals_path(models[0])
    weights = weights_mark(config.weights, config.endpoint_url)
    asked = {
        "clustering": clustering,
        "model": config.model,
        "weights": config.weights,
        "images": config.images,
        "content": fingerprint(weights, prompts.model_dump()),
    }
    try:
        found = store.read_json(path)
    except FileNotFoundError:
        found = {}
    if config.again or weights is None or {key: found.get(key) for key in asked} != asked:
        clusters = _look(config, store, members, prompts)
        unseen = sorted(set(members["cluster_id"].to_pylist()) - clusters.keys())
        found = {**asked, "clusters": clusters, "unseen": unseen}
        store.write_json(path, found)
    return Proposed(path, len(members["cluster_id"].unique()), found["clusters"], found["unseen"])


def _look(config: ProposeConfig, store: Store, members: pa.Table, prompts: Prompts) -> dict[int, list[dict[str, Any]]]:
    """The proposals of each cluster."""
    # It takes seconds, and the driver needs none of it.
    from biomedica_ray.models.encoders import Encoder, embed_all, image_tower, open_clip_model  # noqa: PLC0415

    with local_weights(config.weights, config.endpoint_url) as weights:
        model, tokenize = open_clip_model(config.model.partition("/")[2], weights)
    texts, scale = concept_vectors(model, tokenize, prompts)
    tower, preprocessing = image_tower(model)
    encoder = Encoder(tower, EncoderInfo(config.model, "", texts.shape[1], preprocessing))
    pixels, clusters = _pictures(store, members, preprocessing)
    if not pixels:
        return {}
    vectors, _ = embed_all(encoder, np.stack(pixels), config.batch_size)
    return propose(vectors, np.array(clusters), texts, list(prompts.concepts), scale=scale)


def _pictures(store: Store, members: pa.Table, preprocessing: Preprocessing) -> tuple[list[Pixels], list[int]]:
    """Preprocessed pictures of the members that can be shown, and the cluster of each."""
    cluster_of = dict(zip(members["figure_id"].to_pylist(), members["cluster_id"].to_pylist(), strict=True))
    transform = preprocessing.transform()
    pixels: list[Pixels] = []
    clusters: list[int] = []
    for unit, figure_ids in by_unit(store, cluster_of).items():
        try:
            commit = store.commit("extract", unit)
        except FileNotFoundError:
            continue  # dropped since, and its figures with it
        for figure in rows_of(store, commit, figure_ids, ["image"]):
            try:
                pixels.append(transform(decode(figure["image"])))
            except ImageError:
                continue  # changed since it was embedded
            clusters.append(cluster_of[figure["figure_id"]])
    return pixels, clusters
