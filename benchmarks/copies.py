"""Which copies of real figures are found as near duplicates, and which different figures are taken for copies.

    python -m benchmarks.copies FOLDER [--hash phash] [--every 1] [--panels tests/panels/boxes.tsv]

Each image below the folder is copied in every way of COPIES. Of each way the table has the share of copies whose hash
is within a distance of the original's, whose thumbnails correlate, and for which both holds, so that they are found.
Then the originals are compared with one another, but for those of one name in one folder, which are a figure in two
formats: pairs within 8 bits are listed by path, to be looked at.

With --panels, instead: how many panels of compound figures, cut out as the file says and saved as JPEG, are found by
the hashes of the whole figure, and how many by those of the panels that are found in it.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from biomedica_ray.dedupe.compared import LEAST_SIDE
from biomedica_ray.dedupe.hamming import pair_blocks
from biomedica_ray.dedupe.thumbnails import correlation
from biomedica_ray.images import ImageError, decode
from biomedica_ray.images.thumbnails import thumbnail
from biomedica_ray.panels.detectors import DetectorSpec
from biomedica_ray.panels.find import find_panels

MAX_DISTANCE, MIN_CORRELATION = 4, 0.95
"""The defaults of dedupe."""
HASHES = {"phash": imagehash.phash, "dhash": imagehash.dhash, "whash": imagehash.whash}
"""Dedupe has the first; the others are here to compare it with."""
SMALL = 64
"""Shorter side in pixels below which an image is small: mostly an equation."""


def resized(image: Image.Image, factor: float) -> Image.Image:
    width, height = (max(1, round(side * factor)) for side in image.size)
    return image.resize((width, height))


def saved(image: Image.Image, format_: str, **options: Any) -> Image.Image:
    file = io.BytesIO()
    image.save(file, format_, **options)
    return decode(file.getvalue())


def cropped(image: Image.Image, share: float) -> Image.Image:
    """Without this share of its width and height, half of it on each side."""
    x, y = round(image.width * share / 2), round(image.height * share / 2)
    return image.crop((x, y, image.width - x, image.height - y))


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    **{f"resized x {factor}": partial(resized, factor=factor) for factor in (0.5, 0.75, 1.5, 2)},
    **{f"JPEG q {quality}": partial(saved, format_="JPEG", quality=quality) for quality in (30, 60, 95)},
    "as GIF": partial(saved, format_="GIF"),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "cropped by 3 %": partial(cropped, share=0.03),
    "border of 2 px": partial(ImageOps.expand, border=2, fill="black"),
}


Hasher = Callable[[Image.Image], int]


def compare(image: Image.Image, copy: Image.Image, hasher: Hasher) -> tuple[int, float]:
    """Distance of the hashes and correlation of the thumbnails."""
    return (hasher(image) ^ hasher(copy)).bit_count(), correlation(thumbnail(image), thumbnail(copy))


def read(folder: Path) -> dict[Path, Image.Image]:
    """The images below a folder, as dedupe sees them; what is none is left out."""
    images = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        try:
            images[path] = decode(path.read_bytes())
        except ImageError:
            continue
    return images


def found(compared: npt.NDArray[np.float64]) -> str:
    """Cells of the table for (k, 2) distances and correlations."""
    distance, alike = compared[:, 0], compared[:, 1] >= MIN_CORRELATION
    shares = [*(distance <= most for most in (0, 2, 4, 8)), alike, (distance <= MAX_DISTANCE) & alike]
    return " | ".join(f"{share.mean():.3f}" for share in shares)


def different_pairs(images: dict[Path, Image.Image], hasher: Hasher) -> list[tuple[int, float, Path, Path]]:
    """Pairs of originals within 8 bits that are not of one name: distance, correlation and both."""
    paths = list(images)
    hashes, which = np.unique(np.array([hasher(images[path]) for path in paths], np.uint64), return_inverse=True)
    near = [*np.concatenate(list(pair_blocks(hashes, 8))).tolist(), *((i, i) for i in range(len(hashes)))]
    return sorted(
        (*compare(images[paths[a]], images[paths[b]], hasher), paths[a], paths[b])
        for i, j in near
        for a in np.flatnonzero(which == i).tolist()
        for b in np.flatnonzero(which == j).tolist()
        if (i != j or a < b) and paths[a].with_suffix("") != paths[b].with_suffix("")
    )


def panels_found(folder: Path, labelled: Path, hasher: Hasher) -> tuple[int, int, int, int]:
    """Figures, their panels, those found by the whole figure, and those found by its own panels."""
    cut: dict[str, list[list[int]]] = {}
    with labelled.open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            cut.setdefault(row["file"], []).append([int(row[edge]) for edge in ("left", "top", "right", "bottom")])
    look = DetectorSpec("shipped", None, None).load()
    assert look is not None
    compound = {name: boxes for name, boxes in cut.items() if len(boxes) > 1}
    counts = [0, 0, 0]
    for name, boxes in compound.items():
        image = decode((folder / name).read_bytes())
        whole = [(0, 0, *image.size)]
        seen, letters = look(image)
        own = [panel.box[:4] for panel in find_panels(np.asarray(image), None, letters, seen)]
        for left, top, right, bottom in boxes:
            if min(right - left, bottom - top) < LEAST_SIDE:
                continue
            copy = saved(image.crop((left, top, right, bottom)), "JPEG", quality=90)
            counts[0] += 1
            for place, candidates in ((1, whole), (2, own if len(own) > 1 else [])):
                compared = (compare(image.crop(box), copy, hasher) for box in candidates)
                counts[place] += any(bits <= MAX_DISTANCE and alike >= MIN_CORRELATION for bits, alike in compared)
    return (len(compound), *counts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hash", choices=HASHES, default="phash")
    parser.add_argument("--every", type=int, default=1, help="take only each so many-th image")
    parser.add_argument("--panels", type=Path, help="a table of boxes: file, left, top, right, bottom")
    arguments = parser.parse_args()
    if arguments.panels:
        n_figures, n_panels, by_whole, by_panels = panels_found(
            arguments.folder, arguments.panels, lambda image: int(str(HASHES[arguments.hash](image)), 16)
        )
        print(f"{n_panels} panels of {n_figures} figures: found by the whole figure {by_whole}, by panels {by_panels}")
        return
    images = dict(list(read(arguments.folder).items())[:: arguments.every])
    hash_of = HASHES[arguments.hash]

    def hasher(image: Image.Image) -> int:
        return int(str(hash_of(image)), 16)

    small = np.array([min(image.size) < SMALL for image in images.values()])
    print(f"{arguments.hash}, {len(images)} images, {np.count_nonzero(small)} of them small\n")
    print(f"| {arguments.hash} | d 0 | d 2 | d 4 | d 8 | alike | found | found, not small |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, copied in COPIES.items():
        compared = np.array([compare(image, copied(image), hasher) for image in images.values()])
        print(f"| {name} | {found(compared)} | {found(compared[~small]).rpartition(' ')[2]} |", flush=True)
    print()
    for distance, alike, a, b in different_pairs(images, hasher):
        print(distance, f"{alike:.3f}", a.relative_to(arguments.folder), b.relative_to(arguments.folder))


if __name__ == "__main__":
    main()
