"""What a task asks of the rows of a set: which rows, which texts, and which answers are right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biomedica_ray.evaluate.layouts import BadDataError
from biomedica_ray.evaluate.statistics import Indices
from biomedica_ray.evaluate.task_files import ClassSpec, TaskSpec

PAPER, ENSEMBLE = "paper", "ensemble"

OwnPrompts = Mapping[str, Mapping[str, Sequence[str]]]
"""Task -> class -> sentences."""


@dataclass(frozen=True)
class Choice:
    """One question about one image: numbers of the options' texts, and which option is right."""

    options: Indices
    answer: int


@dataclass(frozen=True)
class Questions:
    """A task on the rows of a set.

    Attributes:
        task: The task.
        rows: Numbers of the rows that are asked about, ascending, shape (n,).
        texts: Everything that a model has to read.
        truth: multiclass: class of each row, int64 (n,); multilabel: what it shows, bool (n, c); choice: class by
            :attr:`names`, int64 (n,), -1 where the row has none; retrieval: number of the texts of each pair, (p,).
        names: The classes.
        prompts: For each class, numbers of its texts.
        without: Of multilabel, for each class, numbers of the texts of images that do not show it.
        choices: Of choice, for each row the question in each phrasing.
        pairs: Of retrieval, for each pair the position of its image in :attr:`rows`, (p,).
        prompts_from: Which prompts were taken.
        left_out: Rows that the task does not ask about.
        remarks: Where the data differ from the task's file.
    """

    task: TaskSpec
    rows: Indices
    texts: list[str]
    truth: npt.NDArray[Any]
    names: list[str] = field(default_factory=list)
    prompts: list[Indices] = field(default_factory=list)
    without: list[Indices] = field(default_factory=list)
    choices: list[list[Choice]] = field(default_factory=list)
    pairs: Indices = field(default_factory=lambda: np.zeros(0, np.int64))
    prompts_from: str = ""
    left_out: int = 0
    remarks: list[str] = field(default_factory=list)


def ask(task: TaskSpec, table: pa.Table, where: str, prompts: str = PAPER, own: OwnPrompts | None = None) -> Questions:
    """What a task asks of the rows of a set.

    Args:
        task: The task.
        table: The set's rows, as a layout lists them.
        where: The set's place, for messages.
        prompts: paper: the authors' own, or, where none are known, the ensemble; ensemble.
        own: Prompts of one's own, which take precedence.

    Raises:
        BadDataError: A column is missing, a label is none of the classes', or no row is asked about; the message names
            the row and the value.
    """
    for column in [*task.where, *([task.label] if task.kind in {"multiclass", "multilabel"} else [])]:
        _column(table, column, where)
    chosen = np.ones(table.num_rows, bool)
    for column, values in task.where.items():
        chosen &= np.isin(np.array([_text(value) for value in table[column].to_pylist()], object), values)
    rows = np.flatnonzero(chosen)
    if not len(rows):
        raise BadDataError(f"{where}: no rows with {task.where}" if task.where else f"{where}: no rows")
    found = _ASK[task.kind](task, table.take(pa.array(rows)), rows, where, _Texts(task, prompts, own or {}))
    for what, given in (("prompt of", found.prompts), ("prompt without", found.without)):
        if bare := [name for name, numbers in zip(found.names, given, strict=False) if not len(numbers)]:
            raise BadDataError(
                f"{task.id}: no {prompts} {what} {bare[0]}; give the task templates, or the class prompts"
            )
    return replace(found, remarks=_remarks(task, found))


def of_rows(questions: Questions, kept: Indices) -> Questions:
    """The same questions of some of the rows: positions in :attr:`Questions.rows`, ascending."""
    if len(kept) == len(questions.rows):
        return questions
    changed: dict[str, Any] = {"rows": questions.rows[kept]}
    if questions.task.kind == "retrieval":
        position = np.full(len(questions.rows), -1)
        position[kept] = np.arange(len(kept))
        pairs = position[questions.pairs]
        changed |= {"pairs": pairs[pairs >= 0], "truth": questions.truth[pairs >= 0]}
        used, truth = np.unique(changed["truth"], return_inverse=True)
        changed |= {"texts": [questions.texts[number] for number in used], "truth": truth}
    else:
        changed["truth"] = questions.truth[kept]
        changed["choices"] = [questions.choices[number] for number in kept] if questions.choices else []
    return replace(questions, **changed)


def _remarks(task: TaskSpec, found: Questions) -> list[str]:
    """Where the data differ from the task's file."""
    remarks = []
    if task.rows and len(found.rows) != task.rows:
        remarks.append(f"{len(found.rows):,} images, expected {task.rows:,}")
    if task.kind == "multiclass" and (missing := sorted(set(range(len(found.names))) - set(found.truth.tolist()))):
        remarks.append(f"no image of {', '.join(found.names[number] for number in missing)}")
    if task.kind == "choice" and task.n_classes and len(found.names) != task.n_classes:
        remarks.append(f"{len(found.names)} classes, expected {task.n_classes}")
    return remarks


class _Texts:
    """Collects texts, each once, and the prompts of classes."""

    def __init__(self, task: TaskSpec, prompts: str, own: OwnPrompts) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}
        self._task, self._own = task, own.get(task.id, {})
        has_paper = all(each.paper for each in task.classes)
        self.source = "file" if self._own else PAPER if prompts == PAPER and has_paper else ENSEMBLE

    def add(self, texts: Iterable[str]) -> Indices:
        """The numbers of texts, which are new or have been added before."""
        numbers = []
        for text in texts:
            if text not in self._numbers:
                self._numbers[text] = len(self.texts)
                self.texts.append(text)
            numbers.append(self._numbers[text])
        return np.array(numbers, np.int64)

    def of(self, each: ClassSpec) -> Indices:
        """Those of a class."""
        if self.source == "file":
            return self.add(self._own.get(each.name) or self._ensemble(each, self._task.templates))
        return self.add(each.paper if self.source == PAPER else self._ensemble(each, self._task.templates))

    def of_without(self, each: ClassSpec) -> Indices:
        """Those of images that do not show it."""
        if self.source == "file" and (own := self._own.get(f"without {each.name}")):
            return self.add(own)
        if self.source == PAPER or not self._task.templates_without:
            return self.add(each.without)
        return self.add(self._ensemble(each, self._task.templates_without))

    @staticmethod
    def _ensemble(each: ClassSpec, templates: Sequence[str]) -> list[str]:
        return [template.replace("{}", name) for template in templates for name in each.called or [each.name]]


def _multiclass(task: TaskSpec, table: pa.Table, rows: Indices, where: str, texts: _Texts) -> Questions:
    numbers = {label: number for number, each in enumerate(task.classes) for label in each.on_disk}
    kept: list[int] = []
    truth: list[int] = []
    for row, (name, value) in zip(rows, _labels(table, task.label), strict=True):
        label = _text(value)
        if label in numbers:
            kept.append(row)
            truth.append(numbers[label])
        elif label not in task.beside:
            raise BadDataError(f"{where}: row {name}: label {label}, expected one of {', '.join(numbers)}")
    if not kept:
        raise BadDataError(f"{where}: no rows of {', '.join(numbers)}")
    return Questions(
        task,
        np.array(kept, np.int64),
        texts.texts,
        np.array(truth, np.int64),
        [each.name for each in task.classes],
        [texts.of(each) for each in task.classes],
        prompts_from=texts.source,
        left_out=len(rows) - len(kept),
    )


def _multilabel(task: TaskSpec, table: pa.Table, rows: Indices, where: str, texts: _Texts) -> Questions:
    numbers = {label: number for number, each in enumerate(task.classes) for label in each.on_disk}
    truth = np.zeros((len(rows), len(task.classes)), bool)
    for position, (name, values) in enumerate(_labels(table, task.label)):
        if not isinstance(values, list):
            raise BadDataError(f"{where}: row {name}: {task.label} is {values}, expected a list of labels")
        for label in map(_text, values):
            if label in numbers:
                truth[position, numbers[label]] = True
            elif label not in task.beside:
                raise BadDataError(f"{where}: row {name}: label {label}, expected one of {', '.join(numbers)}")
    return Questions(
        task,
        rows,
        texts.texts,
        truth,
        [each.name for each in task.classes],
        [texts.of(each) for each in task.classes],
        [texts.of_without(each) for each in task.classes],
        prompts_from=texts.source,
    )


def _choice(task: TaskSpec, table: pa.Table, rows: Indices, where: str, texts: _Texts) -> Questions:
    captions = _column(table, "captions", where).to_pylist()
    labels = [_text(value) for _, value in _labels(table, task.label)] if task.label in table.column_names else []
    kept: list[int] = []
    choices: list[list[Choice]] = []
    shown: list[str] = []
    for position, (row, name) in enumerate(zip(rows, table["id"].to_pylist(), strict=True)):
        asked = []
        for phrasing in range(task.phrasings):
            key = f"{task.question}_{phrasing}"
            cell = captions[position]
            if not isinstance(cell, dict | None):
                raise BadDataError(
                    f"{where}: row {name}: captions: expected a struct of questions, got {type(cell).__name__}"
                )
            question = (cell or {}).get(key)
            if question is None or not question.get("options"):
                continue
            options, answer = texts.add(question["options"]), question.get("answer_idx")
            if not isinstance(answer, int) or not 0 <= answer < len(options):
                what = f"{key}: answer_idx {answer} with {len(options)} options"
                raise BadDataError(f"{where}: row {name}: {what}")
            asked.append(Choice(options, answer))
        if asked:
            kept.append(row)
            choices.append(asked)
            shown.append(labels[position] if labels else "")
    if not kept:
        raise BadDataError(f"{where}: no row has the question {task.question} among its captions")
    names = sorted(set(shown) - {""})
    return Questions(
        task,
        np.array(kept, np.int64),
        texts.texts,
        np.array([names.index(label) if label else -1 for label in shown], np.int64),
        names,
        choices=choices,
        prompts_from="data",
        left_out=len(rows) - len(kept),
    )


def _retrieval(task: TaskSpec, table: pa.Table, rows: Indices, where: str, texts: _Texts) -> Questions:
    column = next((name for name in task.text if name in table.column_names), None)
    if column is None:
        there = ", ".join(table.column_names)
        raise BadDataError(f"{where}: no column {' or '.join(task.text)}; there are {there}")
    kept: list[int] = []
    pairs: list[int] = []
    truth: list[int] = []
    for row, value in zip(rows, table[column].to_pylist(), strict=True):
        own = [text for text in (value if isinstance(value, list) else [value]) if text and text.strip()]
        if own:
            numbers = np.unique(texts.add(own))
            pairs += [len(kept)] * len(numbers)
            truth += numbers.tolist()
            kept.append(row)
    if len(kept) < 2:
        raise BadDataError(f"{where}: {len(kept)} images with a text in {column}, expected at least 2")
    return Questions(
        task,
        np.array(kept, np.int64),
        texts.texts,
        np.array(truth, np.int64),
        pairs=np.array(pairs, np.int64),
        prompts_from="data",
        left_out=len(rows) - len(kept),
    )


_ASK = {"multiclass": _multiclass, "multilabel": _multilabel, "choice": _choice, "retrieval": _retrieval}


def _column(table: pa.Table, name: str, where: str) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise BadDataError(f"{where}: no column {name}; there are {', '.join(table.column_names)}")
    return table[name]


def _labels(table: pa.Table, column: str) -> Iterable[tuple[str, Any]]:
    """What rows are called in messages, and their labels."""
    return zip(table["id"].to_pylist(), table[column].to_pylist(), strict=True)


def _text(value: Any) -> str:
    """A label as task files write it: 1 for 1, 1.0 and true."""
    if value is None:
        return ""
    if isinstance(value, bool) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return str(value)
