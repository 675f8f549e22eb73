"""``biomedica publish``: what differs is uploaded, large files first, and last of all what says what there is."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.config import ConfigError
from biomedica_ray.config.arguments import Arguments
from biomedica_ray.pages.formats import size as in_words
from biomedica_ray.progress import Progress
from biomedica_ray.publish.contents import Contents, File, at_hand, dataset, model
from biomedica_ray.reading.place import Place
from biomedica_ray.store.root import Root

BATCH_FILES = 64
"""Files that are committed together: the Hub advises against more than a hundred, and counts commits by the hour."""
BATCH_BYTES = 16 * 10**9
"""Bytes that are committed together, at most, where they are more than one file: what an interruption costs, and the
disk that files of a bucket take on their way."""
_READS = 8
"""Files that are read at a time; one stream of S3 gives some 100 MB/s."""


class Target(Protocol):
    """Where something is published."""

    def listing(self) -> Mapping[str, int]:
        """Path and size of every file that is there."""

    def holds(self, file: File) -> bool:
        """Whether a file is there with the same content."""

    def prepare(self) -> None:
        """Make the place."""

    def put(self, files: Sequence[tuple[File, Path]], gone: Sequence[str] = ()) -> None:
        """Put files there, the last one after the others, and remove some."""


def publish(argv: Sequence[str]) -> int:
    """Publish a dataset or a model; a run that was interrupted goes on with what is missing.

    Returns:
        0.

    Raises:
        ConfigError: An option is wrong, there is nothing to publish, or the place does not let us write.
        StoreError: A file of the store is not what it should be, or the place does not answer.
    """
    arguments = Arguments("publish", "Put a dataset or a model on the Hugging Face Hub, or into a bucket.")
    arguments.add_argument("--store", required=True, metavar="DIR_OR_URI", help="where it was made")
    arguments.add_argument("--to", required=True, metavar="URI", help="hf://OWNER/NAME, or s3://BUCKET/FOLDER")
    arguments.add_argument("--selection", metavar="NAME", help="the dataset of a selection")
    arguments.add_argument("--profile", metavar="NAME", help="the dataset in <store>/profiles/NAME: train-512-q90")
    arguments.add_argument("--model", metavar="NAME", help="the model of this training run, instead of a dataset")
    arguments.add_argument("--license_groups", default="", help="of a dataset, which groups; none: all")
    arguments.add_argument("--private", choices=["true", "false"], default="false", help="make a private repository")
    arguments.add_argument(
        "--delete",
        choices=["true", "false"],
        default="false",
        help="remove shards that are no longer part of the dataset",
    )
    arguments.add_argument("--dry_run", choices=["true", "false"], default="false", help="say what would be done")
    arguments.add_argument("--endpoint_url", metavar="URL", help="S3 server of the store, if it is not AWS")
    arguments.add_argument("--to_endpoint_url", metavar="URL", help="S3 server to publish to, if it is not AWS")
    options = arguments.parse(argv)
    if options.model and (options.selection or options.profile or options.license_groups):
        raise ConfigError("model: a model has neither selection, profile nor license_groups; leave them out")
    if options.model and options.delete == "true":
        raise ConfigError("delete: a model replaces its own files; leave it out")
    root = Root(options.store, options.endpoint_url)
    _check_place(options, root)
    kind = "model" if options.model else "dataset"
    target = _target(options.to, options.to_endpoint_url, kind, private=options.private == "true")
    with tempfile.TemporaryDirectory(prefix="biomedica-") as scratch:
        if options.model:
            contents = model(root, options.model)
        else:
            groups = [group for group in options.license_groups.split(",") if group]
            contents = dataset(root, Place(options.selection, options.profile), groups, Path(scratch))
        stale = contents.stale(target.listing())
        gone = stale if options.delete == "true" else []
        todo = [file for file, there in _compared(target, contents) if not there]
        if options.dry_run == "true":
            _say_what_would_be_done(todo, gone)
        elif todo or gone:
            _publish(root, target, contents, todo, gone)
    _say_what_was_done(options.to, contents, todo, gone, stale, dry_run=options.dry_run == "true")
    return 0


def _check_place(options: argparse.Namespace, root: Root) -> None:
    """Raise ConfigError for options that do not go with the place, and for a place in the store itself."""
    if not options.to.startswith("hf://") and options.private == "true":
        raise ConfigError("private: only a repository of the Hub can be made private; leave it out")
    if options.to.startswith("hf://") and options.to_endpoint_url:
        raise ConfigError("to_endpoint_url: only for s3://; another Hub is named by HF_ENDPOINT")
    store, place = (f"{uri.rstrip('/')}/" for uri in (root.root, options.to))
    if place.startswith(store) and options.to_endpoint_url == root.endpoint_url:
        raise ConfigError(f"to: {options.to}: is in the store itself; expected a place outside of it")


def _target(uri: str, endpoint_url: str | None, kind: str, *, private: bool) -> Target:
    """The place that a URI names; its library is loaded only where it is needed."""
    if uri.startswith("hf://"):
        try:
            from biomedica_ray.publish.hub import HubRepository  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise ConfigError(f"to: {uri}: {error.name} is not installed; run pip install huggingface_hub") from None
        return HubRepository(uri, kind, private=private)
    if uri.startswith("s3://"):
        from biomedica_ray.publish.bucket import Bucket  # noqa: PLC0415

        return Bucket(uri, endpoint_url)
    raise ConfigError(f"to: {uri}: expected hf://OWNER/NAME or s3://BUCKET/FOLDER")


def _compared(target: Target, contents: Contents) -> Iterator[tuple[File, bool]]:
    files = (*contents.large, *contents.last)
    return zip(files, map_in_threads(target.holds, files), strict=True)


def _publish(root: Root, target: Target, contents: Contents, todo: Sequence[File], gone: Sequence[str]) -> None:
    """Put what is missing, in commits of some files; what says what there is comes with the last one."""
    target.prepare()
    wanted = set(todo)
    with Progress("publish", "files", len(todo)) as progress:
        for batch in batches([file for file in contents.large if file in wanted]):
            _put(root, target, batch)
            progress.update(len(batch))
        last = [file for file in contents.last if file in wanted]
        if last or gone:
            _put(root, target, last, gone)
            progress.update(len(last))


def _put(root: Root, target: Target, files: Sequence[File], gone: Sequence[str] = ()) -> None:
    with ExitStack() as stack:
        paths = map_in_threads(lambda file: stack.enter_context(at_hand(root, file)), files, _READS)
        target.put(list(zip(files, paths, strict=True)), gone)


def batches(files: Sequence[File]) -> Iterator[list[File]]:
    """Files in their order, of :data:`BATCH_FILES` and :data:`BATCH_BYTES` at most, or one that is larger."""
    batch: list[File] = []
    for file in files:
        if batch and (len(batch) == BATCH_FILES or sum(each.size for each in batch) + file.size > BATCH_BYTES):
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


def _say_what_would_be_done(todo: Sequence[File], gone: Sequence[str]) -> None:
    for file in todo:
        print(f"+ {file.path} {in_words(file.size)}")
    for path in gone:
        print(f"- {path}")


def _say_what_was_done(
    uri: str, contents: Contents, todo: Sequence[File], gone: Sequence[str], stale: Sequence[str], *, dry_run: bool
) -> None:
    same = len(contents.large) + len(contents.last) - len(todo)
    would = "would be " if dry_run else ""
    line = f"{len(todo)} files, {in_words(sum(file.size for file in todo))}, {would}uploaded, {same} were there"
    if gone:
        line += f", {len(gone)} {would}removed"
    print(f"biomedica publish: {uri}: {line}", file=sys.stderr)
    if left := len(stale) - len(gone):
        print(
            f"biomedica publish: {uri}: {left} files of an earlier dataset are still there, which readers that go by "
            "patterns would read as well; --delete true removes them",
            file=sys.stderr,
        )
