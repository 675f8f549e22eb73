"""A trained model, and the vectors that it gives to held-out samples."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2

from biomedica_ray.ahead import ordered_map
from biomedica_ray.evaluate.statistics import Indices
from biomedica_ray.evaluate.zero_shot import Vectors
from biomedica_ray.images import ImageError, decode
from biomedica_ray.models.clip import load_folder
from biomedica_ray.models.trained import TrainedModel
from biomedica_ray.reading.held_out import article_of
from biomedica_ray.reading.shards import RawSample, Unreadable


@dataclass(frozen=True)
class Encoded:
    """Held-out samples as a model sees them.

    Attributes:
        images: Normalised, shape (n, d).
        texts: The captions' vectors, normalised, shape (n, d).
        labels: Global concepts of each sample.
        articles: A number for the article of each, shape (n,).
        errors: Samples that could not be read.
    """

    images: Vectors
    texts: Vectors
    labels: list[list[str]]
    articles: Indices
    errors: list[Unreadable]


class Model:
    """A model with its preprocessing and tokenizer, on a device, in evaluation mode."""

    def __init__(self, model: Any, tokenize: Any, device: str | torch.device) -> None:
        self._model, self._tokenize, self._device = model.eval(), tokenize, device
        self._preprocess = image_transform_v2(PreprocessCfg(**model.visual.preprocess_cfg), is_train=False)

    @classmethod
    def load(cls, folder: Path, device: str) -> Self:
        """An exported model, read from its folder."""
        model, tokenizer = load_folder(folder)
        return cls(model.to(device), tokenizer, device)

    @classmethod
    def of_run(cls, checkpoints: TrainedModel, device: str) -> Self:
        """The finished model of a run; raises FileNotFoundError if there is none."""
        with tempfile.TemporaryDirectory() as folder:
            checkpoints.get_folder("model", Path(folder))
            return cls.load(Path(folder), device)

    @property
    def parameters(self) -> int:
        """How many numbers it has."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    def pixels(self, data: bytes) -> torch.Tensor:
        """An image file as the model's input, shape (3, H, W); raises ImageError."""
        pixels: torch.Tensor = self._preprocess(decode(data))
        return pixels

    def encode_images(self, pixels: Sequence[torch.Tensor]) -> Vectors:
        """Normalised vectors, shape (n, d)."""
        with torch.inference_mode():
            return _numpy(self._model.encode_image(torch.stack(list(pixels)).to(self._device), normalize=True))

    def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Normalised vectors, shape (n, d)."""
        with torch.inference_mode():
            return _numpy(self._model.encode_text(self._tokenize(list(texts)).to(self._device), normalize=True))


def encode(
    model: Model,
    samples: Iterator[RawSample | Unreadable],
    batch_size: int,
    threads: int,
    tell: Callable[[int], None],
) -> Encoded:
    """Vectors and labels of the samples; ``tell`` is called with the size of each batch."""

    def prepare(sample: RawSample | Unreadable) -> tuple[RawSample, torch.Tensor] | Unreadable:
        if isinstance(sample, Unreadable):
            return sample
        try:
            return sample, model.pixels(sample.image)
        except ImageError as error:
            return Unreadable(sample.key, error.kind, str(error))

    images: list[Vectors] = []
    texts: list[Vectors] = []
    labels: list[list[str]] = []
    articles: list[int] = []
    numbers: dict[str, int] = {}
    errors: list[Unreadable] = []
    with ThreadPoolExecutor(threads) as pool:
        prepared = ordered_map(pool, prepare, samples, 2 * threads)
        while batch := list(islice(prepared, batch_size)):
            errors += [item for item in batch if isinstance(item, Unreadable)]
            good = [item for item in batch if not isinstance(item, Unreadable)]
            if good:
                images.append(model.encode_images([pixels for _, pixels in good]))
                texts.append(model.encode_texts([sample.caption for sample, _ in good]))
                labels += [primary_labels(sample.metadata) for sample, _ in good]
                articles += [numbers.setdefault(article_of(sample.key), len(numbers)) for sample, _ in good]
            tell(len(batch))
    empty = np.zeros((0, 1), dtype=np.float32)
    vectors = np.concatenate(images or [empty]), np.concatenate(texts or [empty])
    return Encoded(*vectors, labels, np.array(articles, np.int64), errors)


def primary_labels(metadata: bytes) -> list[str]:
    """The global concepts in a sample's JSON; none where it has none."""
    fields: dict[str, Any] = json.loads(metadata or b"{}")
    return list(fields.get("image_primary_label") or [])


def _numpy(vectors: torch.Tensor) -> Vectors:
    result: Vectors = vectors.float().cpu().numpy()
    return result
