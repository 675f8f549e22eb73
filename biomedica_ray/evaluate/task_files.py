"""Tasks on published sets: a YAML file a task, a YAML file a set of images, and the suites that name tasks.

What nobody has confirmed stands under ``unknown`` of its file; a task without what it needs cannot be evaluated and
says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from biomedica_ray.config import ConfigError
from biomedica_ray.config.wording import explain, suggest
from biomedica_ray.evaluate.layouts import Layout

HERE = Path(__file__).parent
TASKS, SETS, SUITES = HERE / "tasks", HERE / "sets", HERE / "suites.yaml"

ALL = "all"
"""The suite of every task that comes with the package."""

Kind = Literal["multiclass", "multilabel", "choice", "retrieval"]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: dict[str, str] = Field({}, description="a part of this file -> where it was read")
    unknown: list[str] = Field([], description="what nobody has confirmed")


class SetSpec(_File):
    """A published set of images: where it comes from and how it lies on disk."""

    title: str = Field(description="its name")
    licence: str | None = Field(None, description="its licence; none: not known")
    get: str = Field(description="where to get it")
    folders: list[str] = Field(min_length=1, description="folders below --data, of which the first that has it counts")
    split: str = Field("test", description="name of the split on disk, which {split} in paths stands for")
    train: str | None = Field(None, description="name of the split on disk that linear probes are fitted on")
    validation: str | None = Field(None, description="name of the split that their regularisation is chosen on")
    layouts: list[Layout] = Field([], description="ways in which it may lie there, the first that fits counts")
    rows: int | None = Field(None, ge=1, description="images of the split; none: not known")
    window: tuple[float, float] = Field(
        (0.5, 99.5), description="percentiles of a DICOM image that become black and white"
    )


class ClassSpec(BaseModel):
    """A class, or of a multilabel task something that an image may show."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="its name")
    labels: list[str] = Field([], description="labels on disk; none: its name")
    called: list[str] = Field([], description="names that go into templates; none: its name")
    paper: list[str] = Field([], description="the authors' own prompts")
    without: list[str] = Field([], description="the authors' own prompts of images that do not show it")

    @property
    def on_disk(self) -> list[str]:
        """Labels of it."""
        return self.labels or [self.name]


class TaskSpec(_File):
    """What is asked of the images of a set."""

    id: str = Field(description="name of the file")
    title: str = Field(description="its name")
    domain: str = Field(description="field, whose tasks are averaged together")
    kind: Kind = Field(description="multiclass, multilabel (pairs of prompts), choice (options in the data), retrieval")
    set: str = Field(description="the file of its images")
    where: dict[str, list[str]] = Field({}, description="column -> values of the rows that count; none: all")
    label: str = Field("label", description="column of the label")
    classes: list[ClassSpec] = Field([], description="the classes")
    n_classes: int | None = Field(None, ge=1, description="how many classes, where their names are not known")
    beside: list[str] = Field([], description="labels on disk of rows that this task does not ask about")
    templates: list[str] = Field([], description="sentences with {} for a class's name")
    templates_without: list[str] = Field([], description="the same of images that do not show it")
    question: str | None = Field(None, description="of choice, the question's name in the column captions")
    phrasings: int = Field(2, ge=1, description="of choice, how often each question is asked, in other words")
    text: list[str] = Field([], description="of retrieval, the column of the texts, of several the first that is there")
    rows: int | None = Field(None, ge=1, description="images that count; none: those of the set, or not known")
    metric: str = Field("accuracy", description="the score that is averaged over tasks")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        owner: dict[str, str] = {}
        for each in self.classes:
            for label in each.on_disk:
                if label in owner:
                    raise ValueError(f"classes: label {label} belongs to {owner[label]} and to {each.name}")
                owner[label] = each.name
        if both := sorted(owner.keys() & set(self.beside)):
            raise ValueError(f"beside: {both[0]} is a label of {owner[both[0]]}")
        for template in [*self.templates, *self.templates_without]:
            if "{}" not in template:
                raise ValueError(f"templates: expected {{}} for the class's name in {template}")
        if self.kind == "choice" and not self.question:
            raise ValueError("question: a task of kind choice needs one")
        if self.classes and self.n_classes not in {None, len(self.classes)}:
            raise ValueError(f"n_classes: {self.n_classes}, and there are {len(self.classes)} classes")
        if self.kind == "multiclass" and len(self.classes) == 1:
            raise ValueError("classes: expected at least 2")
        return self

    def count_of_classes(self) -> int | None:
        """How many classes there are; None where that is not known."""
        return len(self.classes) or self.n_classes

    def lacks(self, images: SetSpec) -> str:
        """What is not known that an evaluation needs; empty where nothing is."""
        if not images.layouts:
            return "how the set lies on disk"
        if self.kind in {"multiclass", "multilabel"} and not self.classes:
            return "the names of its classes"
        if self.kind == "retrieval" and not self.text:
            return "the column of the texts"
        return ""


class Tasks:
    """Tasks with their sets, by id.

    Attributes:
        tasks: Id -> the task.
        sets: Id -> the set.
    """

    def __init__(self, tasks: dict[str, TaskSpec], sets: dict[str, SetSpec]) -> None:
        self.tasks, self.sets = tasks, sets

    def set_of(self, task: TaskSpec) -> SetSpec:
        """The set of a task."""
        return self.sets[task.set]

    def chosen(self, suite: str | None, names: Iterable[str], key: str = "tasks") -> list[TaskSpec]:
        """The tasks of a suite, and further ones by id or as the path of a file of one's own.

        A file of one's own names a set that comes with the package, or has the set's keys under ``set``. The config's
        ``key`` of the names is for messages.

        Raises:
            ConfigError: There is no such suite or task, or a file is not right; one line that names file and key.
        """
        ids = list(_suite(suite)) if suite else []
        for name in names:
            if name.endswith((".yaml", ".yml")):
                task, images = _own(Path(name), key)
                if task.id in self.tasks or (images and task.set in self.sets):
                    raise ConfigError(
                        f"{key}: {name}: there is a task or a set {task.id} already; give the file another name"
                    )
                self.tasks[task.id] = task
                if images:
                    self.sets[task.set] = images
                elif task.set not in self.sets:
                    raise ConfigError(f"{key}: {name}: set: {task.set}: unknown set; {suggest(task.set, self.sets)}")
                name = task.id  # noqa: PLW2901
            elif name not in self.tasks:
                hint = suggest(name, self.tasks)
                raise ConfigError(f"{key}: {name}: unknown task; `biomedica tasks` lists them; {hint}")
            ids.append(name)
        return [self.tasks[name] for name in dict.fromkeys(ids)]


def packaged() -> Tasks:
    """The tasks and sets that come with the package."""
    return Tasks(dict(_all(TaskSpec, TASKS)), dict(_all(SetSpec, SETS)))


@cache
def suites() -> Mapping[str, list[str]]:
    """Suite -> the ids of its tasks."""
    found: dict[str, list[str]] = yaml.safe_load(SUITES.read_text())
    return found


def _suite(name: str) -> Iterable[str]:
    if name == ALL:
        return _all(TaskSpec, TASKS)
    if name not in suites():
        raise ConfigError(f"suite: {name}: unknown suite; {suggest(name, [*suites(), ALL])}")
    return suites()[name]


_Spec = TypeVar("_Spec", TaskSpec, SetSpec)


@cache
def _all(model: type[_Spec], folder: Path) -> Mapping[str, _Spec]:
    paths = sorted(folder.glob("*.yaml"))
    return {path.stem: _parse(model, _read(path, "tasks"), path) for path in paths}


def _own(path: Path, key: str) -> tuple[TaskSpec, SetSpec | None]:
    document = _read(path, key)
    images = None
    if isinstance(document.get("set"), dict):
        images = _parse(SetSpec, document["set"], path, "set.")
        document = {**document, "set": path.stem}
    return _parse(TaskSpec, document, path), images


def _read(path: Path, key: str) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{key}: {path}: {' '.join(str(error).split())}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{key}: {path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"{key}: {path}: expected keys and values")
    return document


def _parse(model: type[_Spec], document: dict[str, Any], path: Path, prefix: str = "") -> _Spec:
    own: dict[str, Any] = {"id": path.stem} if model is TaskSpec else {}
    try:
        return model.model_validate({**own, **document})
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(model, error.errors()[0], prefix)}") from None
