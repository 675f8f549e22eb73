"""What lies beside the shards: dataset.json, which names them all, and the dataset card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath
from typing import Any

import pyarrow.fs as pafs

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.reading.place import FORMS, Place
from biomedica_ray.serialize import attribution, croissant
from biomedica_ray.serialize.card import SUMMARY, TITLE, card, webdataset_card
from biomedica_ray.serialize.profiles import schema_of
from biomedica_ray.serialize.shard_plan import KINDS
from biomedica_ray.store import Store

_INDICES = ("sizes.json", "wids.json")
_WEBDATASET_CARD = "webdataset/README.md"


def withdraw(store: Store, place: Place) -> None:
    """Remove dataset.json, so that nobody takes the dataset for complete while its shards change, and indices."""
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
    document = {**settings, "samples": samples, "attribution": attribution.FILE, "shards": list(shards)}
    try:
        if store.read_json(place.document) == document:
            return
    except FileNotFoundError:
        pass
    folder = place.folder("dataset")
    beside = documents(document)
    _remove_others(store, folder, {*beside, *(shard[key] for shard in shards for key in ("path", "parquet"))})
    for path, text in beside.items():
        store.write_bytes(f"{folder}/{path}", text.encode())
    store.write_json(place.document, document)


def documents(document: dict[str, Any]) -> dict[str, str]:
    """Path and text of the cards and indices that belong to a dataset.json."""
    shards = document["shards"]
    kinds = {(shard["license_group"], shard["split"]) for shard in shards}
    columns = schema_of(document)
    described = json.dumps(croissant.croissant(TITLE, SUMMARY, document["version"], kinds, columns), indent=1) + "\n"
    return {
        "README.md": card(document),
        croissant.FILE: described,
        _WEBDATASET_CARD: webdataset_card(document),
        **dict(_indices(shards)),
    }


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
