"""``biomedica verify``: whether a dataset, as it was copied or downloaded, is the one that its dataset.json lists."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow.fs as pafs

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.config import ConfigError
from biomedica_ray.config.arguments import Arguments
from biomedica_ray.config.wording import BUCKETS, suggest
from biomedica_ray.pages.formats import size as in_words
from biomedica_ray.progress import Progress
from biomedica_ray.reading.place import DOCUMENT, FORMS
from biomedica_ray.store import StoreError
from biomedica_ray.store.root import Root


@dataclass(frozen=True)
class Listed:
    """A file that dataset.json lists."""

    path: str
    size: int
    sha256: str | None


def verify(argv: Sequence[str]) -> int:
    """Compare a dataset with its dataset.json; prints a line for each file that differs, is missing or does not belong.

    Returns:
        0 where all is as listed, else 1.

    Raises:
        ConfigError: An option is wrong, or there is no dataset.
    """
    arguments = Arguments("verify", "Compare a dataset, as it was copied or downloaded, with its dataset.json.")
    arguments.add_argument("dataset", metavar="DIR_OR_URI", help=f"folder with dataset.json, local, {BUCKETS}")
    arguments.add_argument("--endpoint_url", metavar="URL", help="S3 server, if it is not AWS")
    arguments.add_argument("--forms", default=",".join(FORMS), help="what was downloaded: webdataset, parquet, or both")
    arguments.add_argument("--license_groups", default="", help="of which groups; none: of all")
    arguments.add_argument("--sizes_only", choices=["true", "false"], default="false", help="do not read the files")
    options = arguments.parse(argv)
    root = Root(options.dataset, options.endpoint_url)
    forms = _chosen("forms", options.forms, FORMS)
    try:
        shards = root.read_json(DOCUMENT)["shards"]
        groups = _chosen("license_groups", options.license_groups, {shard["license_group"] for shard in shards})
        listed = [
            Listed(shard[path], shard[size], shard.get(sha256))
            for shard in shards
            for path, size, sha256 in (FORMS[form] for form in forms)
            if not groups or shard["license_group"] in groups
        ]
        found = _found(root, forms)
    except FileNotFoundError:
        raise ConfigError(f"{options.dataset}: expected a folder with {DOCUMENT}, as serialize writes it") from None
    except (KeyError, TypeError, ValueError, OSError, StoreError) as error:
        raise ConfigError(f"{root.uri(DOCUMENT)}: cannot be read: {' '.join(str(error).split())}") from None
    wrong = 0
    with Progress("verify", "files", len(listed)) as progress:
        check = partial(_problem, root, found, sizes_only=options.sizes_only == "true")
        for file, problem in zip(listed, map_in_threads(check, listed), strict=True):
            progress.update(errors=bool(problem))
            if problem:
                wrong += 1
                print(f"{file.path}: {problem}")
    for path in sorted(found.keys() - {shard[FORMS[form][0]] for shard in shards for form in forms}):
        wrong += 1
        print(f"{path}: not in {DOCUMENT}")
    total = in_words(sum(file.size for file in listed))
    said = f"{wrong} files are not" if wrong else "all are"
    print(f"biomedica verify: {len(listed)} files, {total}: {said} as {DOCUMENT} has them", file=sys.stderr)
    return int(wrong > 0)


def _chosen(key: str, text: str, known: Collection[str]) -> list[str]:
    names = [name for name in text.split(",") if name]
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"{key}: {unknown[0]}: {suggest(unknown[0], sorted(known))}")
    return names


def _found(root: Root, forms: Sequence[str]) -> dict[str, int]:
    """Path below the root and size of the shards and Parquet files that are there."""
    prefix = root.path() + "/"
    selectors = [pafs.FileSelector(prefix + form, allow_not_found=True, recursive=True) for form in forms]
    infos = [info for selector in selectors for info in root.filesystem.get_file_info(selector)]
    return {
        info.path.removeprefix(prefix): info.size
        for info in infos
        if info.type == pafs.FileType.File and info.path.endswith((".tar", ".parquet"))
    }


def _problem(root: Root, found: dict[str, int], file: Listed, *, sizes_only: bool) -> str | None:
    """What is wrong with a file; None where it is as listed."""
    if file.path not in found:
        return "missing"
    if found[file.path] != file.size:
        return f"{found[file.path]:,} bytes, expected {file.size:,}"
    if sizes_only or file.sha256 is None:
        return None
    try:
        sha256 = root.sha256(file.path)
    except OSError as error:
        return f"cannot be read: {' '.join(str(error).split())}"
    return None if sha256 == file.sha256 else f"SHA-256 is {sha256}, expected {file.sha256}"
