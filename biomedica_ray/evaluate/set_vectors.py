"""Vectors of the images of a published set, and of texts, by a model that is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch

from biomedica_ray.ahead import ordered_map
from biomedica_ray.evaluate.layouts import Image
from biomedica_ray.evaluate.layouts.base import readable
from biomedica_ray.evaluate.layouts.pixels import to_rgb
from biomedica_ray.evaluate.preparing import Images
from biomedica_ray.evaluate.zero_shot import Vectors, normalised
from biomedica_ray.images import ImageError
from biomedica_ray.models.scorable import Scorable
from biomedica_ray.reading.shards import Unreadable


@dataclass(frozen=True)
class Encoded:
    """What a model makes of some rows of a set.

    Attributes:
        rows: Those of which there is a vector, ascending.
        sha256: Of each one's bytes or pixels.
        vectors: Normalised, shape (rows, d).
        errors: The others, and why there is none.
    """

    rows: list[int]
    sha256: list[str]
    vectors: Vectors
    errors: list[Unreadable]


def encode_images(model: Scorable, source: Images, wanted: Sequence[int], batch_size: int, threads: int) -> Encoded:
    """Vectors of some rows of a set, which are decoded in threads while the model is at work.

    Args:
        model: The model.
        source: The set.
        wanted: The rows, ascending.
        batch_size: Images a forward pass.
        threads: That decode.

    Raises:
        MissingDataError, BadDataError: The set is no longer there, or does not look as its layout says.
    """

    def prepare(each: tuple[int, Image]) -> tuple[int, str, torch.Tensor] | Unreadable:
        number, image = each
        name = str(names[number])
        if isinstance(image, Unreadable):
            return Unreadable(name, image.kind, image.message)
        try:
            return number, _digest(image), model.pixels(to_rgb(image, source.window))
        except ImageError as error:
            return Unreadable(name, error.kind, str(error))

    opened = source.opened
    names = opened.listing.table["id"]
    found: list[tuple[int, str]] = []
    batches: list[Vectors] = []
    errors: list[Unreadable] = []
    with ThreadPoolExecutor(threads) as pool:
        prepared = ordered_map(pool, prepare, zip(wanted, readable(opened, wanted), strict=True), 2 * threads)
        while batch := list(islice(prepared, batch_size)):
            good = [each for each in batch if not isinstance(each, Unreadable)]
            errors += [each for each in batch if isinstance(each, Unreadable)]
            if good:
                found += [(number, digest) for number, digest, _ in good]
                batches.append(_numpy(model.images(torch.stack([pixels for _, _, pixels in good]))))
    vectors = np.concatenate(batches) if batches else np.zeros((0, 1), np.float32)
    whole = np.logical_and.reduce(np.isfinite(vectors), axis=1)
    not_finite = "the model gave numbers that are not finite"
    errors += [Unreadable(str(names[found[n][0]]), "bad-embedding", not_finite) for n in np.flatnonzero(~whole)]
    kept = [each for each, is_whole in zip(found, whole.tolist(), strict=True) if is_whole]
    return Encoded([number for number, _ in kept], [digest for _, digest in kept], vectors[whole], errors)


def encode_texts(model: Scorable, texts: Sequence[str], batch_size: int) -> Vectors:
    """Normalised vectors of texts, shape (n, d); not all of them finite, where the model is broken."""
    starts = range(0, len(texts), batch_size)
    batches = [_numpy(model.texts(texts[start : start + batch_size])) for start in starts]
    return np.concatenate(batches) if batches else np.zeros((0, 1), np.float32)


def _digest(image: bytes | npt.NDArray[np.uint8]) -> str:
    data = image if isinstance(image, bytes) else f"{image.shape}".encode() + image.tobytes()
    return hashlib.sha256(data).hexdigest()


def _numpy(found: torch.Tensor) -> Vectors:
    return normalised(found.float().cpu().numpy())
