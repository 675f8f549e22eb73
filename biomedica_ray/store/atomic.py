"""Files that are there as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import threading
import time
import uuid
from pathlib import Path
from types import TracebackType

import pyarrow.fs as pafs

from biomedica_ray import usage
from biomedica_ray.store.azure_client import AzureBlobs
from biomedica_ray.store.filesystem import StoreError

UNFINISHED = ".unfinished"
"""Folder of a local store where unfinished files lie: on its disk, as a rename must be able to finish them."""
_COPY_BYTES = 8 * 2**20
_ABANDONED_S = 24 * 3600.0
"""An unfinished file of another machine that has not been touched for this long belongs to a process that ended."""

_SCHEMES = {"py::s3": "s3://", "gcs": "gs://"}
"""How URIs begin, by what Arrow calls the kind of storage."""

_swept: set[Path] = set()
_sweeping = threading.Lock()


def unfinished_name() -> str:
    """A new name for what is unfinished, which says whose it is: ``biomedica-<host>-<process>-<random>``."""
    return f"biomedica-{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"


def unfinished_folder(filesystem: pafs.FileSystem, root: str) -> Path:
    """Where this machine keeps files of the store at ``root`` until they are complete; made if it is not there."""
    local = isinstance(filesystem, pafs.LocalFileSystem)
    folder = Path(root, UNFINISHED) if local else Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class AtomicFile:
    """A file that is written on this machine's disk, at :attr:`local`, and then put in its place in one step.

    In a ``with`` block, it is put in its place at the end, or discarded where the block raises.

    Args:
        filesystem: Where it belongs.
        root: Path of the store there.
        target: Path of the file there.
        blobs: Writes to it where it belongs in Azure.
    """

    def __init__(self, filesystem: pafs.FileSystem, root: str, target: str, blobs: AzureBlobs | None = None) -> None:
        self._filesystem, self._target, self._blobs = filesystem, target, blobs
        self._is_local = isinstance(filesystem, pafs.LocalFileSystem)
        folder = unfinished_folder(filesystem, root)
        _sweep_once(folder)
        self.local = folder / unfinished_name()

    def publish(self) -> None:
        """Put the file in its place; what was there is replaced, and the local one is gone in any case.

        Raises:
            OSError: It cannot be written, or the server refuses it.
            StoreError: Not all of it is there.
        """
        usage.count("bytes", "written", self.local.stat().st_size)
        try:
            if self._is_local:
                Path(self._target).parent.mkdir(parents=True, exist_ok=True)
                self.local.replace(self._target)
            elif self._blobs:
                self._blobs.put_file(self._target, self.local)
            else:
                self._upload()
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove the local file."""
        self.local.unlink(missing_ok=True)

    def _upload(self) -> None:
        size = self.local.stat().st_size
        # Not pyarrow's copy_files, which says nothing when a server refuses an object or one of its parts.
        with self.local.open("rb") as source, self._filesystem.open_output_stream(self._target) as target:
            shutil.copyfileobj(source, target, _COPY_BYTES)
        # What was one PUT is there as it was sent, or an error; what came in parts was put together by the server.
        if size > _COPY_BYTES and (there := self._filesystem.get_file_info(self._target).size) != size:
            uri = f"{_SCHEMES[self._filesystem.type_name]}{self._target}"
            raise StoreError(f"{uri}: {there} of {size} bytes have been stored; run the same command again")

    def __enter__(self) -> Path:
        return self.local

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if kind is None:
            self.publish()
        else:
            self.discard()


def _sweep_once(folder: Path) -> None:
    """Remove what processes that ended have left in a folder, the first time that this process writes there."""
    with _sweeping:
        if folder not in _swept:
            _swept.add(folder)
            sweep(folder)


def sweep(folder: Path) -> None:
    """Remove what is unfinished in a folder: of processes of this machine that ended, and very old files of others."""
    for path in folder.glob("biomedica-*"):
        host, _, process = path.name.removeprefix("biomedica-").rpartition("-")[0].rpartition("-")
        try:
            if host == socket.gethostname() and process.isdigit():
                gone = not is_running(int(process))
            else:
                gone = path.is_file() and time.time() - path.stat().st_mtime > _ABANDONED_S
            if gone:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        except FileNotFoundError:
            continue  # another process sweeps as well


def is_running(process: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
