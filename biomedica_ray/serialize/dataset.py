"""What lies beside the shards: dataset.json, which names them all, and the dataset card."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow.fs as pafs

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.reading.place import FORMS, Place
from biomedica_ray.serialize import charts, croissant, statistics
from biomedica_ray.serialize.card import SUMMARY, TITLE, card, webdataset_card
from biomedica_ray.serialize.gathered import ATTRIBUTION, METADATA
from biomedica_ray.serialize.profiles import schema_of
from biomedica_ray.serialize.shard_plan import KINDS
from biomedica_ray.store import Store
from biomedica_ray.store.root import Root

log = logging.getLogger(__name__)

_INDICES = ("sizes.json", "wids.json")
_WEBDATASET_CARD = "webdataset/README.md"


_BEFORE = "shard-plan/before.json"
"""Where the last dataset.json that was withdrawn lies, to tell what has changed since."""


def withdraw(store: Store, place: Place) -> None:
    """Remove dataset.json, so that nobody takes the dataset for complete while its shards change, and indices."""
    try:
        store.write_bytes(place.folder(_BEFORE), store.read_bytes(place.document))
    except FileNotFoundError:
        log.debug("%s: withdrawn before", store.uri(place.document))
    store.delete(place.document)
    for group, split in KINDS:
        for name in _INDICES:
            store.delete(f"{place.folder('dataset')}/webdataset/{group}/{split}/{name}")


def publish(store: Store, place: Place, shards: Sequence[dict[str, Any]], settings: dict[str, Any]) -> None:
    """Remove files that belong to no shard, then write cards and indices, then dataset.json, if anything changed.

    `croissant.json` describes the Parquet files to catalogues and loaders. Beside the shards of each licence group and
    split lie `sizes.json`, from which open_clip_train reads their numbers of samples, and `wids.json`, by which the
    library wids reads any sample without those before it.

    Args:
        store: The store.
        place: Where it lies.
        shards: Rows of the shards table, in order.
        settings: Further entries of dataset.json.
    """
    samples = sum(shard["samples"] for shard in shards)
    names = {"attribution": ATTRIBUTION, "metadata": METADATA}
    document = {**settings, "samples": samples, **names, "shards": list(shards)}
    if store.has(place.document) and store.read_json(place.document) | {"previous": None} == document | {
        "previous": None
    }:
        return
    document["previous"] = previous(store, place)
    folder = place.folder("dataset")
    beside = documents(document, read_statistics(store, folder))
    _remove_others(store, folder, {*beside, *(shard[key] for shard in shards for key in ("path", "parquet"))})
    for path, data in beside.items():
        store.write_bytes(f"{folder}/{path}", data)
    store.write_json(place.document, document)


def previous(store: Store, place: Place) -> str | None:
    """SHA-256 of the dataset.json that is there, or of the last that was withdrawn, hex; None where there was none."""
    for path in (place.document, place.folder(_BEFORE)):
        try:
            return hashlib.sha256(store.read_bytes(path)).hexdigest()
        except FileNotFoundError:
            continue
    return None


def read_statistics(root: Root, folder: str) -> statistics.Statistics:
    """The counts of a dataset by licence group; empty where there are none, as in those of earlier versions."""
    try:
        found: statistics.Statistics = root.read_json(f"{folder}/{statistics.FILE}")
    except FileNotFoundError:
        return {}
    return found


def documents(document: dict[str, Any], counts: statistics.Statistics) -> dict[str, bytes]:
    """Path and content of the cards, charts and indices that belong to a dataset.json.

    Args:
        document: The dataset.json.
        counts: The counts of its licence groups.
    """
    shards = document["shards"]
    kinds = {(shard["license_group"], shard["split"]) for shard in shards}
    columns = schema_of(document)
    described = json.dumps(croissant.croissant(TITLE, SUMMARY, document["version"], kinds, columns), indent=1) + "\n"
    in_all = statistics.summed(counts.values())
    texts = {
        "README.md": card(document, charts.section(in_all)),
        croissant.FILE: described,
        _WEBDATASET_CARD: webdataset_card(document),
        **dict(_indices(shards)),
    }
    return {path: text.encode() for path, text in texts.items()} | charts.charts(in_all)


def _remove_others(store: Store, folder: str, kept: set[str]) -> None:
    root = store.path(folder) + "/"
    selectors = (pafs.FileSelector(root + form, allow_not_found=True, recursive=True) for form in FORMS)
    infos = (info for selector in selectors for info in store.filesystem.get_file_info(selector))
    found = (info.path.removeprefix(root) for info in infos if info.type == pafs.FileType.File)
    list(map_in_threads(store.delete, [f"{folder}/{path}" for path in found if path not in kept]))


def _indices(shards: Sequence[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Path and text of the indices of each licence group and split."""
    for group, split in KINDS:
        own = [shard for shard in shards if (shard["license_group"], shard["split"]) == (group, split)]
        if own:
            sizes = {PurePosixPath(shard["path"]).name: shard["samples"] for shard in own}
            listed = [
                {"url": name, "nsamples": samples, "filesize": shard["bytes"]}
                for (name, samples), shard in zip(sizes.items(), own, strict=True)
            ]
            wids = {"wids_version": 1, "name": f"{group}-{split}", "shardlist": listed}
            for name, index in zip(_INDICES, (sizes, wids), strict=True):
                yield f"webdataset/{group}/{split}/{name}", json.dumps(index, indent=1) + "\n"
