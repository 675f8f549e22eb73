"""Sets of images in the layouts in which they are published, written small: every class of every task has images."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from biomedica_ray.evaluate.layouts.arrays import Hdf5, Npz
from biomedica_ray.evaluate.layouts.coco import Coco
from biomedica_ray.evaluate.layouts.files import Folders, Table
from biomedica_ray.evaluate.layouts.hub import Hub
from biomedica_ray.evaluate.layouts.web import WebDataset
from biomedica_ray.evaluate.task_files import SetSpec, TaskSpec, packaged

EACH = 3
"""Images of each label."""


def picture(number: int, format_: str = "PNG", mode: str = "RGB") -> bytes:
    shape = (8, 8) if mode == "L" else (8, 8, 3)
    pixels = np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format_)
    return file.getvalue()


def write_set(data: Path, name: str, layout: int = 0) -> Path:
    """A set of the package, in one of its layouts, below a folder as ``--data`` names it; returns the set's folder."""
    tasks = packaged()
    images = tasks.sets[name]
    folder = data / images.folders[0]
    folder.mkdir(parents=True, exist_ok=True)
    asked = [task for task in tasks.tasks.values() if task.set == name]
    labels = sorted({label for task in asked for each in task.classes for label in each.on_disk})
    shape: Any = images.layouts[layout]
    _WRITE[type(shape)](folder, shape, images, labels, asked)
    return folder


def _folders(folder: Path, layout: Folders, images: SetSpec, labels: list[str], _: list[TaskSpec]) -> None:
    for number, label in enumerate(labels * EACH):
        path = folder / layout.path.replace("{split}", images.split) / label / f"{number}.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number, "JPEG"))


def _table(folder: Path, layout: Table, images: SetSpec, labels: list[str], _: list[TaskSpec]) -> None:
    files = [layout.file] if isinstance(layout.file, str) else layout.file
    name = folder / files[0].replace("{split}", images.split)
    name.parent.mkdir(parents=True, exist_ok=True)
    header = [layout.image, *(layout.one_hot or [layout.label])]
    rows: list[list[Any]] = []
    below = folder / layout.folder.replace("{split}", images.split) / "patient"
    below.mkdir(parents=True, exist_ok=True)
    for number, label in enumerate(labels * EACH):
        hot = [float(label == column) for column in layout.one_hot]
        rows.append([f"image_{number}", *(hot or [label])])
        (below / f"image_{number}.png").write_bytes(picture(number))
    if name.suffix == ".xlsx":
        book = openpyxl.Workbook()
        for row in [header, *rows]:
            book.active.append(row)
        book.save(name)
    else:
        with name.open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])


def _npz(folder: Path, layout: Npz, images: SetSpec, labels: list[str], asked: list[TaskSpec]) -> None:
    files = [layout.file] if isinstance(layout.file, str) else layout.file
    multilabel = any(task.kind == "multilabel" for task in asked)
    n = len(labels) * EACH
    column = np.tile(np.arange(len(labels)), EACH)
    truth = (column[:, None] == np.arange(len(labels))) if multilabel else column[:, None]
    pixels = np.random.default_rng(0).integers(0, 256, (n, 8, 8, 3) if "blood" in images.title else (n, 8, 8))
    splits = [split for split in (images.split, images.train, images.validation) if split]
    both = {"images": pixels.astype(np.uint8), "labels": truth.astype(np.uint8)}
    arrays = {f"{split}_{what}": array for split in splits for what, array in both.items()}
    np.savez_compressed(folder / files[0], **arrays)


def _hdf5(folder: Path, layout: Hdf5, images: SetSpec, labels: list[str], _: list[TaskSpec]) -> None:
    truth = np.tile(np.array(labels, np.uint8), EACH)
    pixels = np.random.default_rng(0).integers(0, 256, (len(truth), 8, 8, 3)).astype(np.uint8)
    for name, key, array in (
        (layout.images, layout.image_key, pixels),
        (layout.labels, layout.label_key, truth.reshape(-1, 1, 1, 1)),
    ):
        with h5py.File(folder / name.replace("{split}", images.split), "w") as file:
            file[key] = array


def _coco(folder: Path, layout: Coco, images: SetSpec, labels: list[str], _: list[TaskSpec]) -> None:
    path = folder / layout.annotations.replace("{split}", images.split)
    path.parent.mkdir(parents=True)
    below = folder / layout.folder.replace("{split}", images.split)
    below.mkdir(parents=True)
    numbers = range(len(labels) * EACH)
    for number in numbers:
        (below / f"{number:05d}.png").write_bytes(picture(number))
    shown = [(n, int(labels[n % len(labels)])) for n in numbers]
    document = {
        "images": [{"id": n, "file_name": f"{n:05d}.png", "height": 8, "width": 8} for n in numbers],
        "annotations": [{"id": n, "image_id": n, "category_id": c, "bbox": [0, 0, 4, 4]} for n, c in shown],
        "categories": [{"id": int(label), "name": label} for label in labels],
    }
    path.write_text(json.dumps(document))


def _web(folder: Path, _: WebDataset, images: SetSpec, labels: list[str], __: list[TaskSpec]) -> None:
    (folder / images.split).mkdir()
    numbers = list(range(len(labels) * EACH))
    shards = [numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]]
    (folder / images.split / "nshards.txt").write_text(str(len(shards)))
    for shard, members in enumerate(shards):
        with tarfile.open(folder / images.split / f"{shard}.tar", "w") as tar:
            for number in members:
                for suffix, data in ((".webp", picture(number, "WEBP")), (".cls", str(number % len(labels)).encode())):
                    info = tarfile.TarInfo(f"s{number:07d}{suffix}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))


def _hub(folder: Path, layout: Hub, images: SetSpec, labels: list[str], asked: list[TaskSpec]) -> None:
    if any(task.kind == "choice" for task in asked):
        rows = [row for task in asked if task.where for row in _ubench_rows(task)]
        schema = _UBENCH
    elif any(task.kind == "retrieval" for task in asked):
        rows = [
            {"image": {"bytes": picture(n), "path": f"{n}.png"}, "caption": f"A caption of image {n}"} for n in range(9)
        ]
        schema = None
    else:
        rows = [{"image": {"bytes": picture(n), "path": None}, "label": int(v)} for n, v in enumerate(labels * EACH)]
        schema = None
    half = len(rows) // 2
    for number, part in enumerate((rows[:half], rows[half:])):
        table = pa.Table.from_pylist(part, schema=schema)
        name = layout.files_like.replace("{split}", images.split)
        path = folder / name.replace("*", f"0000{number}-of-00002" if name.startswith("*.") else "")
        if "-*" in layout.files_like:
            path = folder / "data" / f"{images.split}-0000{number}-of-00002.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".parquet":
            pq.write_table(table, path, row_group_size=5)
        else:
            with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table, max_chunksize=7)


_QUESTION = pa.struct([("options", pa.list_(pa.string())), ("answer_idx", pa.int64())])
_NAMES = ("classification", "domain", "modality", "submodality", "stain")
_UBENCH = pa.schema(
    [
        ("image_id", pa.string()),
        ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        ("dataset", pa.string()),
        ("label_name", pa.string()),
        *((name, pa.string()) for name in _NAMES[1:]),
        ("captions", pa.struct([(f"{name}_{phrasing}", _QUESTION) for name in _NAMES for phrasing in (0, 1)])),
    ]
)


def _ubench_rows(task: TaskSpec) -> list[dict[str, Any]]:
    """Rows of one of micro-Bench's sources, whose answers stand at changing places among the options."""
    (dataset,) = task.where["dataset"]
    n_classes = task.n_classes or 2
    rows = []
    for number in range(max(n_classes, 25)):
        label = f"{dataset} {number % n_classes}"
        values: dict[str, str | None] = {"classification": label}
        for name, n in (("domain", 3), ("modality", 3), ("submodality", 10), ("stain", 25)):
            values[name] = f"{name} {number % n}"
        if "unpub" in dataset:
            values["stain"] = None
        sizes = {"classification": n_classes, "domain": 3, "modality": 3, "submodality": 10, "stain": 25}
        captions: dict[str, Any] = {}
        for name, value in values.items():
            for phrasing in (0, 1):
                if value is None:
                    captions[f"{name}_{phrasing}"] = None
                    continue
                stem = value.rpartition(" ")[0]
                options = [f"{phrasing}: an image of {stem} {other}" for other in range(sizes[name])]
                options = [*np.roll(options, number), f"{phrasing}: none of the above"]
                answer = options.index(f"{phrasing}: an image of {value}")
                captions[f"{name}_{phrasing}"] = {"options": options, "answer_idx": answer}
        row = {"image_id": f"{dataset}-{number}", "dataset": dataset, "label_name": label, "captions": captions}
        data = {"bytes": picture(number), "path": None}
        rows.append({**row, "image": data, **{name: values[name] for name in _NAMES[1:]}})
    return rows


_WRITE: dict[type, Callable[..., None]] = {
    Folders: _folders,
    Table: _table,
    Npz: _npz,
    Hdf5: _hdf5,
    Coco: _coco,
    WebDataset: _web,
    Hub: _hub,
}
