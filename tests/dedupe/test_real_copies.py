"""Copies of real figures, planted among them, are found, and no figure is taken for a copy of another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.copies import COPIES, read
from biomedica_ray.dedupe.figures import figure_duplicates, find_candidates
from biomedica_ray.images.hashes import perceptual_hash
from biomedica_ray.images.thumbnails import thumbnail
from tests.dedupe.test_figures import row, table

SURE = ("resized x 0.5", "resized x 1.5", "JPEG q 30", "JPEG q 95", "as GIF", "grey")
# The second has figures that differ only in the curves of their panels.
ARTICLES = ("10.7554_elife.46472", "10.1101_2021.12.08.471796")


@pytest.mark.corpus
def test_planted_copies_of_real_figures(corpus: Path) -> None:
    originals = [image for name in ARTICLES for image in read(corpus / "packages" / name).values()]
    figures, thumbnails = [], []
    for article, original in enumerate(originals):
        for position, image in enumerate([original, *(COPIES[name](original) for name in SURE)]):
            hashed = {"phash": perceptual_hash(image), "pixels": 2 - min(position, 1), "look": len(thumbnails)}
            figures.append(row(article, position, **hashed))
            thumbnails.append(thumbnail(image))
    candidates = find_candidates(table(figures), 4)
    looks = candidates.figures["look"].to_numpy()[candidates.rows]
    duplicates = figure_duplicates(candidates, np.stack(thumbnails)[looks], 0.95).to_pylist()
    repeats = {duplicate["id"]: duplicate["of"] for duplicate in duplicates}
    assert len(originals) == 24
    assert [id_ for id_, of in repeats.items() if id_.split("_")[0] != of.split("_")[0]] == []
    for position, name in enumerate(SURE, 1):
        found = [f"PMC{article}.1_{position:03d}" in repeats for article in range(len(originals))]
        assert np.mean(found) >= 0.95, name
