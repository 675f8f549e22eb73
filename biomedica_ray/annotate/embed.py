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
import numpy.typing as npt
import ray
import ray.data

from biomedica_ray import schema, usage
from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.annotate.earlier_vectors import EarlierVectors
from biomedica_ray.annotate.embed_actor import EMBEDDED_BEFORE, VERSION, EmbedActor, encoder_mark, load
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
from biomedica_ray.store.known import knowing
from biomedica_ray.units import fingerprint, pmcid_of

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


def embed_units(
    config: AnnotateConfig, record: Run, extracted: Mapping[int, Commit], units: Mapping[int, str], info: EncoderInfo
) -> dict[int, Commit]:
    """Embed the figures of the units that are missing, and drop those of units that no longer exist.

    Args:
        config: Its config.
        record: The run; counts of all units, done now or before, are added to it.
        extracted: The commits of the figures.
        units: Unit -> fingerprint, from :func:`plan`.
        info: The encoder, from :func:`plan`.

    Returns:
        The commits of the embeddings of all units, in order.

    Raises:
        UnitsFailedError: Units failed, after all others have been done.
    """
    stage = embed_stage(config.model)
    todo, done, before = missing_units(record, stage, units)
    if not todo:
        return done
    known: dict[str, Mapping[int, Commit]] = {"extract": extracted}
    if before is not None:
        known[stage] = before
    gpus = gpus_of(config)
    first = room(config.num_cpus, gpus)
    most = min(config.max_actors or (len(todo) if gpus else first), len(todo))
    # An actor that takes the only CPU must not lock out what it waits for.
    decode_cpus = 0 if 0 < cluster_resource("CPU") <= config.num_cpus else 1
    earlier = EarlierVectors.find(encoder_mark(info), record.store, extracted, before or {}, todo)
    decode_task = partial(preprocess_unit, store=record.store, preprocessing=info.preprocessing, earlier=earlier)

    def decoded(these: list[int]) -> ray.data.Dataset:
        with retries_allowed():
            return unit_rows(record.store, units, these, known=known).map(
                decode_task, num_cpus=decode_cpus, memory=int(DECODE_GB * 2**30), max_retries=RETRIES
            )

    actors = Actors(
        EmbedActor,
        (config, info, record.units_of, stage),
        ray.data.ActorPoolStrategy(min_size=min(first, most), max_size=most),
        num_cpus=config.num_cpus,
        num_gpus=gpus,
        memory_gb=config.memory_gb,
    )
    made = collect_units(record, stage, todo, decoded, do=actors.map, do_apart=actors.map_apart)
    record.results["embedded_before"] = sum(
        sum((commit.reasons or {}).get(EMBEDDED_BEFORE, {}).values()) for commit in made.values()
    )
    return dict(sorted({**done, **made}.items()))


def gpus_of(config: AnnotateConfig) -> float:
    """GPUs of one embedding worker."""
    if config.num_gpus is not None:
        return config.num_gpus
    return 1.0 if cluster_resource("GPU") >= 1 else 0.0


def room(num_cpus: float, num_gpus: float) -> int:
    """Actors to begin with: one for each GPU, or on half of the CPUs, the others being for decoding."""
    if num_gpus:
        return int(max(1, cluster_resource("GPU") // num_gpus))
    return int(max(1, cluster_resource("CPU") / 2 // num_cpus))


def preprocess_unit(row: Row, store: Store, preprocessing: Preprocessing, earlier: EarlierVectors) -> Row:
    """Decode the figures of one unit that have no vector yet, row group by row group.

    Args:
        row: A row of :func:`~biomedica_ray.cluster.unit_rows`.
        store: Where the figures are.
        preprocessing: Of the encoder.
        earlier: Vectors that were made before.

    Returns:
        The row with pixels (n, H, W, 3) uint8 and vectors (m, dim) float16; as JSON the n + m figure_ids in order, the
        SHA-256 of their images, which of them have a vector (m numbers), the error rows of figures that do not decode,
        and how many figures the unit has by its commit; or with the reason of the unit's failure. And what it took, as
        JSON.
    """
    pixels = np.empty((0, *preprocessing.size, 3), np.uint8)
    figures: dict[str, Any] = {"ids": [], "sha256": [], "earlier": [], "errors": [], "rows_in": 0}
    vectors: list[npt.NDArray[np.float16]] = []
    n_pixels, failure = 0, ""
    try:
        with knowing(row["records"]):
            commit = store.commit("extract", row["unit"])
        figures["rows_in"] = commit.counts["figures"].rows_out
        slim = store.read(commit, "figures", ["figure_id", "article_id", "sha256"], row="row").to_pylist()
        known = earlier.of(
            store, {pmcid_of(figure["article_id"]) for figure in slim}, [figure["sha256"] for figure in slim]
        )
        new = [figure["row"] for figure in slim if figure["sha256"] not in known]
        pixels = np.empty((len(new), *preprocessing.size, 3), np.uint8)
        transform = preprocessing.transform()
        images = store.rows(commit, "figures", new, ["image"])
        for figure in slim:
            if (vector := known.get(figure["sha256"])) is not None:
                figures["earlier"].append(len(figures["ids"]))
                vectors.append(vector)
            else:
                try:
                    pixels[n_pixels] = transform(decode(next(images)["image"]))
                except ImageError as error:
                    figures["errors"].append(schema.error_row("embed", figure["figure_id"], error.kind, str(error)))
                    continue
                n_pixels += 1
            figures["ids"].append(figure["figure_id"])
            figures["sha256"].append(figure["sha256"])
    except Exception:  # noqa: BLE001 - whatever goes wrong in one unit, the others go on and the driver tells
        failure = traceback.format_exc()
    made = {
        "pixels": pixels[:n_pixels],
        "vectors": np.array(vectors, np.float16).reshape(len(vectors), -1 if vectors else 0),
    }
    told = {"figures": json.dumps(figures), "failure": failure, "usage": json.dumps(usage.take_work())}
    return {**row, **made, **told}
