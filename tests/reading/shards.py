"""A small dataset as `serialize` writes it: captions tell the colour that the image has."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from biomedica_ray.store import Store

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "yellow": (230, 220, 40)}


def jpeg(colour: str, seed: int, size: int = 40) -> bytes:
    """A noisy square of a colour."""
    noise = np.random.default_rng(seed).normal(0, 12, (size, size, 3))
    pixels = np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def sample(number: int, colour: str | None = None, image: bytes | None = None) -> tuple[str, bytes, str, list[str]]:
    """Key, image, caption and labels of one sample."""
    colour = colour or list(COLOURS)[number % len(COLOURS)]
    return f"PMC{number}-1_001", image or jpeg(colour, number), f"A {colour} square, number {number}.", [colour]


def write_dataset(
    root: Path,
    shards: Sequence[Iterable[tuple[str, bytes, str, list[str]]]],
    split: str = "train",
    *,
    twins: bool = False,
) -> Store:
    """Write the shards of a split, with their Parquet twins where wanted, and add them to `dataset.json`.

    The rows of a twin have those columns that are read; 16 are a row group.
    """
    document = json.loads((root / "dataset.json").read_text()) if (root / "dataset.json").exists() else {"shards": []}
    for number, samples in enumerate(shards):
        path = root / f"webdataset/commercial/{split}/{number:06d}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = list(samples)
        with tarfile.open(path, "w") as tar:
            for key, image, caption, labels in rows:
                panels = [{"label": label, "text": f"({label}) {caption}"} for label in "AB"]
                fields = json.dumps({"image_primary_label": labels, "panels": panels}).encode()
                for suffix, data in (("jpg", image), ("json", fields), ("txt", caption.encode())):
                    info = tarfile.TarInfo(f"{key}.{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
        parquet = path.relative_to(root).as_posix().replace("webdataset", "parquet").replace(".tar", ".parquet")
        if twins:
            (root / parquet).parent.mkdir(parents=True, exist_ok=True)
            columns = [
                {
                    "key": key,
                    "jpg": {"bytes": image, "path": f"{key}.jpg"},
                    "txt": caption,
                    "image_primary_label": labels,
                }
                for key, image, caption, labels in rows
            ]
            table = pa.Table.from_pylist(columns)
            pq.write_table(table, root / parquet, row_group_size=16, compression="zstd")
        document["shards"].append(
            {
                **({"parquet": parquet} if twins else {}),
                "path": str(path.relative_to(root)),
                "license_group": "commercial",
                "split": split,
                "samples": len(rows),
                "bytes": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
        )
    (root / "dataset.json").write_text(json.dumps(document))
    return Store(str(root))
