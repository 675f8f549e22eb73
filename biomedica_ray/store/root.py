"""A place on a local disk or in object storage, and the files below it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import socket
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from biomedica_ray import usage
from biomedica_ray.store.atomic import AtomicFile, unfinished_folder
from biomedica_ray.store.azure_client import AzureBlobs
from biomedica_ray.store.filesystem import ATTEMPTS, StoreError, azure_account, open_filesystem, read_again
from biomedica_ray.store.writable import TRIAL_S, why_not_in_a_bucket, why_not_in_a_container, why_not_local

log = logging.getLogger(__name__)

_PIECE = 8 * 2**20
"""Bytes of a large file that are read at a time."""


@dataclass(frozen=True)
class Root:
    """A place that files are read from and written to.

    Attributes:
        root: A local path, ``s3://bucket/prefix``, ``gs://bucket/prefix`` or ``az://container/prefix``.
        endpoint_url: A server other than AWS, Google or Azure; credentials come from their usual variables and files.
    """

    root: str
    endpoint_url: str | None = None

    @cached_property
    def _location(self) -> tuple[pafs.FileSystem, str]:
        return open_filesystem(self.root, self.endpoint_url)

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "endpoint_url": self.endpoint_url}

    @property
    def filesystem(self) -> pafs.FileSystem:
        """The pyarrow filesystem that the root lies on."""
        return self._location[0]

    @property
    def is_local(self) -> bool:
        """Whether the root is a directory of this machine's file system."""
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    @property
    def is_s3(self) -> bool:
        """Whether the root is in S3, or on a server that speaks its protocol."""
        return self.root.startswith("s3://")

    @cached_property
    def blobs(self) -> AzureBlobs | None:
        """What writes and removes files where the root is in Azure."""
        if not self.root.startswith("az://"):
            return None
        return AzureBlobs(azure_account(self.root), self.endpoint_url, ATTEMPTS)

    def path(self, *parts: str) -> str:
        """A path within the root, for :attr:`filesystem`; without parts, the root's."""
        return "/".join([self._location[1], *parts])

    def uri(self, *parts: str) -> str:
        """The same place as a path or URI that a user can copy."""
        return "/".join([self.root.rstrip("/"), *parts])

    def open(self, path: str, buffer_size: int | None = None) -> pa.NativeFile:
        """The file at ``path`` below the root as a stream; each read of the storage is of ``buffer_size`` bytes."""
        return self.filesystem.open_input_stream(self.path(path), buffer_size=buffer_size)

    def try_writing(self) -> None:
        """Write a few bytes below the root and remove them, so that a run which cannot write fails before it starts.

        A root that does not exist yet is not made. A server that does not answer costs about ten seconds.

        Raises:
            StoreError: Nothing can be written there; one line that says why.
        """
        if self.is_local:
            reason = why_not_local(Path(self.path()))
        elif self.blobs:
            reason = why_not_in_a_container(replace(self.blobs, attempts=2, timeout_s=TRIAL_S), self.path())
        else:
            filesystem, prefix = open_filesystem(self.root, self.endpoint_url, timeout_s=TRIAL_S)
            reason = why_not_in_a_bucket(filesystem, prefix, TRIAL_S)
        if reason:
            at = f" at {self.endpoint_url}" if self.endpoint_url else ""
            raise StoreError(f"store {self.root}{at}: {reason}")

    # JSON documents

    def read_json(self, path: str) -> Any:
        """Parse the JSON document at ``path`` below the root; raises FileNotFoundError if it does not exist."""
        return json.loads(self.read_bytes(path))

    def read_bytes(self, path: str) -> bytes:
        """A small file at ``path`` below the root, in one request; raises FileNotFoundError if it does not exist."""

        def read() -> bytes:
            with self.filesystem.open_input_stream(self.path(path)) as stream:
                data: bytes = stream.read()
            return data

        if self.is_s3 or self.blobs:
            from biomedica_ray.store.objects import read_object  # noqa: PLC0415 - botocore, for those who use storage

            data = read_object(self.uri(path), self.endpoint_url)
        else:
            data = read_again(read)
        usage.count("bytes", "read", len(data))
        return data

    def sha256(self, path: str, copy: Path | None = None) -> str:
        """SHA-256 of a file below the root, hex; its bytes are copied to this machine where ``copy`` says so.

        Raises:
            OSError: It does not exist, or cannot be read however often it is tried.
        """

        def read() -> str:
            digest = hashlib.sha256()
            with self.open(path) as stream, Path(copy or os.devnull).open("wb") as target:
                while piece := stream.read(_PIECE):
                    digest.update(piece)
                    target.write(piece)
            return digest.hexdigest()

        return read_again(read)

    def write_json(self, path: str, document: Any) -> None:
        """Write a JSON document in one atomic step."""
        self.write_bytes(path, json.dumps(document, indent=1, default=str).encode())

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a small file in one atomic step."""
        with self.atomic_file(path) as local:
            local.write_bytes(data)

    def atomic_file(self, path: str) -> AtomicFile:
        """A local path to write to, which becomes the file ``path`` of the store when the ``with`` block succeeds."""
        return AtomicFile(self.filesystem, self.path(), self.path(path), self.blobs)

    def list(self, prefix: str) -> list[str]:
        """Names of the files directly under ``prefix``, sorted; hidden ones are left out."""
        selector = pafs.FileSelector(self.path(prefix), allow_not_found=True)
        infos = self.filesystem.get_file_info(selector)
        names = (info.base_name for info in infos if info.type == pafs.FileType.File)
        return sorted(name for name in names if not name.startswith("."))

    def has(self, path: str) -> bool:
        """Whether there is a file at ``path`` below the root."""
        info = read_again(lambda: self.filesystem.get_file_info(self.path(path)))
        return bool(info.type == pafs.FileType.File)

    def total_bytes(self, prefix: str) -> int:
        """Bytes of the files directly under ``prefix``."""
        selector = pafs.FileSelector(self.path(prefix), allow_not_found=True)
        infos = read_again(lambda: self.filesystem.get_file_info(selector))
        return sum(info.size or 0 for info in infos if info.type == pafs.FileType.File)

    def check_room(self, needed: int, key: str) -> None:
        """Look whether this machine's disk has room for files that are not in their place yet.

        Args:
            needed: Bytes of them.
            key: The config's key that makes them smaller, for the message.

        Raises:
            StoreError: There is less.
        """
        folder = unfinished_folder(self.filesystem, self.path())
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise StoreError(
                f"{socket.gethostname()}: {folder} has {free / 1e9:.1f} GB free, and {needed / 1e9:.1f} GB are needed; "
                f"lower {key}, or set TMPDIR to a larger disk"
            )

    def folders(self, prefix: str) -> tuple[str, ...]:
        """Names of the folders directly under ``prefix``, sorted."""
        # Arrow lists no folders of Google Cloud Storage that nobody made as such.
        by_files = self.filesystem.type_name == "gcs"
        selector = pafs.FileSelector(self.path(prefix), allow_not_found=True, recursive=by_files)
        infos = self.filesystem.get_file_info(selector)
        if not by_files:
            return tuple(sorted(info.base_name for info in infos if info.type == pafs.FileType.Directory))
        below = (info.path.removeprefix(selector.base_dir).strip("/").partition("/") for info in infos)
        return tuple(sorted({name for name, slash, _ in below if slash}))

    def delete(self, path: str) -> None:
        """Remove the file at ``path`` below the root, if it is there."""
        try:
            if self.blobs:  # Arrow would leave an empty blob in its folder's name
                self.blobs.delete(self.path(path))
            else:
                self.filesystem.delete_file(self.path(path))
        except FileNotFoundError:
            log.debug("%s was already gone", self.uri(path))

    def delete_folder(self, path: str) -> None:
        """Remove the folder at ``path`` below the root with all that is in it, if it is there."""
        try:
            self.filesystem.delete_dir(self.path(path))
        except OSError as error:  # of Google Cloud Storage, Arrow has but the words for one that is not there
            if not isinstance(error, FileNotFoundError) and "No such directory" not in str(error):
                raise
            log.debug("%s was already gone", self.uri(path))
