"""Embedding: CPU tasks decode and preprocess units, GPU actors embed and commit them, both at the same time.

A row is a unit. Its images travel from a task to an actor once, as pixels of the model's input size: at 224 pixels and
a thousand figures 150 MB, an eighth of what was read.
"""

from __future__ import annotations

import importlib.metadata
import json
import traceback
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import ray
import ray.data

from biomedica_ray import schema, usage
from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.annotate.embed_actor import EmbedActor, load
from biomedica_ray.annotate.vectors import embed_stage, model_slug
from biomedica_ray.cluster import (
    RETRIES,
    Actors,
    Row,
    cluster_resource,
    collect_units,
    missing_units,
    on_a_worker,
    retries_allowed,
    unit_rows,
)
from biomedica_ray.images import ImageError, decode
from biomedica_ray.models.encoder_info import EncoderInfo, Preprocessing
from biomedica_ray.models.weights import weights_mark
from biomedica_ray.runs import Run
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import fingerprint

VERSION = 4
"""Raise it when the same input would give other rows."""

DECODE_GB = 1.5
"""Memory of a task that decodes: one large image, a row group, a unit's pixels, and the model's library."""


def plan(config: AnnotateConfig, store: Store, extracted: Mapping[int, Commit]) -> tuple[EncoderInfo, dict[int, str]]:
    """The encoder, and the fingerprint of each unit.

    The encoder is loaded only where there is something to embed or it may be another one than last time; what it was is
    recorded in ``encoders/<model>.json``.

    Raises:
        ConfigError: As in :func:`~biomedica_ray.models.encoders.load_encoder`.
    """
    path = f"encoders/{model_slug(config.model)}.json"
    asked = _asked(config)
    if info := _recorded(store, path, asked):
        units = _fingerprints(info, extracted)
        embedded = store.commits(embed_stage(config.model))
        if units == {unit: commit.fingerprint for unit, commit in embedded.items() if commit.complete}:
            return info, units
    info = on_a_worker(partial(_describe, config), num_cpus=config.num_cpus, memory_gb=config.memory_gb)
    store.write_json(path, {"asked": asked, "encoder": info.to_json()})
    return info, _fingerprints(info, extracted)


def _asked(config: AnnotateConfig) -> dict[str, Any]:
    """What determines which encoder is loaded; weights are null where they cannot be seen from here."""
    libraries = {name: importlib.metadata.version(name) for name in ("timm", "open_clip_torch")}
    weights = weights_mark(config.weights, config.endpoint_url)
    return {"model": config.model, "image_size": config.image_size, "weights": weights, "libraries": libraries}


def _recorded(store: Store, path: str, asked: Mapping[str, Any]) -> EncoderInfo | None:
    """The encoder of an earlier run, if it is certainly the one that would be loaded now."""
    try:
        found = store.read_json(path)
    except FileNotFoundError:
        return None
    return EncoderInfo.from_json(found["encoder"]) if asked["weights"] and found["asked"] == asked else None


def _fingerprints(info: EncoderInfo, extracted: Mapping[int, Commit]) -> dict[int, str]:
    return {unit: fingerprint([VERSION, info.to_json()], commit.written) for unit, commit in extracted.items()}


def _describe(config: AnnotateConfig) -> EncoderInfo:
    return load(config).info


def embed_units(config: AnnotateConfig, record: Run, units: Mapping[int, str], info: EncoderInfo) -> None:
    """Embed the figures of the units that are missing, and drop those of units that no longer exist.

    Args:
        config: Its config.
        record: The run; counts of all units, done now or before, are added to it.
        units: Unit -> fingerprint, from :func:`plan`.
        info: The encoder, from :func:`plan`.

    Raises:
        UnitsFailedError: Units failed, after all others have been done.
    """
    stage = embed_stage(config.model)
    todo = missing_units(record, stage, units)
    if not todo:
        return
    gpus = config.num_gpus
    if gpus is None:
        gpus = 1.0 if cluster_resource("GPU") >= 1 else 0.0
    room = _room(config.num_cpus, gpus)
    most = min(config.max_actors or (len(todo) if gpus else room), len(todo))
    # An actor that takes the only CPU must not lock out what it waits for.
    decode_cpus = 0 if 0 < cluster_resource("CPU") <= config.num_cpus else 1
    decode_task = partial(preprocess_unit, store=record.store, preprocessing=info.preprocessing)

    def decoded(these: list[int]) -> ray.data.Dataset:
        with retries_allowed():
            return unit_rows(units, these).map(
                decode_task, num_cpus=decode_cpus, memory=int(DECODE_GB * 2**30), max_retries=RETRIES
            )

    actors = Actors(
        EmbedActor,
        (config, info, record.units_of, stage),
        ray.data.ActorPoolStrategy(min_size=min(room, most), max_size=most),
        num_cpus=config.num_cpus,
        num_gpus=gpus,
        memory_gb=config.memory_gb,
    )
    collect_units(record, stage, todo, decoded, do=actors.map, do_apart=actors.map_apart)


def _room(num_cpus: float, num_gpus: float) -> int:
    """Actors to begin with: one for each GPU, or on half of the CPUs, the others being for decoding."""
    if num_gpus:
        return int(max(1, cluster_resource("GPU") // num_gpus))
    return int(max(1, cluster_resource("CPU") / 2 // num_cpus))


def preprocess_unit(row: Row, store: Store, preprocessing: Preprocessing) -> Row:
    """Decode the figures of one unit, row group by row group.

    Args:
        row: unit, fingerprint.
        store: Where the figures are.
        preprocessing: Of the encoder.

    Returns:
        The row with pixels (n, H, W, 3) uint8, and as JSON the n figure_ids, the error rows of figures that do not
        decode, and how many figures the unit has by its commit; or with the reason of the unit's failure. And what it
        took, as JSON.
    """
    pixels = np.empty((0, *preprocessing.size, 3), np.uint8)
    figures: dict[str, Any] = {"ids": [], "errors": [], "rows_in": 0}
    failure = ""
    try:
        commit = store.commit("extract", row["unit"])
        figures["rows_in"] = commit.counts["figures"].rows_out
        pixels = np.empty((figures["rows_in"], *preprocessing.size, 3), np.uint8)
        transform = preprocessing.transform()
        for batch in store.batches(commit, "figures", ["figure_id", "image"], batch_size=16):
            for figure_id, data in zip(*map(batch.column, range(2)), strict=True):
                try:
                    image = decode(data.as_py())
                except ImageError as error:
                    figures["errors"].append(schema.error_row("embed", figure_id.as_py(), error.kind, str(error)))
                    continue
                pixels[len(figures["ids"])] = transform(image)
                figures["ids"].append(figure_id.as_py())
    except Exception:  # noqa: BLE001 - whatever goes wrong in one unit, the others go on and the driver tells
        failure = traceback.format_exc()
    told = {"figures": json.dumps(figures), "failure": failure, "usage": json.dumps(usage.take_work())}
    return {**row, "pixels": pixels[: len(figures["ids"])], **told}
