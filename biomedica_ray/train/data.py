"""Where the data that a model learns from are: a dataset, tar files, or a table of image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from biomedica_ray.config import ConfigError
from biomedica_ray.reading.pairs import Pairs, is_pairs
from biomedica_ray.reading.shards import Shard, Source, read_shards
from biomedica_ray.reading.tars import find_tars, is_tars
from biomedica_ray.runs import Run
from biomedica_ray.serialize.shard_plan import LICENSE_GROUPS
from biomedica_ray.store import Store
from biomedica_ray.store.filesystem import OBJECT_STORAGE


def find_shards(
    root: str | list[str],
    record: Run,
    endpoint_url: str | None,
    license_groups: Sequence[str] = LICENSE_GROUPS,
    *,
    named: bool = True,
) -> tuple[Source | Pairs, tuple[Shard, ...]]:
    """The data at a place and their shards to train on.

    Args:
        root: A dataset's folder, tar files by path or URL, or a table.
        record: The run that wants them.
        endpoint_url: For S3, a server other than AWS.
        license_groups: Of a dataset, those that are wanted.
        named: Whether a user named the place, so that what is wrong with it is a mistake in ``data``.

    Raises:
        ConfigError: There is nothing of the kind, or licence groups are wanted of data that do not tell them.
        StoreError: There is no dataset.
    """
    if isinstance(root, list) and len(root) == 1:
        (root,) = root
    if isinstance(root, str) and is_pairs(root):
        _all_licenses(license_groups)
        here = root if root.startswith(OBJECT_STORAGE) else str(Path(root).expanduser().absolute())
        pairs = Pairs(here, endpoint_url)
        return pairs, pairs.shards()
    if isinstance(root, str) and not is_tars(root):
        if named and not root.startswith(OBJECT_STORAGE) and not Path(root).expanduser().is_dir():
            what = "is a file" if Path(root).expanduser().exists() else "no such folder"
            raise ConfigError(f"data: {root}: {what}; expected the folder of a dataset, .tar files, or a .csv or .tsv")
        data = Store(root, endpoint_url)
        return data, read_shards(data, license_groups, "train")
    _all_licenses(license_groups)
    return find_tars([root] if isinstance(root, str) else root, record, endpoint_url)


def _all_licenses(license_groups: Sequence[str]) -> None:
    if set(license_groups) < set(LICENSE_GROUPS):
        raise ConfigError(
            "license_groups: samples without a dataset.json do not say their licence; leave it out, or name a dataset"
        )
