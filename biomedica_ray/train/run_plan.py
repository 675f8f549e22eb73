"""What a training run will do, worked out and checked before any work starts."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biomedica_ray.config import OF_A_RUN, ConfigError
from biomedica_ray.config.wording import as_typed
from biomedica_ray.evaluate.validation import OneSet, Validation, find_validation, holds_out
from biomedica_ray.models.spec import ModelSpec, resolve_model
from biomedica_ray.models.variants import for_training
from biomedica_ray.reading.mixing import PERFECT, Shuffle, measure
from biomedica_ray.reading.mixture import Mixture, quotas
from biomedica_ray.reading.pairs import Pairs
from biomedica_ray.reading.place import Place
from biomedica_ray.reading.shards import Shard, Source
from biomedica_ray.reading.stream import Stream
from biomedica_ray.reading.texts import TextChoice, TextKind
from biomedica_ray.runs import Run
from biomedica_ray.store import Store
from biomedica_ray.train.checkpoints import Checkpoints
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.train.course import Course, doubts
from biomedica_ray.train.data import find_shards
from biomedica_ray.train.eval_tasks import EvalTask, choose_tasks
from biomedica_ray.train.trackers import check_trackers
from biomedica_ray.units import fingerprint

VERSION = 2
"""Changes when the same settings would train another model."""

_IRRELEVANT = {
    *OF_A_RUN,
    "data",
    "selection",
    "name",
    "use_gpu",
    "shard",
    "cpus_per_worker",
    "accumulate",
    "grad_checkpointing",
    "tf32",
    "dry_run",
    "gpu",
    "samples_per_s",
    "dollars_per_hour",
    "checkpoint_steps",
    "max_failures",
    "num_workers",
    "batch_size",
    "min_workers",
    "reader",
    "reader_cpus",
    "compile",
    "channels_last",
    "keep_last",
    "keep_best",
    "log_steps",
    "eval_steps",
    "eval_samples",
    "eval_tasks",
    "eval_data",
    "wandb",
    "mlflow",
}
"""Settings that may differ when a run is resumed: they change where and how fast it runs. Of workers and samples a
worker, the product may not change."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """Which model a run trains, and on what.

    Attributes:
        spec: The model.
        stream: The samples in their order.
        held_out: Samples on which retrieval is measured while training; None where that is not wanted.
        eval_tasks: Tasks on published sets that are measured then as well.
        settings: All that makes this run's model another than that of other settings.
        shuffle: How well the order is shuffled, of each of several data.
    """

    spec: ModelSpec
    stream: Stream | Mixture
    held_out: Validation | None
    eval_tasks: tuple[EvalTask, ...]
    settings: dict[str, Any]
    shuffle: tuple[Shuffle, ...]


def make_plan(config: TrainConfig, record: Run, checkpoints: Checkpoints) -> Plan:
    """What ``config`` asks for; a run that goes on must have the settings that it was started with. Writes nothing.

    Raises:
        ConfigError: The model, the settings or an evaluation task cannot be used, or the settings differ from those the
            run was started with.
        StoreError: There is no dataset, or it has fewer than 2 of the validation samples that are wanted.
    """
    data = _data(config, record)
    spec = for_training(
        _model(config, record.store),
        loss=config.loss,
        patch_dropout=config.patch_dropout,
        context_length=config.context_length,
    )
    check_trackers(config)
    held_out = _held_out(config, data)
    eval_tasks = choose_tasks(config)
    begun = _begun(checkpoints)
    # The order's lanes are as many as there were workers when the run began.
    lanes = (begun or {}).get("lanes", config.num_workers)
    stream = _order(config, data, lanes)
    settings = _settings(config, spec, data, lanes)
    _same_settings(checkpoints, begun, settings)
    log.info("train: %s", Course.of(config, stream))
    for doubt in doubts(config, stream):
        log.warning("train: %s", doubt)
    return Plan(spec, stream, held_out, eval_tasks, settings, _shuffle(stream))


def _model(config: TrainConfig, store: Store) -> ModelSpec:
    """The model that a config names, or that of the run that it continues."""
    if config.continues is None:
        return resolve_model(config.model, config.pretrained, config.endpoint_url)
    begun = _begun(Checkpoints(store, config.continues))
    if begun is None:
        raise ConfigError(f"continues: {config.continues}: no run of this name has a checkpoint in {store.root}")
    spec = ModelSpec(**begun["model"])
    if "model" in config.model_fields_set and config.model != spec.name:
        raise ConfigError(f"model: {config.continues} trained {spec.name}; leave model out to continue it")
    if config.context_length not in {None, spec.context_length}:
        raise ConfigError(f"context_length: {config.continues} was trained with {spec.context_length} tokens")
    if config.loss != begun["loss"]:
        raise ConfigError(f"loss: {config.continues} was trained with {begun['loss']}, got {config.loss}")
    return spec


@dataclass(frozen=True)
class _Data:
    """One set of data, as the only one or one of several."""

    source: Source | Pairs
    shards: tuple[Shard, ...]
    texts: Mapping[TextKind, float]
    weight: float = 1


def _order(config: TrainConfig, data: Sequence[_Data], lanes: int) -> Stream | Mixture:
    """The order of the samples; a step has as many, however many lanes there are."""
    batch_size = config.num_workers * config.batch_size // lanes
    sizes = quotas(batch_size, [each.weight for each in data])
    streams = [_stream(config, each, lanes, size) for each, size in zip(data, sizes, strict=True)]
    if len(streams) == 1:
        order: Stream | Mixture = streams[0]
    else:
        for each, stream, size in zip(data, streams, sizes, strict=True):
            _check_share(each, stream, size, batch_size)
        order = Mixture(tuple(streams), tuple(TextChoice(each.texts, config.long_text) for each in data))
    for workers in range(config.min_workers or config.num_workers, config.num_workers + 1):
        if order.step_samples % workers:
            raise ConfigError(
                f"num_workers: {workers}: expected a divisor of the {order.step_samples} samples of a step"
            )
    return order


def _stream(config: TrainConfig, data: _Data, lanes: int, batch_size: int) -> Stream:
    metadata = TextChoice(data.texts, config.long_text).needs_metadata
    held_out = 0 if isinstance(data.source, Store) else config.validation_fraction
    how = (lanes, batch_size, config.seed, config.shuffle_buffer, metadata, held_out)
    stream = Stream(data.source, data.shards, *how)
    if stream.n_samples < lanes:
        groups = ", ".join(config.license_groups)
        raise ConfigError(
            f"data: {data.source.root}: {stream.n_samples} training samples of {groups}; expected at least one per "
            "worker"
        )
    return stream


def _check_share(data: _Data, stream: Stream, size: int, batch_size: int) -> None:
    """Raise ConfigError where a step cannot have the share of samples that a weight says."""
    if size == 0:
        raise ConfigError(f"data: {data.source.root}: its weight is no sample of the {batch_size} of a lane in a step")
    if stream.length < size:
        raise ConfigError(
            f"data: {data.source.root}: {stream.n_samples} samples are fewer than the {size * stream.lanes} that a "
            "step takes of it"
        )
    log.info("train: %s: %d of %d samples of a step", data.source.root, size * stream.lanes, batch_size * stream.lanes)


def _shuffle(order: Stream | Mixture) -> tuple[Shuffle, ...]:
    found = []
    for stream in order.streams if isinstance(order, Mixture) else [order]:
        sizes = [shard.samples for shard in stream.shards]
        shuffle = measure(sizes, stream.lanes, stream.piece, seed=stream.seed, buffer=stream.buffer)
        log.info(
            "train: shuffle: samples are on average %.3f of the data away from their place in it (perfect: %.3f), and "
            "come from %.1f shards per lane and step (perfect: %.1f)",
            shuffle.distance,
            PERFECT,
            shuffle.shards,
            shuffle.perfect_shards,
        )
        found.append(shuffle)
    return tuple(found)


def _begun(checkpoints: Checkpoints) -> dict[str, Any] | None:
    """The settings that the run was started with; None as long as it has no checkpoint."""
    if checkpoints.latest() is None:
        return None
    settings: dict[str, Any] = checkpoints.store.read_json(checkpoints.path("training.json"))
    return settings


def _data(config: TrainConfig, record: Run) -> list[_Data]:
    groups = config.license_groups
    if config.mixed:
        data = [
            _Data(
                *find_shards(each.uri, record, config.endpoint_url, groups),
                config.texts if each.texts is None else each.texts,
                each.weight,
            )
            for each in config.mixed
        ]
    else:
        dataset = record.store.uri(Place(config.selection).folder("dataset"))
        found = find_shards(config.uris or dataset, record, config.endpoint_url, groups, named=bool(config.data))
        data = [_Data(*found, config.texts)]
    for each in data:
        _check_panels(each)
    return data


def _check_panels(data: _Data) -> None:
    """Fail where the words of panels are wanted of a dataset that holds none but whole figures."""
    if not isinstance(data.source, Store) or not data.texts.get("panel"):
        return
    if data.source.read_json("dataset.json").get("pairs", "figures") == "figures":
        raise ConfigError(
            f"texts: panel: {data.source.root} holds whole figures; run `biomedica serialize --pairs both`, or take "
            "part, the part of a caption about one panel, with the whole figure"
        )


def _held_out(config: TrainConfig, data: Sequence[_Data]) -> Validation | None:
    """The validation samples that are wanted while training; raises StoreError where there are fewer than 2."""
    if config.validation_fraction and all(isinstance(each.source, Store) for each in data):
        raise ConfigError("validation_fraction: a dataset has a validation split of its own; leave it out")
    if config.eval_steps is None:
        return None
    if (
        config.eval_tasks
        and not config.keep_best
        and not any(holds_out(each.source, config.validation_fraction) for each in data)
    ):
        log.info("train: nothing is held out; only eval_tasks are measured")
        return None
    if not config.validation_fraction and not any(isinstance(each.source, Store) for each in data):
        raise ConfigError(
            "eval_steps: samples without a dataset.json have no validation split; set validation_fraction, or leave it "
            "out"
        )
    sets = [OneSet(each.source, each.shards, each.weight) for each in data]
    found = find_validation(sets, config.validation_fraction, config.eval_samples)
    if config.keep_best and found.size <= int(config.keep_best.rpartition("@")[2]):
        raise ConfigError(f"keep_best: {found.size} held-out samples are too few for {config.keep_best}")
    return found


def _settings(config: TrainConfig, spec: ModelSpec, data: Sequence[_Data], lanes: int) -> dict[str, Any]:
    contents = [fingerprint(sorted((shard.path, shard.content) for shard in each.shards)) for each in data]
    mixed = [{"weight": each.weight, "texts": dict(each.texts)} for each in data]
    return {
        **config.model_dump(mode="json", exclude=_IRRELEVANT),
        "model": spec.to_json(),
        "data": fingerprint(contents) if config.mixed else contents[0],
        **({"mixed": mixed} if config.mixed else {}),
        "num_workers x batch_size": config.num_workers * config.batch_size,
        "lanes": lanes,
        "version": VERSION,
    }


def _same_settings(checkpoints: Checkpoints, begun: dict[str, Any] | None, settings: dict[str, Any]) -> None:
    """Compare with the settings that the run was started with."""
    if begun is None:
        return
    # A key that came with a later version has its default in a run that was begun before.
    before = {name: field.default for name, field in TrainConfig.model_fields.items() if name in settings} | begun
    if changed := list(_changes(before, settings)):
        raise ConfigError(
            f"name: {checkpoints.store.uri(checkpoints.path())} was begun with other settings: {'; '.join(changed)}; "
            f"choose another name (--continues {checkpoints.name} begins with its last checkpoint), or restore them"
        )


def _changes(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """What differs between settings, as in ``lr (was 0.001, is 0.002)``."""
    for key in sorted(before.keys() | now.keys()):
        was, is_now = before.get(key), now.get(key)
        if isinstance(was, dict) and isinstance(is_now, dict):
            yield from _changes(was, is_now, f"{prefix}{key}.")
        elif was != is_now:
            shown = " (other samples)" if key == "data" else f" (was {as_typed(was)}, is {as_typed(is_now)})"
            yield f"{prefix}{key}{shown}"
