"""Which concepts images resemble by a CLIP model's text tower: proposals for annotators, and zero-shot labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from biomedica_ray import files
from biomedica_ray.evaluate.prompts import PROMPTS, Prompts
from biomedica_ray.evaluate.zero_shot import Vectors, class_vectors, normalised
from biomedica_ray.files import GivenFile, given_file, parse_yaml
from biomedica_ray.labelling.taxonomy import Taxonomy
from biomedica_ray.store import Store


def load_prompts(store: Store, uri: str | None, taxonomy: Taxonomy) -> Prompts:
    """The prompts that a config names, else the store's own, else those for the paper's taxonomy.

    Raises:
        ConfigError: They cannot be read, are invalid, or name a concept that the taxonomy does not have.
    """
    file = given_file(store, "prompts", uri, files.PROMPTS) or GivenFile("prompts", str(PROMPTS), PROMPTS.read_bytes())
    prompts = parse_yaml(Prompts, file)
    if unknown := prompts.concepts.keys() - taxonomy.concepts.keys():
        raise file.fault(f"{min(unknown)}: not a global concept of taxonomy {taxonomy.version}")
    if empty := [concept for concept, names in prompts.concepts.items() if not names]:
        raise file.fault(f"{empty[0]}: expected at least one name")
    return prompts


def concept_vectors(model: Any, tokenize: Callable[[list[str]], Any], prompts: Prompts) -> tuple[Vectors, float]:
    """Vectors (c, d) of the prompts' concepts, and what cosines with them are multiplied by to be logits.

    Args:
        model: A CLIP model of open_clip.
        tokenize: Its tokenizer.
        prompts: Of c concepts.
    """
    import torch  # noqa: PLC0415 - takes seconds, and the driver needs none of them

    with torch.inference_mode():
        texts = [model.encode_text(tokenize(prompts.sentences(name))).float().numpy() for name in prompts.concepts]
        return class_vectors(texts), float(model.logit_scale.exp())


def propose(
    images: npt.NDArray[np.floating],
    clusters: npt.NDArray[np.integer],
    concepts: Vectors,
    names: list[str],
    *,
    scale: float,
    top: int = 3,
) -> dict[int, list[dict[str, Any]]]:
    """The concepts that each cluster's images resemble most.

    A score is the mean over the images of softmax(scale * cosine) over the concepts, as CLIP classifies
    (Radford et al., 2021, figure 3); the scores of a cluster over all concepts sum to 1.

    Args:
        images: Embeddings (n, d) by the image tower.
        clusters: Cluster of each image (n,).
        concepts: Vectors (c, d) of :func:`~biomedica_ray.evaluate.zero_shot.class_vectors`, by the text tower of the
            same model.
        names: Their names (c).
        scale: The model's ``exp(logit_scale)``.
        top: How many concepts to propose.

    Returns:
        Cluster -> concepts and scores, best first.
    """
    logits = scale * normalised(images.astype(np.float32)) @ concepts.T
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares = odds / odds.sum(axis=1, keepdims=True)
    found = {}
    for cluster in np.unique(clusters).tolist():
        scores = shares[clusters == cluster].mean(axis=0)
        best = np.argsort(-scores, kind="stable")[:top].tolist()
        found[cluster] = [{"concept": names[n], "score": round(float(scores[n]), 4)} for n in best]
    return found
