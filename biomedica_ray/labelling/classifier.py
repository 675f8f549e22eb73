"""The classifier of images: from an image's embedding to its label, and to how sure that is.

It imports nothing heavy, so that workers that label start fast; :mod:`~biomedica_ray.labelling.fitting` fits it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from biomedica_ray.annotate.vectors import PictureId

Floats = npt.NDArray[np.float32]

How = Literal["classifier", "zero-shot"]

_CONCEPT_AT = 0.5
"""Least calibrated probability of a local concept that an image is said to show."""


@dataclass(frozen=True)
class ImageClassifier:
    """Linear in the embedding; d is the embeddings' size, c the global concepts that it tells apart, l the local ones.

    Attributes:
        how: classifier: fitted on what people said; zero-shot: the prompts of a CLIP model's text tower.
        names: (c) global concepts, one of which an image gets.
        weights: (c, d).
        bias: (c,).
        temperature: What the c logits are divided by, so that the greatest probability is how often it is right
            (Guo et al., 2017, arXiv 1706.04599).
        sure_from: Least probability that counts as sure; None where nothing does.
        concepts: (l) local concepts, each of which an image may get.
        concept_weights: (l, d).
        concept_bias: (l,).
    """

    how: How
    names: tuple[str, ...]
    weights: Floats
    bias: Floats
    temperature: float = 1.0
    sure_from: float | None = None
    concepts: tuple[str, ...] = ()
    concept_weights: Floats | None = None
    concept_bias: Floats | None = None

    def probabilities(self, vectors: npt.NDArray[np.floating]) -> Floats:
        """(n, c) probability of each global concept for vectors (n, d); rows sum to 1."""
        return softmax((vectors.astype(np.float32) @ self.weights.T + self.bias) / self.temperature)

    def local_concepts(self, vectors: npt.NDArray[np.floating]) -> list[list[str]]:
        """The local concepts of each of the vectors (n, d), in the order of :attr:`concepts`."""
        if not self.concepts:
            return [[] for _ in vectors]
        assert self.concept_weights is not None and self.concept_bias is not None
        logits = vectors.astype(np.float32) @ self.concept_weights.T + self.concept_bias
        shown = logits >= np.log(_CONCEPT_AT / (1 - _CONCEPT_AT))
        return [[self.concepts[n] for n in np.flatnonzero(row)] for row in shown]

    def dump(self) -> bytes:
        """The classifier as a safetensors file, its names in the file's metadata."""
        from safetensors.numpy import save  # noqa: PLC0415

        about = {
            "how": self.how,
            "names": self.names,
            "temperature": self.temperature,
            "sure_from": self.sure_from,
            "concepts": self.concepts,
        }
        arrays = {"weights": self.weights, "bias": self.bias}
        if self.concept_weights is not None and self.concept_bias is not None:
            arrays |= {"concept_weights": self.concept_weights, "concept_bias": self.concept_bias}
        return save(arrays, metadata={"classifier": json.dumps(about)})

    @classmethod
    def load(cls, data: bytes) -> ImageClassifier:
        """The inverse of :meth:`dump`; raises ValueError or KeyError for a file of anything else."""
        from safetensors.numpy import load  # noqa: PLC0415

        (size,) = struct.unpack("<Q", data[:8])
        about: dict[str, Any] = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["classifier"])
        about |= {"names": tuple(about["names"]), "concepts": tuple(about["concepts"]), **load(data)}
        return cls(**about)


def softmax(logits: npt.NDArray[np.floating]) -> Floats:
    """Probabilities (n, c) of logits (n, c)."""
    shifted = np.exp(logits.astype(np.float32) - logits.max(axis=1, keepdims=True))
    result: Floats = (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)
    return result


def image_label_rows(
    ids: Sequence[PictureId], vectors: npt.NDArray[np.floating], classifier: ImageClassifier
) -> list[dict[str, Any]]:
    """Rows of the image_labels table.

    No label of a panel is sure: that a precision is reached was shown on figures, and panels are not drawn from these.

    Args:
        ids: Of what each vector is.
        vectors: (n, d).
        classifier: What labels them.
    """
    if not ids:
        return []
    probabilities = classifier.probabilities(vectors)
    best = probabilities.argmax(axis=1)
    confidences = probabilities[np.arange(len(ids)), best].tolist()
    sure_from = np.inf if classifier.sure_from is None else classifier.sure_from
    return [
        {
            "figure_id": figure_id,
            "panel": panel,
            "panel_box": list(box),
            "image_label": classifier.names[label],
            "image_confidence": confidence,
            "image_sure": not panel and confidence >= sure_from,
            "image_local_concepts": concepts,
            "image_how": classifier.how,
        }
        for (figure_id, panel, box), label, confidence, concepts in zip(
            ids, best.tolist(), confidences, classifier.local_concepts(vectors), strict=True
        )
    ]
