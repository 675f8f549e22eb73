"""From an image to the pixels that a model trains on."""

from __future__ import annotations

import math
import random

import numpy as np
import numpy.typing as npt
from PIL import Image

SCALE = (0.9, 1.0)
RATIO = (3 / 4, 4 / 3)
"""Share of the area and aspect ratio of the crop: open_clip's defaults for training (``AugmentationCfg``)."""
_ATTEMPTS = 10


def random_box(width: int, height: int, generator: random.Random) -> tuple[int, int, int, int]:
    """A random crop as (left, upper, right, lower) in pixels; torchvision's RandomResizedCrop, with its own generator.

    An image that no allowed crop fits into gives the largest centred box of an allowed aspect ratio.
    """
    for _ in range(_ATTEMPTS):
        area = width * height * generator.uniform(*SCALE)
        ratio = math.exp(generator.uniform(math.log(RATIO[0]), math.log(RATIO[1])))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, upper = generator.randint(0, width - w), generator.randint(0, height - h)
            return left, upper, left + w, upper + h
    w = max(1, min(width, round(height * RATIO[1])))
    h = max(1, min(height, round(width / RATIO[0])))
    left, upper = (width - w) // 2, (height - h) // 2
    return left, upper, left + w, upper + h


def training_pixels(
    image: Image.Image, size: tuple[int, int], interpolation: str, generator: random.Random
) -> npt.NDArray[np.uint8]:
    """A random crop of an RGB image, resized.

    Args:
        image: RGB image of any size.
        size: (height, width) of the result.
        interpolation: ``bicubic`` or ``bilinear``.
        generator: Where the crop is drawn from.

    Returns:
        Array of shape (3, height, width).
    """
    resample = Image.Resampling.BILINEAR if interpolation == "bilinear" else Image.Resampling.BICUBIC
    box = random_box(*image.size, generator)
    resized = image.resize((size[1], size[0]), resample, box=box)
    return np.ascontiguousarray(np.asarray(resized, dtype=np.uint8).transpose(2, 0, 1))
