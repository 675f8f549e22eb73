"""Test images that are among the figures of a training store: the search of them, and what is told of it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from biomedica_ray.cluster import on_a_worker
from biomedica_ray.config import ConfigError
from biomedica_ray.dedupe.leaks import Searched, find_leaks, read_leaks
from biomedica_ray.dedupe.seen import Readable
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.evaluate.layouts.base import readable
from biomedica_ray.evaluate.layouts.pixels import to_rgb
from biomedica_ray.evaluate.mistakes import SIDE, pictures_of
from biomedica_ray.evaluate.preparing import Images, Ready
from biomedica_ray.evaluate.results import LIST
from biomedica_ray.evaluate.statistics import Indices
from biomedica_ray.images import ImageError
from biomedica_ray.pages.pictures import Picture, read_pictures
from biomedica_ray.reading.shards import Unreadable
from biomedica_ray.runs import Run
from biomedica_ray.schema import panel_id
from biomedica_ray.store import Commit, Store, StoreError

_COLUMNS = ("task", "image", "figure", "how", "correlation", "trained")


@dataclass(frozen=True)
class SetPictures:
    """The images of a set as they are sought."""

    source: Images

    @property
    def name(self) -> str:
        """The set's."""
        return self.source.name

    @property
    def content(self) -> str:
        """Changes with its files."""
        return self.source.content

    @property
    def n(self) -> int:
        """How many rows it has."""
        return self.source.n

    def pictures(self, rows: range) -> Iterator[Readable | Unreadable]:
        """The images of some rows; raises MissingDataError and BadDataError where the set is no longer the same."""
        opened = self.source.opened
        names = opened.listing.table["id"]
        for row, image in zip(rows, readable(opened, rows), strict=True):
            if isinstance(image, Unreadable):
                yield Unreadable(str(names[row]), image.kind, image.message)
                continue
            try:
                yield Readable(image if isinstance(image, bytes) else None, to_rgb(image, self.source.window))
            except ImageError as error:
                yield Unreadable(str(names[row]), error.kind, str(error))


@dataclass(frozen=True)
class Pair:
    """A test image beside the figure that it was found in.

    Attributes:
        image: What its set calls it.
        figure: The figure, or the panel of it.
        how: In what way it was found there.
        correlation: Of both.
        ours: The image.
        theirs: The figure.
    """

    image: str
    figure: str
    how: str
    correlation: float
    ours: Picture
    theirs: Picture


@dataclass(frozen=True)
class TaskLeaks:
    """What was found of a task's images.

    Attributes:
        images: How many of them are leaked: among the figures, and those not all left out of training.
        of: How many there are.
        how: In what way they are -> how many, each by the figure that it is most surely in.
        untrained: How many others are among figures alone that no train split has.
        pairs: Some of them, as they are shown.
    """

    images: int
    of: int
    how: dict[str, int]
    untrained: int = 0
    pairs: list[Pair] = field(default_factory=list)


@dataclass(frozen=True)
class Leakage:
    """What a search found.

    Attributes:
        store: The store that was searched.
        state: Changes with what is in it.
        figures: How many figures it has.
        rows: Name of a set -> its rows that are leaked, ascending.
        tasks: Task -> what was found of its images.
    """

    store: str
    state: str
    figures: int
    rows: Mapping[str, Indices]
    tasks: Mapping[str, TaskLeaks]


def searched_store(config: EvaluateConfig) -> Searched:
    """The store in which test images are to be sought.

    Raises:
        ConfigError: There is none, or nothing in it.
    """
    assert config.decontaminate is not None
    store = Store(config.decontaminate, config.endpoint_url)
    expected = f"decontaminate: {config.decontaminate}: expected a store in which `biomedica extract` has been run"
    try:
        if not store.exists():
            raise ConfigError(f"{expected}; there is no store")
        return Searched.now(store)
    except (StoreError, OSError, ValueError) as error:
        raise ConfigError(f"{expected}; {' '.join(str(error).split())}") from None


def find_leaked(
    config: EvaluateConfig, record: Run, searched: Searched, ready: Mapping[str, Ready], place: str
) -> Leakage:
    """Seek the images of all tasks among the figures of a store, and list those that are there.

    Args:
        config: The evaluation's.
        record: The run.
        searched: The store.
        ready: The tasks.
        place: Folder of the results, for the list.
    """
    sets = {each.images.name: SetPictures(each.images) for each in ready.values()}
    commits = find_leaks(record, searched, list(sets.values()), config.memory_gb)
    work = partial(_tell, record.store, searched, dict(ready), commits, place=place, shown=config.mistakes)
    tasks, rows = on_a_worker(work, num_cpus=1, memory_gb=config.memory_gb)
    figures = sum(commit.counts["figures"].rows_out for commit in searched.extracted.values())
    return Leakage(searched.store.root, searched.state, figures, rows, tasks)


def _tell(
    store: Store,
    searched: Searched,
    ready: Mapping[str, Ready],
    commits: Mapping[str, Commit],
    *,
    place: str,
    shown: int,
) -> tuple[dict[str, TaskLeaks], dict[str, Indices]]:
    """Write the list, and say what is leaked of each task and of each set; is a task on the cluster."""
    found = {name: read_leaks(store, commit) for name, commit in commits.items()}
    leaked = {name: _rows(each) for name, each in found.items()}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    tasks: dict[str, TaskLeaks] = {}
    for name, each in ready.items():
        asked = found[each.images.name]
        asked = asked.filter(pc.is_in(asked["row"], value_set=pa.array(each.questions.rows)))
        names = each.listing.table["id"]
        best: dict[int, dict[str, Any]] = {}
        for row in asked.to_pylist():
            figure = panel_id(row["figure_id"], row["number"]) if row["number"] else row["figure_id"]
            is_trained = row["trained"]
            listed = {**row, "image": str(names[row["row"]]), "figure": figure}
            if is_trained is not False:
                best.setdefault(row["row"], listed)
            mark = "" if is_trained is None else "yes" if is_trained else "no"
            writer.writerow([name, listed["image"], figure, row["how"], f"{row['correlation']:.4f}", mark])
        how = Counter(_kind(row) for row in best.values())
        untrained = len(np.setdiff1d(asked["row"].to_numpy(), list(best)))
        pairs = _pairs(searched, each, list(best.values())[:shown])
        tasks[name] = TaskLeaks(len(best), len(each.questions.rows), dict(how.most_common()), untrained, pairs)
    store.write_bytes(f"{place}/{LIST}", text.getvalue().encode())
    return tasks, leaked


def _rows(found: pa.Table) -> Indices:
    """Rows of a set that are leaked, ascending."""
    found = found.filter(pc.fill_null(found["trained"], True))
    return np.unique(found["row"].to_numpy()).astype(np.int64)


def _kind(row: Mapping[str, Any]) -> str:
    """In what way an image was found, in a word: a panel that is the same by its hash counts as one."""
    return "panel" if row["number"] else str(row["how"].partition(",")[0])


def _pairs(searched: Searched, ready: Ready, found: list[dict[str, Any]]) -> list[Pair]:
    images = pictures_of(ready.images, sorted(row["row"] for row in found))
    figures = read_pictures(searched.store, searched.extracted, {row["figure_id"] for row in found}, SIDE)
    return [
        Pair(
            row["image"],
            row["figure"],
            row["how"],
            row["correlation"],
            images[row["row"]],
            figures[row["figure_id"]],
        )
        for row in found
    ]
