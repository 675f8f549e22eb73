"""Images a second on one core: what reading an image costs beside decoding it, and beside the obvious way.

    python -m benchmarks.images [--folder FOLDER] [--rounds N]

Three ways over the same bytes in memory, in one process and one thread, in turns:

- decode: ``Image.open(...).load()``, the lower limit: every pixel has to be decoded to be hashed
- naive: what one would write: ``Image.open`` for the size, ``imagehash.phash`` of it, SHA-256 of the file and of the
  pixels in RGB
- read_image: ours: the same, upright and over white, with safety checks, frames, resolution and orientation

The time of a way is the least processor time of its rounds, since other processes can only add to it.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import time
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path

import imagehash
from PIL import Image

from biomedica_ray.images import ImageError, read_image
from biomedica_ray.sample import PACKAGES


def decode(data: bytes) -> None:
    Image.open(io.BytesIO(data)).load()


def naive(data: bytes) -> tuple[int, int, str, str, str]:
    image = Image.open(io.BytesIO(data))
    pixels = image.convert("RGB").tobytes()
    sha256, pixel_sha256 = hashlib.sha256(data).hexdigest(), hashlib.sha256(pixels).hexdigest()
    return (*image.size, str(imagehash.phash(image)), sha256, pixel_sha256)


WAYS: dict[str, Callable[[bytes], object]] = {"decode": decode, "naive": naive, "read_image": read_image}


def read_files(folder: Path) -> dict[str, list[bytes]]:
    """The images below a folder by format; what is none is left out."""
    files: dict[str, list[bytes]] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        try:
            files.setdefault(read_image(data).format, []).append(data)
        except ImageError:
            continue
    return files


def measure(files: Sequence[bytes], rounds: int) -> dict[str, float]:
    """Seconds of processor time of each way over all files."""
    least = dict.fromkeys(WAYS, float("inf"))
    for _ in range(rounds):
        for name, way in WAYS.items():
            start = time.process_time()
            for data in files:
                way(data)
            least[name] = min(least[name], time.process_time() - start)
    return least


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=PACKAGES, help="read all images below it; default: the sample")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each way")
    arguments = parser.parse_args()
    files = read_files(arguments.folder)
    print("| format | images | megapixels | decode /s | naive /s | read_image /s | of naive | of decode |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for format_, group in [*files.items(), ("all", list(chain(*files.values())))]:
        pixels = sum(image.width * image.height for image in map(read_image, group)) / 1e6
        seconds = measure(group, arguments.rounds)
        rates = " | ".join(f"{len(group) / seconds[name]:.0f}" for name in WAYS)
        shares = " | ".join(f"{seconds[name] / seconds['read_image']:.2f}" for name in ("naive", "decode"))
        print(f"| {format_} | {len(group)} | {pixels:.1f} | {rates} | {shares} |")


if __name__ == "__main__":
    main()
