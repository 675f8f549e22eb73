"""The detector and the reader at work on images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from biomedica_ray.panels.letters import Candidate, Letter, candidates, crops, reduced, run_of_letters
from biomedica_ray.panels.network import COARSEST, Detector, peaks
from biomedica_ray.panels.reader import NONE, Reader
from biomedica_ray.panels.seen import Seen

SIDE = 256
"""Pixels of the longer side of what the detector sees."""
LEAST = 0.2
"""Confidence below which a panel is none."""


def detector_input(image: Image.Image) -> tuple[np.ndarray, float]:
    """The image (height, width, 3) with the longer side of :data:`SIDE`, and pixels of the image for one of its."""
    scale = max(image.size) / SIDE
    size = (max(1, round(image.width / scale)), max(1, round(image.height / scale)))
    return np.asarray(image.resize(size, Image.Resampling.BOX)), scale


def detect(detector: Detector, image: Image.Image) -> list[Seen]:
    """The panels that the detector sees, the surest first, within the image.

    Args:
        detector: Ready to be used.
        image: RGB.
    """
    pixels, scale = detector_input(image)
    height, width = (-(-side // COARSEST) * COARSEST for side in pixels.shape[:2])
    page = np.full((height, width, 3), 255, np.uint8)
    page[: pixels.shape[0], : pixels.shape[1]] = pixels
    with torch.inference_mode():
        logits, sides = detector(torch.from_numpy(page).permute(2, 0, 1)[None].float() / 255)
    seen = []
    for (left, top, right, bottom), confidence in peaks(logits[0], sides[0], LEAST):
        box = (
            max(0, round(left * scale)),
            max(0, round(top * scale)),
            min(image.width, round(right * scale)),
            min(image.height, round(bottom * scale)),
        )
        if box[0] < box[2] and box[1] < box[3]:
            seen.append(Seen(box, confidence))
    return seen


def places(found: Sequence[Candidate], width: int, height: int) -> np.ndarray:
    """What the reader is told of where candidates are, (n, 3) float32."""
    return np.array(
        [
            (
                (each.left + each.right) / 2 / width,
                (each.top + each.bottom) / 2 / height,
                10 * each.height / max(width, height),
            )
            for each in found
        ],
        np.float32,
    ).reshape(-1, 3)


def read(reader: Reader, image: Image.Image) -> list[Letter]:
    """The letters of panels that are printed in an image.

    Args:
        reader: Ready to be used.
        image: RGB.
    """
    small, scale = reduced(image)
    rgb = np.asarray(small)
    found = candidates(rgb)
    if not found:
        return []
    with torch.inference_mode():
        logits = reader(torch.from_numpy(crops(rgb, found)), torch.from_numpy(places(found, small.width, small.height)))
        chances = logits.softmax(dim=1)[:, :NONE].double().numpy()
    return run_of_letters(found, chances, scale)
