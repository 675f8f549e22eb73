"""Which copies of real figures are found as near duplicates, and which different figures are taken for copies.

    python -m benchmarks.copies FOLDER [--hash phash] [--every 1] [--against | --panels tests/panels/boxes.tsv]

Each image below the folder is copied in every way of COPIES. Of each way the table has the share of copies whose hash
is within a distance of the original's, whose thumbnails correlate, and for which both holds, so that they are found.
Then the originals are compared with one another, but for those of one name in one folder, which are a figure in two
formats: pairs within 8 bits are listed by path, to be looked at.

With --against, instead: of the ways of ALTERED, the share of copies that the hashes find, and the share that is found
where the copies are another set; and figures in which a copy of another one is found, by path, to be looked at.

With --panels, instead: how many panels of compound figures, cut out as the file says and saved as JPEG, are found by
the hashes of the whole figure, how many by those of the panels that are found in it, and how many as another set.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance, ImageOps

from biomedica_ray.dedupe.copies import MOST_CANDIDATES, as_part, best_candidates, candidates_in, copies_in
from biomedica_ray.dedupe.hamming import pair_blocks
from biomedica_ray.dedupe.laid_over import Box
from biomedica_ray.dedupe.sought import build_sought, looks_of
from biomedica_ray.dedupe.thumbnails import correlation
from biomedica_ray.images import ImageError, decode
from biomedica_ray.images.thumbnails import thumbnail
from biomedica_ray.panels.detectors import DetectorSpec
from biomedica_ray.panels.find import find_panels
from biomedica_ray.panels.sure import LEAST_SIDE

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


def cropped_at_a_corner(image: Image.Image, share: float) -> Image.Image:
    """Without this share of its width on the left and of its height on the top."""
    return image.crop((round(image.width * share), round(image.height * share), image.width, image.height))


def within(image: Image.Image, side: int) -> Image.Image:
    return resized(image, min(1.0, side / max(image.size)))


def framed(image: Image.Image, share: float) -> Image.Image:
    """In a white border of this share of its shorter side."""
    return ImageOps.expand(image, border=max(1, round(min(image.size) * share)), fill="white")


def turned(image: Image.Image, way: Image.Transpose) -> Image.Image:
    return image.transpose(way)


COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    **{f"resized x {factor}": partial(resized, factor=factor) for factor in (0.5, 0.75, 1.5, 2)},
    **{f"JPEG q {quality}": partial(saved, format_="JPEG", quality=quality) for quality in (30, 60, 95)},
    "as GIF": partial(saved, format_="GIF"),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "cropped by 3 %": partial(cropped, share=0.03),
    "border of 2 px": partial(ImageOps.expand, border=2, fill="black"),
}

ALTERED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "longer side 160 px": partial(within, side=160),
    "brighter by 20 %": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    **{f"cropped by {percent} %": partial(cropped, share=percent / 100) for percent in (1, 3, 5, 10)},
    **{f"at a corner by {percent} %": partial(cropped_at_a_corner, share=percent / 100) for percent in (5, 10)},
    "JPEG q 30": COPIES["JPEG q 30"],
    "border of 2 px": COPIES["border of 2 px"],
    "white border of 10 %": partial(framed, share=0.1),
    "flipped": ImageOps.mirror,
    **{f"rotated by {angle}": partial(turned, way=Image.Transpose[f"ROTATE_{angle}"]) for angle in (90, 180, 270)},
    "cropped by 5 %, rotated by 90, JPEG q 30": lambda image: saved(
        turned(cropped(image, 0.05), Image.Transpose.ROTATE_90), "JPEG", quality=30
    ),
}


Hasher = Callable[[Image.Image], int]


Seen = tuple[int, npt.NDArray[np.uint8]]
"""Hash and thumbnail of an image."""


def see(image: Image.Image, hasher: Hasher) -> Seen:
    return hasher(image), thumbnail(image)


def compare(image: Seen, copy: Seen) -> tuple[int, float]:
    """Distance of the hashes and correlation of the thumbnails."""
    return (image[0] ^ copy[0]).bit_count(), correlation(image[1], copy[1])


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


Figure = tuple[Image.Image, Sequence[Box]]
"""A figure, mode L, and its panels."""


def found_against(figures: Sequence[Figure], pictures: Iterable[Image.Image]) -> Iterator[tuple[int, int, str]]:
    """Figure and picture of those that dedupe finds beyond hashes of whole images, and in what way, as words."""
    looks, greys = as_part((number, looks_of(picture)) for number, picture in enumerate(pictures))
    if not greys:
        return
    regions = [
        (row, number, box)
        for row, (_, panels) in enumerate(figures)
        for number, box in enumerate([(0, 0, 0, 0), *panels])
    ]
    parts = (figures[row][0].crop(box) if number else figures[row][0] for row, number, box in regions)
    thumbnails = np.stack([thumbnail(part) for part in parts])
    candidates = best_candidates(candidates_in(build_sought(*looks), regions, thumbnails, 0), MOST_CANDIDATES)
    guesses: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for guess in candidates.to_pylist():
        look = guess["look"]
        guesses[guess["row"]].append({**guess, "grey": greys[look], "trimmed": bool(looks.trimmed[look])})
    for row, own in guesses.items():
        yield from ((row, copy["picture"], copy["how"]) for copy in copies_in(figures[row][0], own))


def different_pairs(seen: dict[Path, Seen]) -> list[tuple[int, float, Path, Path]]:
    """Pairs of originals within 8 bits that are not of one name: distance, correlation and both."""
    paths = list(seen)
    hashes, which = np.unique(np.array([seen[path][0] for path in paths], np.uint64), return_inverse=True)
    near = [*np.concatenate(list(pair_blocks(hashes, 8))).tolist(), *((i, i) for i in range(len(hashes)))]
    return sorted(
        (*compare(seen[paths[a]], seen[paths[b]]), paths[a], paths[b])
        for i, j in near
        for a in np.flatnonzero(which == i).tolist()
        for b in np.flatnonzero(which == j).tolist()
        if (i != j or a < b) and paths[a].with_suffix("") != paths[b].with_suffix("")
    )


def panels_found(folder: Path, labelled: Path, hasher: Hasher) -> tuple[int, int, int, int, int]:
    """Figures, their panels, those found by the whole figure, by its own panels, and as pictures of another set.

    Prints what is found in another figure.
    """
    cut: dict[str, list[list[int]]] = {}
    with labelled.open() as file:
        for row in csv.DictReader(file, delimiter="\t"):
            cut.setdefault(row["file"], []).append([int(row[edge]) for edge in ("left", "top", "right", "bottom")])
    look = DetectorSpec("shipped", None, None).load()
    assert look is not None
    compound = {name: boxes for name, boxes in cut.items() if len(boxes) > 1}
    counts = [0, 0, 0]
    by_hash: set[int] = set()
    figures: list[Figure] = []
    pictures, names = [], []
    for name, boxes in compound.items():
        image = decode((folder / name).read_bytes())
        whole: list[Box] = [(0, 0, *image.size)]
        seen, letters = look(image)
        own = [panel.box[:4] for panel in find_panels(np.asarray(image), None, letters, seen)]
        big = [box for box in own if min(box[2] - box[0], box[3] - box[1]) >= LEAST_SIDE] if len(own) > 1 else []
        figures.append((image.convert("L"), big))
        for left, top, right, bottom in boxes:
            if min(right - left, bottom - top) < LEAST_SIDE:
                continue
            copy = saved(image.crop((left, top, right, bottom)), "JPEG", quality=90)
            seen_copy = see(copy, hasher)
            counts[0] += 1
            for place, candidates in ((1, whole), (2, own if len(own) > 1 else [])):
                compared = (compare(see(image.crop(box), hasher), seen_copy) for box in candidates)
                if any(bits <= MAX_DISTANCE and alike >= MIN_CORRELATION for bits, alike in compared):
                    counts[place] += 1
                    by_hash.add(len(pictures))
            pictures.append(copy)
            names.append(name)
    against = set(by_hash)
    of = list(compound)
    for row, picture, how in found_against(figures, pictures):
        if of[row] == names[picture]:
            against.add(picture)
        else:
            print(f"{how}: in {of[row]} a panel of {names[picture]}")
    return len(compound), counts[0], counts[1], counts[2], len(against)


def print_against(
    images: dict[Path, Image.Image],
    seen: dict[Path, Seen],
    hasher: Hasher,
    folder: Path,
    small: npt.NDArray[np.bool_],
) -> None:
    """The table of --against, and copies that are found in another figure."""
    print("| copy | by hashes | found | by hashes, not small | found, not small |")
    print("|---|---:|---:|---:|---:|")
    paths = list(images)
    figures: list[Figure] = [(image.convert("L"), ()) for image in images.values()]
    false: set[tuple[Path, Path]] = set()
    for name, copied in ALTERED.items():
        copies = [copied(image) for image in images.values()]
        compared = np.array([compare(a, see(b, hasher)) for a, b in zip(seen.values(), copies, strict=True)])
        by_hash = (compared[:, 0] <= MAX_DISTANCE) & (compared[:, 1] >= MIN_CORRELATION)
        against = by_hash.copy()
        for row, picture, _ in found_against(figures, copies):
            against[picture] |= row == picture
            if paths[row].with_suffix("") != paths[picture].with_suffix(""):
                false.add((paths[row], paths[picture]))
        shares = (each.mean() for each in (by_hash, against, by_hash[~small], against[~small]))
        print(f"| {name} |", " | ".join(f"{share:.3f}" for share in shares), "|", flush=True)
    print()
    for pair in sorted(false):
        print(*(path.relative_to(folder) for path in pair))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--hash", choices=HASHES, default="phash")
    parser.add_argument("--every", type=int, default=1, help="take only each so many-th image")
    parser.add_argument("--against", action="store_true", help="as pictures of another set")
    parser.add_argument("--panels", type=Path, help="a table of boxes: file, left, top, right, bottom")
    arguments = parser.parse_args()
    if arguments.panels:
        n_figures, n_panels, by_whole, by_panels, against = panels_found(
            arguments.folder, arguments.panels, lambda image: int(str(HASHES[arguments.hash](image)), 16)
        )
        print(
            f"{n_panels} panels of {n_figures} figures: found by the whole figure {by_whole}, by panels {by_panels}, "
            f"as another set {against}"
        )
        return
    images = dict(list(read(arguments.folder).items())[:: arguments.every])
    hash_of = HASHES[arguments.hash]

    def hasher(image: Image.Image) -> int:
        return int(str(hash_of(image)), 16)

    small = np.array([min(image.size) < SMALL for image in images.values()])
    print(f"{arguments.hash}, {len(images)} images, {np.count_nonzero(small)} of them small\n")
    seen = {path: see(image, hasher) for path, image in images.items()}
    if arguments.against:
        print_against(images, seen, hasher, arguments.folder, small)
        return
    print(f"| {arguments.hash} | d 0 | d 2 | d 4 | d 8 | alike | found | found, not small |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, copied in COPIES.items():
        compared = np.array([compare(seen[path], see(copied(image), hasher)) for path, image in images.items()])
        print(f"| {name} | {found(compared)} | {found(compared[~small]).rpartition(' ')[2]} |", flush=True)
    print()
    for distance, alike, a, b in different_pairs(seen):
        print(distance, f"{alike:.3f}", a.relative_to(arguments.folder), b.relative_to(arguments.folder))


if __name__ == "__main__":
    main()
