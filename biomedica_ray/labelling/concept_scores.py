"""Zero-shot proposals: which concepts the exemplars of a cluster resemble, by a CLIP model's text tower.

They are a start for annotators, never labels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.zero_shot import Vectors, normalised
from biomedica_ray.labelling.labels import Taxonomy

PROMPTS = Path(__file__).with_name("prompts.yaml")
"""Prompts for the paper's taxonomy."""


class Prompts(BaseModel):
    """What images of each concept are called."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    templates: list[str] = Field(min_length=1, description="sentences with {} where a name goes")
    concepts: dict[str, list[str]] = Field(min_length=1, description="names of each global concept")

    def sentences(self, concept: str) -> list[str]:
        """Every name of a concept in every template."""
        return [template.replace("{}", name) for name in self.concepts[concept] for template in self.templates]


def load_prompts(path: str | Path | None, taxonomy: Taxonomy) -> Prompts:
    """Read a prompts file; None for that of the paper's taxonomy.

    Raises:
        ConfigError: It cannot be read, is none, or names a concept that the taxonomy does not have.
    """
    path = Path(path or PROMPTS)
    try:
        prompts = Prompts.model_validate(yaml.safe_load(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"prompts: {path}: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"prompts: {path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if unknown := prompts.concepts.keys() - taxonomy.concepts.keys():
        raise ConfigError(f"prompts: {path}: {min(unknown)}: not a global concept of taxonomy {taxonomy.version}")
    if empty := [concept for concept, names in prompts.concepts.items() if not names]:
        raise ConfigError(f"prompts: {path}: {empty[0]}: expected at least one name")
    return prompts


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
