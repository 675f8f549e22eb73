"""Embedding: CPU tasks decode and preprocess units, GPU actors embed and commit them, both at the same time.

A row is a unit. Its images travel from a task to an actor once, as pixels of the model's input size: at 224 pixels and
a thousand figures 150 MB, an eighth of what was read.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
import ray.data
import torch

from biomedica_ray import schema
from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.annotate.vectors import model_slug
from biomedica_ray.cluster import (
    RETRIES,
    Actors,
    Row,
    cluster_resource,
    collect_units,
    missing_units,
    on_a_worker,
    retries_allowed,
    unit_row,
    unit_rows,
)
from biomedica_ray.images import ImageError, decode
from biomedica_ray.images.panels import split_figure
from biomedica_ray.models.encoders import Encoder, EncoderInfo, Pixels, Preprocessing, is_out_of_memory, load_encoder
from biomedica_ray.models.weights import local_weights
from biomedica_ray.runs import Run
from biomedica_ray.store import Store
from biomedica_ray.units import Counts, Flow

log = logging.getLogger(__name__)

VERSION = 3
"""Raise it when the same input would give other rows."""

DECODE_GB = 1.0
"""Memory of a task that decodes: one large image, a row group, and a unit's pixels."""


def describe(config: AnnotateConfig) -> EncoderInfo:
    """Load the encoder once, on a worker, to know what it is and that it can be had.

    Raises:
        ConfigError: As in :func:`load_encoder`.
    """
    return on_a_worker(partial(_describe, config), num_cpus=config.num_cpus, memory_gb=config.memory_gb)


def _describe(config: AnnotateConfig) -> EncoderInfo:
    return _load(config).info


def _load(config: AnnotateConfig) -> Encoder:
    with local_weights(config.weights, config.endpoint_url) as weights:
        return load_encoder(config.model, weights, config.image_size)


def embed_units(config: AnnotateConfig, run: Run, stage: str, units: Mapping[int, str], info: EncoderInfo) -> None:
    """Embed the figures of the units that are missing, and drop those of units that are no more.

    Args:
        config: Its config.
        run: The run; counts of all units, done now or before, are added to it.
        stage: Name under which units are committed.
        units: Unit -> fingerprint.
        info: The encoder, from :func:`describe`.

    Raises:
        UnitsFailedError: Units failed, after all others have been done.
    """
    todo = missing_units(run, stage, units)
    if not todo:
        return
    gpus = config.num_gpus
    if gpus is None:
        gpus = 1.0 if cluster_resource("GPU") >= 1 else 0.0
    room = _room(config.num_cpus, gpus)
    most = min(config.max_actors or (len(todo) if gpus else room), len(todo))
    # An actor that takes the only CPU must not lock out what it waits for.
    decode_cpus = 0 if 0 < cluster_resource("CPU") <= config.num_cpus else 1
    decode_task = partial(preprocess_unit, store=run.store, preprocessing=info.preprocessing, panels=config.panels)

    def decoded(these: list[int]) -> ray.data.Dataset:
        with retries_allowed():
            return unit_rows(units, these).map(
                decode_task, num_cpus=decode_cpus, memory=int(DECODE_GB * 2**30), max_retries=RETRIES
            )

    actors = Actors(
        EmbedActor,
        (config, info, run.store, stage, run.run_id),
        ray.data.ActorPoolStrategy(min_size=min(room, most), max_size=most),
        num_cpus=config.num_cpus,
        num_gpus=gpus,
        memory_gb=config.memory_gb,
    )
    collect_units(run, stage, todo, decoded, do=actors.map, do_apart=actors.map_apart)


def _room(num_cpus: float, num_gpus: float) -> int:
    """Actors to begin with: one for each GPU, or on half of the CPUs, the others being for decoding."""
    if num_gpus:
        return int(max(1, cluster_resource("GPU") // num_gpus))
    return int(max(1, cluster_resource("CPU") / 2 // num_cpus))


def preprocess_unit(row: Row, store: Store, preprocessing: Preprocessing, panels: bool) -> Row:
    """Decode the figures of one unit, row group by row group.

    Args:
        row: unit, fingerprint.
        store: Where the figures are.
        preprocessing: Of the encoder.
        panels: Whether to find the panels of figures as well.

    Returns:
        The row with pixels (n, H, W, 3) uint8, and as JSON the n figure_ids, the error rows of figures that do not
        decode and rows of the table panels; or with the reason of the unit's failure.
    """
    pixels = np.empty((0, *preprocessing.size, 3), np.uint8)
    figures: dict[str, list[Any]] = {"ids": [], "errors": [], "panels": []}
    failure = ""
    try:
        commit = store.commit("extract", row["unit"])
        pixels = np.empty((commit.counts["figures"].rows_out, *preprocessing.size, 3), np.uint8)
        transform = preprocessing.transform()
        for batch in store.batches(commit, "figures", ["figure_id", "panels", "image"], batch_size=16):
            for figure_id, in_caption, data in zip(*map(batch.column, range(3)), strict=True):
                try:
                    image = decode(data.as_py())
                except ImageError as error:
                    figures["errors"].append(_error(figure_id.as_py(), error.kind, str(error)))
                    continue
                pixels[len(figures["ids"])] = transform(image)
                figures["ids"].append(figure_id.as_py())
                if panels:
                    labels = [panel["label"] for panel in in_caption.as_py()]
                    figures["panels"].append(panel_row(figure_id.as_py(), np.asarray(image), labels))
    except Exception:  # noqa: BLE001 - whatever goes wrong in one unit, the others go on and the driver tells
        failure = traceback.format_exc()
    return {**row, "pixels": pixels[: len(figures["ids"])], "figures": json.dumps(figures), "failure": failure}


def panel_row(figure_id: str, rgb: Pixels, labels: list[str]) -> Row:
    """A row of the panels table.

    Args:
        figure_id: The figure.
        rgb: Its pixels (height, width, 3).
        labels: The labels of its caption's parts, each of one panel or of several: A, or C, D.
    """
    named = panel_names(labels)
    boxes = split_figure(rgb, len(named))
    names = named if len(named) == len(boxes) else [None] * len(boxes)
    return {
        "figure_id": figure_id,
        "panel_type": "multiple" if len(boxes) > 1 else "single",
        "n_panels": len(boxes),
        "least_confidence": min(box.confidence for box in boxes),
        "caption_panels": len(named),
        "panel_boxes": [{"label": name, **box._asdict()} for name, box in zip(names, boxes, strict=True)],
    }


def panel_names(labels: Iterable[str]) -> list[str]:
    """The panels that a caption's parts name, each once: in the order of letters and digits, words as they come.

    A caption may speak of panels together (A, C) before it comes to the one between them; panels stand in order.
    """
    names = list(dict.fromkeys(name for label in labels for name in label.split(", ")))
    return sorted(names) if all(len(name) == 1 for name in names) else names


class EmbedActor:
    """Embeds and commits units, on a GPU where it has been given one."""

    def __init__(self, config: AnnotateConfig, info: EncoderInfo, store: Store, stage: str, run_id: str) -> None:
        torch.set_num_threads(max(1, int(config.num_cpus)))
        encoder = _load(config).to(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
        self._encoder = encoder.compiled() if config.compile else encoder
        self._batch_size = config.batch_size
        self._config, self._info = config, info
        self._store, self._stage, self._run_id = store, stage, run_id

    def __call__(self, row: Row) -> Row:
        """A row of :func:`preprocess_unit` to one of :func:`collect_units`."""
        if row["failure"]:
            return {"unit": row["unit"], "counts": "{}", "failure": row["failure"]}
        return unit_row(row["unit"], lambda: self._commit(row))

    def _commit(self, row: Row) -> Counts:
        if self._encoder.info != self._info:
            raise RuntimeError(f"weights: {self._config.weights}: not the same on all nodes")
        figures = json.loads(row["figures"])
        vectors, self._batch_size = embed_all(self._encoder, row["pixels"], self._batch_size)
        whole = np.logical_and.reduce(np.isfinite(vectors), axis=1)
        ids = np.array(figures["ids"], object)
        errors = figures["errors"] + [
            _error(figure_id, "bad-embedding", "the model gave numbers that are not finite")
            for figure_id in ids[~whole]
        ]
        flow = Flow(len(ids) + len(figures["errors"]), int(whole.sum()), len(errors))
        slug = model_slug(self._info.model)
        with self._store.write_unit(self._stage, row["unit"], row["fingerprint"], self._run_id) as writer:
            table = embeddings_table(ids[whole].tolist(), vectors[whole], self._info, self._config.weights)
            writer.table("embeddings", table.schema, directory=f"embeddings/{slug}").write(table)
            writer.table("errors", schema.ERRORS, directory=f"errors/embed/{slug}").write(errors)
            if self._config.panels:
                writer.table("panels", schema.PANELS, directory=f"panels/{slug}").write(figures["panels"])
            writer.commit({"figures": flow})
        return {"figures": flow}


def embed_all(encoder: Encoder, pixels: Pixels, batch_size: int) -> tuple[npt.NDArray[np.float16], int]:
    """Vectors (n, dim) of preprocessed images (n, H, W, 3), and the size of batch for which memory sufficed.

    Args:
        encoder: The encoder.
        pixels: The images.
        batch_size: Most images a forward pass; halved as often as the model runs out of memory.

    Raises:
        RuntimeError: What the model raises, or memory does not suffice for one image.
    """
    vectors = np.empty((len(pixels), encoder.info.dim), np.float16)
    start = 0
    while start < len(pixels):
        batch = np.ascontiguousarray(pixels[start : start + batch_size])
        try:
            vectors[start : start + len(batch)] = encoder.embed(batch)
        except RuntimeError as error:
            if len(batch) == 1 or not is_out_of_memory(error):
                raise
            batch_size = len(batch) // 2
            log.warning("embed: not enough memory for %d images, going on with %d", len(batch), batch_size)
        else:
            start += len(batch)
    return vectors, batch_size


def embeddings_table(
    figure_ids: list[str], vectors: npt.NDArray[np.float16], info: EncoderInfo, weights: str | None
) -> pa.Table:
    """Rows of the embeddings table; model, weights and preprocessing stand in the schema's metadata.

    Args:
        figure_ids: n ids.
        vectors: (n, dim).
        info: The encoder.
        weights: Where its weights came from, as in the config.
    """
    metadata = {
        "model": info.model,
        "weights": weights or "",
        "weights_sha256": info.weights_sha256,
        "preprocessing": json.dumps(info.preprocessing.to_json()),
    }
    columns = [
        pa.array(figure_ids, pa.string()),
        pa.array([info.model] * len(figure_ids), pa.string()),
        pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), info.dim),
    ]
    return pa.table(columns, schema=schema.embeddings(info.dim).with_metadata(metadata))


def _error(figure_id: str, kind: str, message: str) -> Row:
    return schema.error_row("embed", figure_id, kind, message)
