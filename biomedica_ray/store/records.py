"""Reading the commit records of a stage: all of them with few requests.

Each record is an object, and asking for each of 25,000 objects takes minutes. So what was read is kept in one more
object, the snapshot, with the size and the date that each record had in the listing; of a record that has them still,
nothing is asked again.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from typing import Any

import pyarrow.fs as pafs

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.store.commits import Commit
from biomedica_ray.store.filesystem import StoreError, read_again
from biomedica_ray.store.root import Root

log = logging.getLogger(__name__)

SNAPSHOT = ".snapshot.json"
"""Name of the snapshot in the folder of the records; hidden, so that no listing shows it."""
WORTH_A_SNAPSHOT = 256
"""Records that are read one by one before a snapshot is written."""
SETTLED_S = 20 * 60.0
"""S3 tells dates by the second, and the clock here may be off by a quarter of an hour: what is younger may be written
again without another date."""


def read_records(root: Root, folder: str, made: Iterable[Commit] = ()) -> list[Commit]:
    """The commit records in ``folder`` below the root, by unit.

    Args:
        root: The store.
        folder: The records of a stage.
        made: Records that were just written, by whoever holds the stage: they are not asked for.
    """
    selector = pafs.FileSelector(root.path(folder), allow_not_found=True)
    listed = {
        info.base_name: [info.size, info.mtime_ns]
        for info in read_again(lambda: root.filesystem.get_file_info(selector))
        if info.type == pafs.FileType.File
    }
    taken: dict[str, Any] = {}
    if listed.pop(SNAPSHOT, None) is not None:
        try:
            snapshot = root.read_json(f"{folder}/{SNAPSHOT}")
        except ValueError:  # it only saves requests
            snapshot = {}
        taken = {name: entry for name, entry in snapshot.items() if listed.get(name) == entry["seen"]}
    new = [name for name in sorted(listed) if name not in taken and not name.startswith(".")]
    here = {commit.record.rpartition("/")[2]: commit.to_json() for commit in made}
    unknown = [name for name in new if name not in here]
    there = zip(unknown, map_in_threads(root.read_json, [f"{folder}/{name}" for name in unknown]), strict=True)
    documents = here | dict(there)
    read = {name: {"seen": listed[name], "record": documents[name]} for name in new}
    if not root.is_local and len(settled := _settled(read)) >= WORTH_A_SNAPSHOT:
        try:
            root.write_bytes(f"{folder}/{SNAPSHOT}", json.dumps(taken | settled).encode())
        except (OSError, StoreError) as error:
            log.debug("%s: not written, as it only saves requests: %s", root.uri(folder, SNAPSHOT), error)
    commits = [Commit.from_json(entry["record"]) for entry in (taken | read).values()]
    return sorted(commits, key=lambda commit: commit.unit)


def _settled(read: dict[str, Any]) -> dict[str, Any]:
    """Those that cannot be written again without another date."""
    latest_ns = (time.time() - SETTLED_S) * 1e9
    return {name: entry for name, entry in read.items() if entry["seen"][1] < latest_ns}
