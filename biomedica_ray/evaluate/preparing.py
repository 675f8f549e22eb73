"""What can be evaluated: tasks, the sets of them that are there, and the texts that models have to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.finding import Found, find
from biomedica_ray.evaluate.layouts import BadDataError, Listing, MissingDataError, Opened
from biomedica_ray.evaluate.questions import ENSEMBLE, PAPER, OwnPrompts, Questions, ask
from biomedica_ray.evaluate.statistics import Indices
from biomedica_ray.evaluate.task_files import SetSpec, Tasks, TaskSpec
from biomedica_ray.store.root import Root
from biomedica_ray.units import fingerprint


@dataclass(frozen=True)
class Images:
    """The images of a set."""

    name: str
    found: Found
    n: int
    window: tuple[float, float]

    @property
    def content(self) -> str:
        """Changes with what is encoded."""
        return fingerprint(self.found.content, self.window)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "opened"}

    @cached_property
    def opened(self) -> Opened:
        """The set, opened once a process.

        Raises:
            MissingDataError, BadDataError: It is gone, or has other rows than when it was listed.
        """
        opened = self.found.open()
        if (n := opened.listing.table.num_rows) != self.n:
            raise BadDataError(f"{self.found.root.root}: {n:,} images, and {self.n:,} when it was listed")
        return opened


@dataclass(frozen=True)
class Texts:
    """The texts of a task."""

    name: str
    texts: tuple[str, ...]

    @property
    def n(self) -> int:
        """How many there are."""
        return len(self.texts)

    @property
    def content(self) -> str:
        """Changes with what is encoded."""
        return fingerprint(self.texts)


@dataclass(frozen=True)
class Split:
    """Another split of a task's set, whose labels a probe learns from.

    Attributes:
        images: Its images.
        rows: Those of the classes, shape (n,).
        truth: Their classes, shape (n,).
    """

    images: Images
    rows: Indices
    truth: Indices


@dataclass(frozen=True)
class Ready:
    """A task whose set is there.

    Attributes:
        questions: What it asks.
        images: The set's images, the same for all tasks on it.
        texts: The task's texts.
        listing: Of the set, what is missing or repeated.
        remarks: Where the set or the task differs from its file.
        train: What a linear probe is fitted on; None where there is none.
        validation: What its regularisation is chosen on; None where there is none.
    """

    questions: Questions
    images: Images
    texts: Texts
    listing: Listing
    remarks: list[str]
    train: Split | None = None
    validation: Split | None = None


@dataclass(frozen=True)
class Prepared:
    """All tasks of an evaluation.

    Attributes:
        ready: By id, those that can be evaluated.
        missing: Id -> what was looked for and not found.
        wrong: Id -> why its data cannot be used.
    """

    ready: dict[str, Ready]
    missing: dict[str, str]
    wrong: dict[str, str]


def prepare(data: Root, tasks: Tasks, chosen: list[TaskSpec], prompts: str, *, probe: bool = False) -> Prepared:
    """What can be evaluated of some tasks, by what is there.

    Args:
        data: Folder of the sets.
        tasks: All tasks and sets that are known.
        chosen: Those to be evaluated.
        prompts: paper, ensemble, or a file of prompts.
        probe: Whether linear probes are wanted as well.

    Raises:
        ConfigError: The file of prompts is not there or not right.
    """
    own = own_prompts(prompts, tasks) if prompts not in {PAPER, ENSEMBLE} else None
    opened: dict[str, tuple[Images, Listing] | Exception] = {}
    prepared = Prepared({}, {}, {})
    for task in chosen:
        images = tasks.set_of(task)
        if lacks := task.lacks(images):
            prepared.missing[task.id] = f"not known: {lacks}"
            continue
        if task.set not in opened:
            opened[task.set] = _open(data, task.set, images)
        there = opened[task.set]
        if isinstance(there, MissingDataError):
            prepared.missing[task.id] = str(there)
        elif isinstance(there, Exception):
            prepared.wrong[task.id] = str(there)
        else:
            source, listing = there
            try:
                root = source.found.root.root
                questions = ask(task, listing.table, root, PAPER if prompts == PAPER or own else ENSEMBLE, own)
            except BadDataError as error:
                prepared.wrong[task.id] = str(error)
                continue
            train, validation, without = _of_probe(data, task, images, opened) if probe else (None, None, [])
            n = source.n + len(listing.missing)
            differs = [f"{n:,} images in the set, expected {images.rows:,}"] if images.rows not in {None, n} else []
            texts = Texts(task.id, tuple(questions.texts))
            prepared.ready[task.id] = Ready(
                questions, source, texts, listing, differs + questions.remarks + without, train, validation
            )
    return prepared


def _of_probe(
    data: Root, task: TaskSpec, images: SetSpec, opened: dict[str, tuple[Images, Listing] | Exception]
) -> tuple[Split | None, Split | None, list[str]]:
    """The train and the validation split of a task that has them, or why there is no linear probe."""
    if not images.train or task.kind != "multiclass":
        return None, None, []
    try:
        train = _split(data, task, images, images.train, opened)
        if train is None:
            return None, None, ["no linear probe, as its train split is not there"]
        return train, _split(data, task, images, images.validation, opened), []
    except BadDataError as error:
        return None, None, [f"no linear probe: {error}"]


def _split(
    data: Root,
    task: TaskSpec,
    images: SetSpec,
    split: str | None,
    opened: dict[str, tuple[Images, Listing] | Exception],
) -> Split | None:
    """Another split of a task's set; None where it is not there."""
    if not split:
        return None
    name = f"{task.set}/{split}"
    if name not in opened:
        opened[name] = _open(data, name, images.model_copy(update={"split": split}))
    there = opened[name]
    if isinstance(there, MissingDataError):
        return None
    if isinstance(there, Exception):
        raise there
    source, listing = there
    questions = ask(task, listing.table, source.found.root.root)
    return Split(source, questions.rows, questions.truth)


def _open(data: Root, name: str, images: SetSpec) -> tuple[Images, Listing] | Exception:
    try:
        found: Found = find(data, images)
        listing = found.open().listing
    except (MissingDataError, BadDataError) as error:
        return error
    return Images(name, found, listing.table.num_rows, images.window), listing


def own_prompts(path: str, tasks: Tasks) -> OwnPrompts:
    """Prompts of one's own: a YAML file, task -> class -> sentences; ``without CLASS`` in a multilabel task.

    Raises:
        ConfigError: It cannot be read, or names a task or class that there is not.
    """
    try:
        document: Any = yaml.safe_load(Path(path).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        text = " ".join(str(error).split())
        raise ConfigError(f"prompts: {path}: expected paper, ensemble or a YAML file: {text}") from None
    if not isinstance(document, Mapping):
        raise ConfigError(f"prompts: {path}: expected task: class: [sentences]")
    for name, classes in document.items():
        if name not in tasks.tasks:
            raise ConfigError(f"prompts: {path}: {name}: unknown task; `biomedica tasks` lists them")
        known = {each.name for each in tasks.tasks[name].classes}
        known |= {f"without {each}" for each in known}
        for each, sentences in (classes if isinstance(classes, Mapping) else {"": None}).items():
            are_sentences = isinstance(sentences, list) and sentences and all(isinstance(s, str) for s in sentences)
            if each not in known or not are_sentences:
                raise ConfigError(
                    f"prompts: {path}: {name}: {each}: expected a class of the task and a list of sentences"
                )
    return document
