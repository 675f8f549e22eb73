"""Small grey thumbnails, by which images that look nearly the same are told from others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE = 32


def thumbnail(image: Image.Image) -> npt.NDArray[np.uint8]:
    """The image as (1024,) grey values of 32x32 boxes, whatever its shape."""
    return np.asarray(image.convert("L").resize((SIDE, SIDE), Image.Resampling.BOX), np.uint8).reshape(-1)
