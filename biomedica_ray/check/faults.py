"""What is wrong with a store: found by comparing commit records with listings, a few requests a folder."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

import pyarrow.fs as pafs

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.store import Commit, Store


@dataclass
class Faults:
    """What is wrong with a store; all paths are relative to its root.

    Attributes:
        missing: Commits of which a file is not there, and the first such file.
        left_over: Files among those of commits that no commit names: of runs that were killed between a file and its
            record.
        unreadable: Commit records that this version cannot read.
        commits: Commits that were looked at.
        files: Files that they name.
    """

    missing: list[tuple[Commit, str]] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    commits: int = 0
    files: int = 0

    @property
    def total(self) -> int:
        """How many."""
        return len(self.missing) + len(self.left_over) + len(self.unreadable)


def find_faults(store: Store, settled_ns: int) -> Faults:
    """Compare the commits of all stages with the files that are there.

    Args:
        store: The store.
        settled_ns: Files that are younger (Unix time) are not taken for left over, as a commit of them may follow.
    """
    faults = Faults()
    named: dict[str, set[str]] = defaultdict(set)
    commits = []
    for path, commit in _records(store):
        if commit is None:
            faults.unreadable.append(path)
            continue
        commits.append(commit)
        for file in commit.files.values():
            folder, _, name = file.rpartition("/")
            named[folder].add(name)
    forms = {folder: set(map(_form, names)) for folder, names in named.items()}
    there = {
        folder: {info.base_name: info.mtime_ns for info in infos}
        for folder, infos in zip(named, map_in_threads(lambda folder: _files(store, folder), named), strict=True)
    }
    for commit in commits:
        gone = [path for path in commit.files.values() if path.rpartition("/")[2] not in there[path.rpartition("/")[0]]]
        if gone and store.has(commit.record):  # else a run has withdrawn it meanwhile
            faults.missing.append((commit, gone[0]))
    faults.left_over = sorted(
        f"{folder}/{name}"
        for folder, names in there.items()
        for name, written_ns in names.items()
        if name not in named[folder]
        and not name.startswith(".")
        and written_ns < settled_ns
        and _form(name) in forms[folder]
    )
    faults.commits, faults.files = len(commits), sum(map(len, named.values()))
    return faults


def _form(name: str) -> str:
    """A name without numbers and fingerprints; what is no unit's but stands beside their files has another one."""
    return re.sub(r"(?<![a-z])[0-9a-f]+(?![a-z])", "#", name)


def _records(store: Store) -> list[tuple[str, Commit | None]]:
    """Every commit record; None of those that cannot be read."""
    selector = pafs.FileSelector(store.path("commits"), allow_not_found=True, recursive=True)
    root = store.path() + "/"
    paths = [
        info.path.removeprefix(root)
        for info in store.filesystem.get_file_info(selector)
        if info.type == pafs.FileType.File and not info.base_name.startswith(".")
    ]
    stages = sorted({path.removeprefix("commits/").rpartition("/")[0] for path in paths})
    read: dict[str, Commit | None] = {}
    for stage in stages:
        try:
            read |= {commit.record: commit for commit in store.commits(stage).values()}
        except (ValueError, TypeError, KeyError, FileNotFoundError):  # one of them cannot be read; which?
            continue
    unread = [path for path in paths if path not in read]
    for found in map_in_threads(lambda path: _record(store, path), unread):
        read |= found
    return [(path, read[path]) for path in paths if path in read]


def _record(store: Store, path: str) -> dict[str, Commit | None]:
    """The record by its path; none where a run has withdrawn it meanwhile."""
    try:
        return {path: Commit.from_json(store.read_json(path))}
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError, KeyError):
        return {path: None}


def _files(store: Store, folder: str) -> list[pafs.FileInfo]:
    selector = pafs.FileSelector(store.path(folder), allow_not_found=True)
    return [info for info in store.filesystem.get_file_info(selector) if info.type == pafs.FileType.File]
