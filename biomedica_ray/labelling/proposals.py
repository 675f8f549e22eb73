"""Asking a CLIP model what it proposes for each cluster, for annotators to start from."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
import open_clip
import torch

from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.annotate.embed import embed_all
from biomedica_ray.evaluate.zero_shot import Vectors, class_vectors
from biomedica_ray.images import ImageError, decode
from biomedica_ray.labelling.concept_scores import Prompts, propose
from biomedica_ray.labelling.proposals_file import proposals_path
from biomedica_ray.models.encoders import Encoder, EncoderInfo, Pixels, image_tower, open_clip_model
from biomedica_ray.models.weights import local_weights
from biomedica_ray.store import Store
from biomedica_ray.units import fingerprint

Nearest = dict[int, list[tuple[float, str, int]]]
"""Cluster -> (distance, figure_id, unit) of the figures nearest to its centre."""


@torch.inference_mode()
def encode_prompts(config: AnnotateConfig, prompts: Prompts) -> Vectors:
    """Vectors (c, dim) of the concepts, in their order in the prompts; runs as a task, before any other work.

    Raises:
        ConfigError: The model or its weights are of no use.
    """
    model, tokenizer_name = _load(config)
    tokenize = open_clip.get_tokenizer(tokenizer_name)
    tokens = (tokenize(prompts.sentences(name)) for name in prompts.concepts)
    return class_vectors([model.encode_text(each).float().numpy() for each in tokens])


def write_proposals(config: AnnotateConfig, store: Store, clustering: str, names: list[str], concepts: Vectors) -> int:
    """Look at the nearest figures of each cluster and write what they resemble, unless that has been done.

    Runs as a task, as it reads distances of all figures and the images of some.

    Args:
        config: Model, weights and number of images.
        store: The store, with labels of all units.
        clustering: Fingerprint of the clustering.
        names: The concepts.
        concepts: Their vectors, of :func:`encode_prompts`.

    Returns:
        How many clusters have proposals.
    """
    path = proposals_path(config.model)
    asked = {
        "clustering": clustering,
        **{"model": config.proposals, "weights": config.proposals_weights, "images": config.proposals_images},
        "concepts": fingerprint(names, concepts.tolist()),
    }
    try:
        found = store.read_json(path)
    except FileNotFoundError:
        found = {}
    if {key: found.get(key) for key in asked} != asked:
        found = {**asked, "clusters": _look(config, store, names, concepts)}
        store.write_json(path, found)
    return len(found["clusters"])


def _look(config: AnnotateConfig, store: Store, names: list[str], concepts: Vectors) -> dict[int, list[dict[str, Any]]]:
    """The proposals of each cluster."""
    model, _ = _load(config)
    tower, preprocessing = image_tower(model)
    encoder = Encoder(tower, EncoderInfo(str(config.proposals), "", concepts.shape[1], preprocessing))
    transform = preprocessing.transform()
    pixels: list[Pixels] = []
    clusters: list[int] = []
    for unit, wanted in _by_unit(nearest_figures(store, config.proposals_images)).items():
        commit = store.commit("extract", unit)
        ids = store.read(commit, "figures", ["figure_id"])["figure_id"].to_pylist()
        rows = [row for row, figure_id in enumerate(ids) if figure_id in wanted]
        for figure in store.rows(commit, "figures", rows, ["figure_id", "image"]):
            try:
                pixels.append(transform(decode(figure["image"])))
            except ImageError:
                continue  # changed since it was embedded
            clusters.append(wanted[figure["figure_id"]])
    if not pixels:
        return {}
    vectors, _ = embed_all(encoder, np.stack(pixels), config.batch_size)
    return propose(vectors, np.array(clusters), concepts, names, scale=float(model.logit_scale.detach().exp()))


def _load(config: AnnotateConfig) -> tuple[Any, str]:
    with local_weights(config.proposals_weights, config.endpoint_url) as weights:
        return open_clip_model(str(config.proposals).partition("/")[2], weights)


def nearest_figures(store: Store, images: int) -> Nearest:
    """The ``images`` figures nearest to the centre of each cluster, equals by figure_id."""
    found: Nearest = defaultdict(list)
    for unit, commit in store.commits("label").items():
        for row in store.read(commit, "labels", ["figure_id", "cluster_id", "distance"]).to_pylist():
            found[row["cluster_id"]].append((row["distance"], row["figure_id"], unit))
        found = defaultdict(list, {cluster: heapq.nsmallest(images, members) for cluster, members in found.items()})
    return found


def _by_unit(nearest: Nearest) -> Mapping[int, dict[str, int]]:
    """Unit -> figure_id -> cluster."""
    units: dict[int, dict[str, int]] = defaultdict(dict)
    for cluster, members in nearest.items():
        for _, figure_id, unit in members:
            units[unit][figure_id] = cluster
    return units
