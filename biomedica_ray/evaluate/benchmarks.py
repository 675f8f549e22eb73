"""The evaluate stage on published sets: which of them are there, every model's vectors, and the scores of all tasks."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from biomedica_ray.cluster import StageFailedError, on_a_worker
from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate import dry_run, features, page, results, tables
from biomedica_ray.evaluate.comparisons import Paired, against
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.evaluate.mistakes import Shown
from biomedica_ray.evaluate.preparing import Images, Prepared, Texts, prepare
from biomedica_ray.evaluate.published import beside
from biomedica_ray.evaluate.scored import Scored, score_model
from biomedica_ray.evaluate.task_files import packaged
from biomedica_ray.models.leak_check import note_check
from biomedica_ray.models.names import ModelName
from biomedica_ray.models.trained import TrainedModel
from biomedica_ray.runs import Run
from biomedica_ray.store.root import Root

if TYPE_CHECKING:
    from biomedica_ray.dedupe.leaks import Searched
    from biomedica_ray.evaluate.leakage import Leakage

log = logging.getLogger(__name__)


def run(config: EvaluateConfig, record: Run) -> None:
    """Score models on the tasks whose sets are below ``config.data``; writes ``evaluations/<into>/``.

    What is missing is listed, with where to get it. Vectors that the store has of the same model and content are not
    made again.

    Raises:
        ConfigError: A task, a suite, a model or a file of prompts is not there or not right.
        StageFailedError: No set is there, or, when all others are done, the data of a task cannot be used, or a score
            fell by more than ``config.tolerance`` against ``config.compare``.
    """
    tasks = packaged()
    chosen = tasks.chosen(config.suite, config.tasks)
    models = [ModelName(name, record.store) for name in dict.fromkeys(config.models or [config.name])]
    marks = [model.mark() for model in models]
    searched = _searched(config) if config.decontaminate else None
    before = results.read(config.compare, config.endpoint_url) if config.compare else None
    if before is not None and not {model.text for model in models} & set(before["models"]):
        raise ConfigError(f"compare: {config.compare}: has none of these models, but {', '.join(before['models'])}")
    assert config.data is not None
    data = Root(config.data, config.endpoint_url)
    prepared = prepare(data, tasks, chosen, config.prompts, probe=config.probe or bool(config.shots))
    for name, what in prepared.missing.items():
        images = tasks.set_of(tasks.tasks[name])
        licence = images.licence or "licence not known"
        log.warning("evaluate: %s: not there: %s; from %s (%s)", name, what, images.get, licence)
    for name, why in prepared.wrong.items():
        log.error("evaluate: %s: %s", name, why)
    if not prepared.ready:
        reason = next(iter(prepared.wrong.values()), f"none of {len(chosen)} tasks has its set below {data.root}")
        raise StageFailedError(f"data: {reason}")
    sources: dict[int, Images | Texts] = {}
    for ready in prepared.ready.values():
        sources |= {id(ready.images): ready.images, id(ready.texts): ready.texts}
        sources |= {id(split.images): split.images for split in (ready.train, ready.validation) if split}
    if config.dry_run:
        _try(config, record, dict(zip(models, marks, strict=True)), list(sources.values()))
        _fail_if_wrong(prepared)
        return
    scored: dict[str, dict[str, Scored]] = {}
    tests: list[Paired] = []
    document: dict[str, Any] = {}
    place = f"evaluations/{config.title}"
    published = beside(config.suite, prepared.ready) if config.published else []
    leakage = _find_leaked(config, record, searched, prepared.ready, place) if searched else None
    leaked = leakage.rows if leakage else None
    for model, mark in zip(models, marks, strict=True):
        log.info("evaluate: %s on %d tasks", model.text, len(prepared.ready))
        features.encode(config, record, model, mark, list(sources.values()))
        work = partial(score_model, record.store, model, prepared.ready, config, leaked)
        scored[model.text] = on_a_worker(work, num_cpus=1, memory_gb=config.memory_gb)
        tests += against(model.text, scored)
        # After each model, so that the scores of others are there where the next one cannot be loaded.
        document = results.document(
            config.title, record.run_id, tasks, prepared, scored, tests=tests, published=published, leakage=leakage
        )
        record.store.write_json(f"{place}/results.json", document)
        files = tables.render(document) | {
            "results.html": page.render(document, _shown(scored), leakage.tasks if leakage else None)
        }
        for name, text in files.items():
            record.store.write_bytes(f"{place}/{name}", text.encode())
        if leakage and model.library == "checkpoint":
            checked = {name: (found.images, found.of) for name, found in leakage.tasks.items()}
            trained = TrainedModel(record.store, model.text)
            note_check(trained, leakage.store, checked, figures=leakage.figures, state=leakage.state)
    record.results.update(evaluation=record.store.uri(place), means=document["means"])
    log.info("evaluate: results in %s", record.store.uri(place))
    _fail_if_wrong(prepared)
    if before is not None:
        _compare(before, document, {task.id for task in chosen}, config.tolerance)


def _compare(before: dict[str, Any], now: dict[str, Any], asked: set[str], tolerance: float) -> None:
    """Say what has changed; raises StageFailedError where a score fell."""
    if other := results.left_out_otherwise(before, now):
        log.warning("evaluate: compare: other images than before are left out of %s", ", ".join(other))
    changes = results.changes(before, now, asked)
    for change in changes:
        log.info("evaluate: %s", change)
    if worse := [change for change in changes if change.now is None or change.fell > tolerance]:
        what = f"fell by more than {tolerance}, or are not there any more"
        raise StageFailedError(f"compare: {len(worse)} scores {what}: {worse[0]}")


def _try(config: EvaluateConfig, record: Run, models: dict[ModelName, str], sources: list[Images | Texts]) -> None:
    """What a dry run does with each model, whose marks are given."""
    for model, mark in models.items():
        found = features.missing(record, model, mark, sources)
        workers = features.workers(config, -(-(found["images"] + found["texts"]) // features.ROWS))
        work = partial(dry_run.try_on_sets, model, sources)
        tried = on_a_worker(work, num_cpus=config.num_cpus, memory_gb=config.memory_gb)
        dry_run.tell(config, record, model.text, found=found, workers=workers, tried=tried)


def _fail_if_wrong(prepared: Prepared) -> None:
    if prepared.wrong:
        name, why = next(iter(prepared.wrong.items()))
        raise StageFailedError(f"{len(prepared.wrong)} tasks have data that cannot be used, {name} first: {why}")


def _searched(config: EvaluateConfig) -> Searched:
    from biomedica_ray.evaluate.leakage import searched_store  # noqa: PLC0415 - numba takes a second

    return searched_store(config)


def _find_leaked(*arguments: Any) -> Leakage:
    from biomedica_ray.evaluate.leakage import find_leaked  # noqa: PLC0415

    return find_leaked(*arguments)


def _shown(scored: dict[str, dict[str, Scored]]) -> dict[str, dict[str, list[Shown]]]:
    """Task -> model -> the mistakes that have pictures."""
    found: dict[str, dict[str, list[Shown]]] = {}
    for model, tasks in scored.items():
        for name, each in tasks.items():
            found.setdefault(name, {})[model] = [shown for shown in each.shown if shown.picture]
    return found
