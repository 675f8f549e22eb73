"""Commit records that a piece of work knows, so that it asks the store for none of them; and those that it makes.

A driver has read the records of all units when it hands them out. A task that does a unit is given those that it needs,
in place of a request for each; and gives back the one that it made, for the driver's next step.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from biomedica_ray.store.commits import Commit, record_path
from biomedica_ray.store.root import Root

Key = tuple[str, str, int]
"""Root, stage and unit."""


@dataclass
class Known:
    """Records that a piece of work knows.

    Attributes:
        records: Those that were given to it or that it has read; None of what is not committed.
        made: Those that it has written.
    """

    records: dict[Key, Commit | None] = field(default_factory=dict)
    made: list[Commit] = field(default_factory=list)


_known: ContextVar[Known | None] = ContextVar("known", default=None)


def as_text(root: Root, unit: int, stages: Mapping[str, Commit | None]) -> str:
    """The records of a unit as text, for :func:`knowing`; None of stages that have not committed it."""
    return json.dumps([[root.root, stage, unit, commit and commit.to_json()] for stage, commit in stages.items()])


@contextmanager
def knowing(text: str) -> Iterator[Known]:
    """Within it, no request is sent for records that are known; in this thread."""
    records = {
        (root, stage, unit): commit and Commit.from_json(commit) for root, stage, unit, commit in json.loads(text)
    }
    known = Known(records)
    token = _known.set(known)
    try:
        yield known
    finally:
        _known.reset(token)


def read_record(root: Root, stage: str, unit: int) -> Commit:
    """The record of what ``stage`` made of ``unit``; raises FileNotFoundError where it has not committed it."""
    known, key = _known.get(), (root.root, stage, unit)
    if known is None:
        return _read(root, stage, unit)
    if key not in known.records:
        try:
            known.records[key] = _read(root, stage, unit)
        except FileNotFoundError:
            known.records[key] = None
    if (found := known.records[key]) is None:
        raise FileNotFoundError(f"{root.uri(record_path(stage, unit))}: no such commit")
    return found


def write_record(root: Root, commit: Commit) -> None:
    """Make what a commit says visible, in one atomic step."""
    root.write_json(commit.record, commit.to_json())
    if (known := _known.get()) is not None:
        known.records[root.root, commit.stage, commit.unit] = commit
        known.made.append(commit)


def _read(root: Root, stage: str, unit: int) -> Commit:
    return Commit.from_json(root.read_json(record_path(stage, unit)))
