"""The evaluate stage on published sets: which of them are there, every model's vectors, and the scores of all tasks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from biomedica_ray.cluster import StageFailedError, on_a_worker
from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate import dry_run, features, page, results, tables
from biomedica_ray.evaluate.comparisons import Paired, against
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.evaluate.mistakes import Shown, show
from biomedica_ray.evaluate.preparing import Images, Prepared, Ready, Split, Texts, prepare
from biomedica_ray.evaluate.published import beside
from biomedica_ray.evaluate.questions import of_rows
from biomedica_ray.evaluate.statistics import Indices
from biomedica_ray.evaluate.task_files import packaged
from biomedica_ray.evaluate.task_scores import TaskScores
from biomedica_ray.evaluate.zero_shot import Vectors
from biomedica_ray.models.names import ModelName
from biomedica_ray.runs import Run
from biomedica_ray.store import Store
from biomedica_ray.store.root import Root

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
    for model, mark in zip(models, marks, strict=True):
        log.info("evaluate: %s on %d tasks", model.text, len(prepared.ready))
        features.encode(config, record, model, mark, list(sources.values()))
        work = partial(score_model, record.store, model, prepared.ready, config)
        scored[model.text] = on_a_worker(work, num_cpus=1, memory_gb=config.memory_gb)
        tests += against(model.text, scored)
        # After each model, so that the scores of others are there where the next one cannot be loaded.
        document = results.document(
            config.title, record.run_id, tasks, prepared, scored, tests=tests, published=published
        )
        record.store.write_json(f"{place}/results.json", document)
        files = tables.render(document) | {"results.html": page.render(document, _shown(scored))}
        for name, text in files.items():
            record.store.write_bytes(f"{place}/{name}", text.encode())
    record.results.update(evaluation=record.store.uri(place), means=document["means"])
    log.info("evaluate: results in %s", record.store.uri(place))
    _fail_if_wrong(prepared)
    if before is not None:
        changes = results.changes(before, document, {task.id for task in chosen})
        for change in changes:
            log.info("evaluate: %s", change)
        if worse := [change for change in changes if change.now is None or change.fell > config.tolerance]:
            what = f"fell by more than {config.tolerance}, or are not there any more"
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


@dataclass(frozen=True)
class Scored:
    """A task as a model did it.

    Attributes:
        scores: Its scores; None where no image could be read.
        rows: Rows of the set that were scored, shape (n,).
        unreadable: Images that could not be read.
        duplicates: Images of which an equal one came before under another name; they count.
        shown: Its worst mistakes, as they are shown.
    """

    scores: TaskScores | None
    rows: np.ndarray[Any, np.dtype[np.int64]]
    unreadable: list[str]
    duplicates: int
    shown: list[Shown] = field(default_factory=list)


def _shown(scored: dict[str, dict[str, Scored]]) -> dict[str, dict[str, list[Shown]]]:
    """Task -> model -> the mistakes that have pictures."""
    found: dict[str, dict[str, list[Shown]]] = {}
    for model, tasks in scored.items():
        for name, each in tasks.items():
            found.setdefault(name, {})[model] = [shown for shown in each.shown if shown.picture]
    return found


def score_model(store: Store, model: ModelName, ready: dict[str, Ready], config: EvaluateConfig) -> dict[str, Scored]:
    """The scores of one model on every task, from the vectors that the store has; is a task on the cluster."""
    from biomedica_ray.evaluate.scores import score  # noqa: PLC0415 - scikit-learn takes seconds

    images: dict[str, features.Features] = {}
    found: dict[str, Scored] = {}
    for name, each in ready.items():
        if each.images.name not in images:
            images.clear()  # tasks on one set come one after the other, mostly
            images[each.images.name] = features.read(store, model, each.images)
        seen = images[each.images.name]
        kept = np.flatnonzero(np.isin(each.questions.rows, seen.rows))
        questions = of_rows(each.questions, kept)
        where = np.searchsorted(seen.rows, questions.rows)
        texts = _by_text(features.read(store, model, each.texts), each.texts, questions.texts)
        digests = {seen.sha256[position] for position in where}
        scores = None
        if len(kept) > 1:
            vectors = seen.vectors[where]
            scores = score(questions, vectors, texts, config.bootstrap, config.seed)
            of_probes = _probes(partial(features.read, store, model), each, config, vectors, questions.truth)
            scores = replace(scores, scores=scores.scores | of_probes)
        shown = show(each, questions.rows, scores.mistakes if scores else [], config.mistakes)
        found[name] = Scored(scores, questions.rows, seen.errors, len(where) - len(digests), shown)
    return found


def _probes(
    read: Callable[[Images], features.Features], ready: Ready, config: EvaluateConfig, images: Vectors, truth: Indices
) -> dict[str, float]:
    """Scores of linear probes; none where the set has no train split."""
    if ready.train is None:
        return {}
    from sklearn.metrics import accuracy_score, balanced_accuracy_score  # noqa: PLC0415

    from biomedica_ray.evaluate.probe import Labelled, few_shot, probe  # noqa: PLC0415

    def labelled(split: Split) -> Labelled:
        seen = read(split.images)
        kept = np.isin(split.rows, seen.rows)
        return Labelled(seen.vectors[np.searchsorted(seen.rows, split.rows[kept])], split.truth[kept])

    train = labelled(ready.train)
    validation = labelled(ready.validation) if ready.validation else None
    if len(np.unique(train.truth)) < 2:  # nearly nothing of it could be read
        return {}
    if validation is not None and not len(validation.truth):
        validation = None
    found: dict[str, float] = {}
    if config.probe:
        predicted = probe(train, validation, images, config.seed)
        found["probe_accuracy"] = float(accuracy_score(truth, predicted))
        found["probe_balanced_accuracy"] = float(balanced_accuracy_score(truth, predicted))
    for shots in config.shots:
        drawn = few_shot(train, validation, images, shots, config.seed)
        found[f"probe_{shots}_shot_accuracy"] = float(np.mean([accuracy_score(truth, each) for each in drawn]))
    return found


def _by_text(read: features.Features, source: Texts, wanted: list[str]) -> Any:
    if len(read.rows) != source.n:
        raise StageFailedError(f"{source.name}: {source.n - len(read.rows)} of its texts have no finite vectors")
    number = {text: position for position, text in enumerate(source.texts)}
    return read.vectors[[number[text] for text in wanted]]
