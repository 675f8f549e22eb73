"""Embedding: CPU tasks decode and preprocess units, GPU actors embed and commit them, both at the same time.

A row is a unit. Its images travel from a task to an actor once, as pixels of the model's input size: at 224 pixels and
a thousand figures 150 MB, an eighth of what was read.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from functools import partial
from typing import Any

import ray
import ray.data

from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.annotate.decoding import preprocess_unit
from biomedica_ray.annotate.earlier_vectors import EarlierVectors
from biomedica_ray.annotate.embed_actor import EMBEDDED_BEFORE, VERSION, EmbedActor, encoder_mark, load
from biomedica_ray.annotate.vectors import TABLES, Kind, embed_stage, model_slug
from biomedica_ray.cluster import (
    RETRIES,
    Actors,
    Records,
    cluster_resource,
    collect_units,
    missing_units,
    on_a_worker,
    retries_allowed,
    unit_rows,
)
from biomedica_ray.models.encoder_info import EncoderInfo
from biomedica_ray.models.weights import weights_mark
from biomedica_ray.runs import Run
from biomedica_ray.store import Commit, Store, StoreError
from biomedica_ray.units import fingerprint

DECODE_GB = 1.5
"""Memory of a task that decodes: one large image, a row group, a unit's pixels, and the model's library."""
_PANELS_GB = 0.5
"""What it takes more of panels, of which a unit has up to twice as many as figures."""


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


def found_panels(store: Store, extracted: Mapping[int, Commit]) -> dict[int, Commit]:
    """The commits of the panels of all units.

    Raises:
        StoreError: Some have none.
    """
    panelled = store.commits("panels")
    if missing := extracted.keys() - panelled.keys():
        n = len(extracted)
        raise StoreError(f"panels: {len(missing)} of {n} units have no panels; run `biomedica panels` first")
    return {unit: panelled[unit] for unit in extracted}


def plan_panels(
    config: AnnotateConfig, extracted: Mapping[int, Commit], panelled: Mapping[int, Commit], info: EncoderInfo
) -> dict[int, str]:
    """Unit -> fingerprint of its panels' embeddings."""
    settings = VERSION, info.to_json(), config.panels_min_confidence
    return {unit: fingerprint(settings, extracted[unit].written, found.written) for unit, found in panelled.items()}


def embed_panels(
    config: AnnotateConfig,
    record: Run,
    extracted: Mapping[int, Commit],
    panelled: Mapping[int, Commit],
    info: EncoderInfo,
) -> dict[int, Commit]:
    """Embed the panels that may be samples of their own; as :func:`embed_units`, with the commits of the panels."""
    units = plan_panels(config, extracted, panelled, info)
    return embed_units(config, record, {"extract": extracted, "panels": panelled}, units, info, kind="panels")


def embed_units(
    config: AnnotateConfig,
    record: Run,
    inputs: Records,
    units: Mapping[int, str],
    info: EncoderInfo,
    *,
    kind: Kind = "figures",
) -> dict[int, Commit]:
    """Embed what is missing of the units, and drop the embeddings of units that no longer exist.

    Args:
        config: Its config.
        record: The run; counts of all units, done now or before, are added to it.
        inputs: The commits of the figures (extract), and where these are embedded of the panels.
        units: Unit -> fingerprint, of figures that from :func:`plan`.
        info: The encoder, from :func:`plan`.
        kind: What is embedded.

    Returns:
        The commits of the embeddings of all units, in order.

    Raises:
        UnitsFailedError: Units failed, after all others have been done.
    """
    stage = embed_stage(config.model, kind)
    todo, done, before = missing_units(record, stage, units)
    if not todo:
        return done
    known = dict(inputs)
    if before is not None:
        known[stage] = before
    gpus = gpus_of(config)
    first = room(config.num_cpus, gpus)
    most = min(config.max_actors or (len(todo) if gpus else first), len(todo))
    decode_gb = DECODE_GB + (_PANELS_GB if kind == "panels" else 0)
    # An actor that takes the only CPU must not lock out what it waits for.
    decode_cpus = 0 if 0 < cluster_resource("CPU") <= config.num_cpus else 1
    earlier = EarlierVectors.find(
        encoder_mark(info), record.store, inputs["extract"], before or {}, todo, table=TABLES[kind]
    )
    decode_task = partial(
        preprocess_unit,
        store=record.store,
        preprocessing=info.preprocessing,
        earlier=earlier,
        panels_from=config.panels_min_confidence if kind == "panels" else None,
    )

    def decoded(these: list[int]) -> ray.data.Dataset:
        with retries_allowed():
            return unit_rows(record.store, units, these, known=known).map(
                decode_task, num_cpus=decode_cpus, memory=int(decode_gb * 2**30), max_retries=RETRIES
            )

    actors = Actors(
        EmbedActor,
        (config, info, record.units_of, stage, kind),
        ray.data.ActorPoolStrategy(min_size=min(first, most), max_size=most),
        num_cpus=config.num_cpus,
        num_gpus=gpus,
        memory_gb=config.memory_gb,
    )
    made = collect_units(record, stage, todo, decoded, do=actors.map, do_apart=actors.map_apart)
    record.results["embedded_before" if kind == "figures" else "panels_embedded_before"] = sum(
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
