"""The classify stage: every image gets a label of its own beside that of its cluster, and how likely it is right.

Its classifier works on the embeddings that annotate made: fitted on what annotators said of figures, or, where nothing
was said and a CLIP model made the embeddings, made of that model's prompts. Panels that have embeddings are labelled by
a classifier of their own, which learns from figures of one panel alone: what is said of a compound figure need not hold
for each of its panels.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from biomedica_ray import files, schema
from biomedica_ray.ahead import READS, map_in_threads
from biomedica_ray.annotate.clustering import Clustering, find_clustering
from biomedica_ray.annotate.vectors import Kind, embed_stage, encoder_of, model_slug, read_embedded
from biomedica_ray.cluster import on_a_worker, run_units
from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.prompts import Prompts
from biomedica_ray.labelling.classifier import ImageClassifier, image_label_rows
from biomedica_ray.labelling.classifier_file import Made, classifier_path, read_made
from biomedica_ray.labelling.concept_scores import concept_vectors, load_prompts
from biomedica_ray.labelling.config import ClassifyConfig
from biomedica_ray.labelling.examples import Example, embedded_examples, read_examples
from biomedica_ray.labelling.labels_file import load_labels
from biomedica_ray.labelling.taxonomy import Taxonomy, load_taxonomy
from biomedica_ray.models.weights import local_weights
from biomedica_ray.runs import Run
from biomedica_ray.store import Commit, Store, StoreError
from biomedica_ray.units import Counts, Flow, fingerprint, pmcid_of

log = logging.getLogger(__name__)

VERSION = 2
"""Raise it when the same embeddings and examples would give other labels."""

STAGE = "classify"
_WORKER_GB = 1.0
"""Memory of a worker that labels one unit."""
_SEED = 0


def run(config: ClassifyConfig, record: Run) -> None:
    """Commit the image_labels table unit by unit, as stage ``classify``.

    Raises:
        ConfigError: Taxonomy, labels or prompts are invalid, or there is nothing to make a classifier of.
        StoreError: There are no embeddings yet.
        UnitsFailedError: Units failed; all others are done.
    """
    store = record.store
    store.generations()
    taxonomy = load_taxonomy(store, config.taxonomy)
    said = load_labels(store, config.labels, taxonomy)
    examples = read_examples(said) if said else []
    clustering = find_clustering(store, config.model)
    prompts = _prompts(config, store, taxonomy, clustering)
    panel_stage = embed_stage(clustering.model, "panels")
    embedded, panelled = store.commits(clustering.stage), store.commits(panel_stage)
    # Only what the examples' own units hold goes into the classifier: new articles elsewhere leave it as it is.
    theirs = store.units_of({pmcid_of(example.figure_id) for example in examples})
    contents = {unit: embedded[unit].content for unit in sorted(theirs.keys() & embedded.keys())}
    settings = VERSION, clustering.model, contents, config.how, config.precision, prompts and prompts.model_dump()
    asked = Asked(clustering, examples, prompts, settings)
    made = _made(config, store, asked)
    _tell(config, made)
    for_panels = _made_for_panels(config, store, asked) if panelled else None
    experts = {example.figure_id: example for example in examples if example.alone}
    by_article: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for figure, example in experts.items():
        by_article[pmcid_of(figure)].append(asdict(example))
    marks = {}
    for unit, commit in embedded.items():
        of_figures = [each for pmcid in sorted(theirs.get(unit, ())) for each in by_article.get(pmcid, ())]
        marks[unit] = VERSION, made.sha256, commit.content, of_figures
    units = {unit: fingerprint(*mark) for unit, mark in marks.items()}
    if for_panels:
        both = {
            unit: fingerprint(*marks[unit], for_panels.sha256, panelled[unit].content)
            for unit in sorted(marks.keys() & panelled.keys())
        }
        units |= {unit: both[unit] for unit in both.keys() - _stale_panels(store, embedded, panelled, both)}
    panels = (panel_stage, for_panels.file) if for_panels else None
    worker = partial(ClassifyWorker, store, record.run_id, clustering.stage, made.file, experts, panels=panels)
    run_units(
        record,
        STAGE,
        units,
        worker,
        memory_gb=_WORKER_GB,
        max_actors=config.max_actors,
        inputs={clustering.stage: embedded, panel_stage: panelled},
    )
    record.results |= {"model": clustering.model, **_results(store, made)}
    if for_panels:
        record.results["panels"] = _results(store, for_panels)


def _stale_panels(
    store: Store, embedded: Mapping[int, Commit], panelled: Mapping[int, Commit], marks: Mapping[int, str]
) -> set[int]:
    """Units whose panels were embedded by another encoder than their figures; a warning says so.

    Those that have been labelled with their panels, as ``marks`` say, are not looked at again.
    """
    before = store.commits(STAGE)
    asked = [unit for unit, mark in marks.items() if unit not in before or before[unit].fingerprint != mark]
    if not asked:
        return set()
    pairs = [(embedded[unit], panelled[unit]) for unit in asked]
    stale = on_a_worker(partial(other_encoders, store, pairs), memory_gb=_WORKER_GB)
    if stale:
        log.warning(
            "classify: panels of %d of %d units have embeddings of another encoder than their figures, and get no "
            "labels; run `biomedica annotate --panels true`, then classify again",
            *(len(stale), len(marks)),
        )
    return stale


def other_encoders(store: Store, pairs: Sequence[tuple[Commit, Commit]]) -> set[int]:
    """The units of these commits, of embeddings of figures and of panels, that do not have the same encoder.

    Is a task on the cluster.
    """

    def differ(pair: tuple[Commit, Commit]) -> bool:
        figures, panels = pair
        return encoder_of(store, figures) != encoder_of(store, panels, "panels")

    are_other = map_in_threads(differ, pairs, READS)
    return {figures.unit for (figures, _), is_other in zip(pairs, are_other, strict=True) if is_other}


def _results(store: Store, made: Made) -> dict[str, Any]:
    """What the run's record says of a classifier."""
    tables = {"concepts", "calibration", "local"}
    return {
        "classifier": store.uri(made.file),
        "how": made.how,
        "concepts": len(made.concepts),
        "examples_unknown": made.unknown,
        **{key: value for key, value in (made.judged or {}).items() if key not in tables},
    }


@dataclass(frozen=True)
class Asked:
    """What a classifier is to be made of.

    Attributes:
        clustering: Whose embeddings.
        examples: What people said.
        prompts: Of zero-shot labels; None where these are not possible or not wanted.
        settings: Changes with the examples' embeddings, and with how the classifier is made.
        kind: What it is to label.
    """

    clustering: Clustering
    examples: Sequence[Example]
    prompts: Prompts | None
    settings: tuple[Any, ...]
    kind: Kind = "figures"

    @property
    def mark(self) -> str:
        """Changes with all of that."""
        return fingerprint(*self.settings, self.kind, [asdict(example) for example in self.examples])


class NothingToLearnError(ConfigError):
    """Too little was said to make a classifier of."""


def _made(config: ClassifyConfig, store: Store, asked: Asked) -> Made:
    work = partial(make_classifier, config, store, asked)
    return on_a_worker(work, num_cpus=config.num_cpus, memory_gb=config.memory_gb)


def _made_for_panels(config: ClassifyConfig, store: Store, asked: Asked) -> Made | None:
    """The classifier of panels, made of what was said of figures of one panel; None where too little was."""
    single = [example for example in asked.examples if example.single]
    try:
        made = _made(config, store, replace(asked, examples=single, kind="panels"))
    except NothingToLearnError as error:
        log.warning("classify: panels get no labels; of figures of one panel (panel_type: single), %s", error)
        return None
    judged = made.judged
    if judged is None:
        log.info(
            "classify: panels: %s; too few figures of one panel of which anybody said what they show to measure it",
            made.how,
        )
        return made
    log.info(
        "classify: panels: %s, accuracy %.3f on %d figures of one panel; nobody has measured it on panels",
        *(made.how, judged["accuracy"], judged["examples"]),
    )
    return made


def make_classifier(config: ClassifyConfig, store: Store, asked: Asked) -> Made:
    """Make the classifier and write it, unless that has been done.

    Runs as a task, as it reads the examples' embeddings, and fits.

    Raises:
        NothingToLearnError: There is nothing to make a classifier of.
        ConfigError: The model cannot be loaded.
    """
    model = asked.clustering.model
    found = read_made(store, model, asked.kind)
    if found and found.mark == asked.mark and not config.again:
        return found
    from biomedica_ray.labelling import fitting  # noqa: PLC0415 - takes seconds, and the driver needs none of it

    known, vectors = embedded_examples(store, asked.clustering.stage, asked.examples)
    classifier, judged, refused = None, None, ""
    if config.how != "zero-shot":
        try:
            classifier, judged = fitting.fit_to_examples(known, vectors, precision=config.precision, seed=_SEED)
        except ValueError as error:
            refused = str(error)
    if classifier is None:
        if asked.prompts is None:
            raise NothingToLearnError(_nothing_to_learn_from(config, store, model, refused))
        zero_shot = _of_prompts(config, store, asked.clustering, asked.prompts)
        classifier, judged = fitting.calibrate(zero_shot, known, vectors, precision=config.precision)
    file = f"classifiers/{model_slug(model)}/{asked.mark}.safetensors"
    data = classifier.dump()
    store.write_bytes(file, data)
    sha256 = hashlib.sha256(data).hexdigest()
    unknown = len(asked.examples) - len(known)
    told = None if judged is None else asdict(judged)
    made = Made(asked.mark, file, sha256, classifier.how, list(classifier.names), unknown, told, refused)
    store.write_json(classifier_path(model, asked.kind), asdict(made))
    return made


def _nothing_to_learn_from(config: ClassifyConfig, store: Store, model: str, why: str) -> str:
    place = config.labels or store.uri(files.LABELS)
    return (
        f"labels: {place}: {why}; label more clusters or figures, or use embeddings of a CLIP model "
        f"(annotate.model: open_clip/NAME), as those of {model} know no words"
    )


def _prompts(config: ClassifyConfig, store: Store, taxonomy: Taxonomy, clustering: Clustering) -> Prompts | None:
    """The prompts of zero-shot labels; None where a model without a text tower made the embeddings."""
    if config.how == "classifier":
        return None
    if clustering.model.startswith("open_clip/"):
        return load_prompts(store, config.prompts, taxonomy)
    if config.how == "zero-shot":
        raise ConfigError(
            f"how: zero-shot needs embeddings of a CLIP model, those in the store are of {clustering.model}; run "
            "`biomedica annotate --model open_clip/NAME`, or label clusters and use how: classifier"
        )
    return None


def _of_prompts(config: ClassifyConfig, store: Store, clustering: Clustering, prompts: Prompts) -> ImageClassifier:
    """The prompts' vectors as a classifier, as CLIP classifies (Radford et al., 2021, figure 3)."""
    # It takes seconds, and a fitted classifier needs none of it.
    from biomedica_ray.models.encoders import open_clip_model  # noqa: PLC0415

    embedded = store.commits(clustering.stage)
    first = next((embedded[unit] for unit in sorted(embedded)), None)
    if first is None:
        raise StoreError(f"{store.root}: no embeddings yet; run `biomedica annotate` first")
    about = store.read(first, "embeddings", ["figure_id"]).schema.metadata
    with local_weights(about[b"weights"].decode() or None, config.endpoint_url) as weights:
        model, tokenize = open_clip_model(clustering.model.partition("/")[2], weights)
    texts, scale = concept_vectors(model, tokenize, prompts)
    names = tuple(prompts.concepts)
    return ImageClassifier("zero-shot", names, scale * texts, np.zeros(len(names), np.float32))


def _tell(config: ClassifyConfig, made: Made) -> None:
    """Say what the classifier is, and how good."""
    if made.unknown:
        log.warning("classify: %d figures of the labels file have no embedding", made.unknown)
    if made.how == "zero-shot" and config.how is None:
        log.info("classify: %s: zero-shot labels instead", made.refused)
    if made.judged is None:
        log.warning(
            "classify: too few figures of which anybody said what they show: image_confidence is the CLIP model's own, "
            "and no label is marked sure"
        )
        return
    judged = made.judged
    log.info(
        "classify: %d concepts, accuracy %.3f on %d figures of %d articles that it had not seen",
        *(len(made.concepts), judged["accuracy"], judged["examples"], judged["articles"]),
    )
    if drawn := judged["random"]:
        log.info(
            "classify: on figures drawn at random: %d of %d right (%.1f to %.1f %%)",
            *(drawn["right"], drawn["of"], 100 * drawn["low"], 100 * drawn["high"]),
        )
    for concept, articles in judged["left_out"].items():
        log.warning("classify: %s has figures of %d articles: too few to learn it", concept, articles)
    if judged["calibrated_on"] == "exemplars":
        log.warning(
            "classify: annotators have answered for too few single images to mark labels as sure: "
            "`biomedica sheets --of images` asks for more"
        )
    elif judged["sure_from"] is None:
        log.warning("classify: no label is sure at a precision of %s: too many are wrong", config.precision)
    else:
        log.info("classify: sure from a confidence of %.3f: %.1f %%", judged["sure_from"], 100 * judged["sure"])


class ClassifyWorker:
    """Labels the images of units, and their panels.

    Args:
        store: The store.
        run_id: The run.
        stage: That of the embeddings of figures.
        file: Their classifier.
        experts: figure_id -> what annotators said of it.
        panels: Stage of the embeddings of panels, and their classifier; None where panels get no labels.
    """

    def __init__(
        self,
        store: Store,
        run_id: str,
        stage: str,
        file: str,
        experts: Mapping[str, Example],
        *,
        panels: tuple[str, str] | None = None,
    ) -> None:
        self._store, self._run_id, self._stage, self._experts = store, run_id, stage, experts
        self._classifier = ImageClassifier.load(store.read_bytes(file))
        self._panel_stage = panels and panels[0]
        self._panel_classifier = panels and ImageClassifier.load(store.read_bytes(panels[1]))

    def __call__(self, unit: int, mark: str) -> Counts:
        """Commit the labels of one unit's images; returns its counts."""
        commit = self._store.commit(self._stage, unit)
        figures = read_embedded(self._store, commit)
        with self._store.write_unit(STAGE, unit, mark, self._run_id) as writer:
            labels = writer.table("image_labels", schema.IMAGE_LABELS)
            rows = image_label_rows(figures.ids, figures.vectors, self._classifier)
            labels.write(pa.Table.from_pylist([self._expert(row) for row in rows], schema.IMAGE_LABELS))
            counts = {"image_labels": Flow(commit.counts["figures"].rows_out, n_figures := labels.rows)}
            if found := self._panels(unit, figures.encoder):
                n_panels, rows = found
                labels.write(pa.Table.from_pylist(rows, schema.IMAGE_LABELS))
                counts["panel_labels"] = Flow(n_panels, labels.rows - n_figures)
            return writer.commit(counts).counts

    def _panels(self, unit: int, encoder: bytes | None) -> tuple[int, list[dict[str, Any]]] | None:
        """How many panels the unit has, and their labels.

        None where they have no embeddings, or of another encoder than the figures, or where there is no classifier.
        """
        if not self._panel_stage or not self._panel_classifier:
            return None
        try:
            commit = self._store.commit(self._panel_stage, unit)
        except FileNotFoundError:
            return None
        panels = read_embedded(self._store, commit, "panels")
        if panels.encoder != encoder:
            return None
        return commit.counts["panels"].rows_out, image_label_rows(panels.ids, panels.vectors, self._panel_classifier)

    def _expert(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row, or where an annotator spoke of this image by itself, what was said."""
        if (said := self._experts.get(row["figure_id"])) is None:
            return row
        return {
            **row,
            "image_label": said.primary[0],
            "image_confidence": 1.0,
            "image_sure": True,
            "image_local_concepts": list(said.secondary),
            "image_how": "expert",
        }
