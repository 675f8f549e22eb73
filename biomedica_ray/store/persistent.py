"""S3 and Azure as filesystems for Arrow, and for all who read through one: what fails is asked for again.

Of S3, Arrow's own does not repeat a GET whose error has a longer text than the range that was asked for, nor a body
that was cut. Writes there are Arrow's: they raise, and whoever writes makes the whole file again.

Arrow's own of Azure travels with the account's key or signature, and tells the signature with its errors. This one
travels without, as each process has them in its environment, takes it out of errors, and writes by requests of ours:
of a file that Arrow cannot close it tells the terminal itself.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.fs as pafs

from biomedica_ray.store.atomic import AtomicFile
from biomedica_ray.store.azure_client import AzureBlobs
from biomedica_ray.store.filesystem import (
    ATTEMPTS,
    StoreError,
    azure_account,
    azure_of_arrow,
    read_again,
    s3_of_arrow,
)
from biomedica_ray.store.objects import AzureObject, S3Object, StoredObject
from biomedica_ray.store.ranges import as_file, as_stream

T = TypeVar("T")

_SIGNATURE = re.compile(r"\bsig=[^&\s'\"]+")


def persistent(scheme: str, endpoint_url: str | None) -> pafs.FileSystem:
    """Arrow's filesystem of S3 or Azure, with reads that are sent again.

    Args:
        scheme: ``s3`` or ``az``.
        endpoint_url: The server that it asks, where it is not AWS or Azure.
    """
    return pafs.PyFileSystem(_KINDS[scheme](endpoint_url))


class _Object(StoredObject):
    """Raises what users of a filesystem expect."""

    def _persist(self, request: Callable[[], T]) -> T:
        try:
            return super()._persist(request)
        except StoreError as error:
            raise OSError(str(error)) from None


class _S3Object(_Object, S3Object):
    pass


class _AzureObject(_Object, AzureObject):
    pass


@contextlib.contextmanager
def _discreet() -> Iterator[None]:
    """Errors without signatures, which Arrow tells with the URL that it asked for."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        if _SIGNATURE.search(str(error)):
            raise type(error)(_SIGNATURE.sub("sig=...", str(error))) from None
        raise


class _Written(io.BufferedWriter):
    """A blob that lies on this machine's disk until it is closed."""

    def __init__(self, file: AtomicFile) -> None:
        super().__init__(io.FileIO(file.local, "wb"))
        self._file = file

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._file.publish()


class _Handler(pafs.FileSystemHandler):  # type: ignore[misc]
    def __init__(self, endpoint_url: str | None) -> None:
        self._endpoint_url = endpoint_url

    def __getstate__(self) -> dict[str, Any]:
        return {"_endpoint_url": self._endpoint_url}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Handler) and (type(other), other._endpoint_url) == (type(self), self._endpoint_url)

    def __hash__(self) -> int:
        return hash((type(self), self._endpoint_url))

    @cached_property
    def _arrow(self) -> pafs.FileSystem:
        raise NotImplementedError

    def _object(self, path: str) -> StoredObject:
        raise NotImplementedError

    def get_type_name(self) -> str:
        name: str = self._arrow.type_name
        return name

    def normalize_path(self, path: str) -> str:
        normal: str = self._arrow.normalize_path(path)
        return normal

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        with _discreet():
            return read_again(lambda: self._arrow.get_file_info(paths))

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        with _discreet():
            return read_again(lambda: self._arrow.get_file_info(selector))

    def open_input_stream(self, path: str) -> pa.NativeFile:
        item = self._object(path)
        item.describe()  # as Arrow's, which raises here where there is no such object
        return pa.PythonFile(as_stream(item), mode="r")

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(as_file(self._object(path)), mode="r")

    def open_output_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        return self._arrow.open_output_stream(path, compression=None, metadata=metadata)

    def open_append_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        raise NotImplementedError(f"{path}: objects are written as a whole")

    def create_dir(self, path: str, recursive: bool) -> None:
        with _discreet():
            self._arrow.create_dir(path, recursive=recursive)

    def delete_dir(self, path: str) -> None:
        with _discreet():
            self._arrow.delete_dir(path)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        with _discreet():
            self._arrow.delete_dir_contents(path, missing_dir_ok=missing_dir_ok)

    def delete_root_dir_contents(self) -> None:
        raise OSError("not all buckets at once")

    def delete_file(self, path: str) -> None:
        with _discreet():
            self._arrow.delete_file(path)

    def move(self, src: str, dest: str) -> None:
        with _discreet():
            self._arrow.move(src, dest)

    def copy_file(self, src: str, dest: str) -> None:
        with _discreet():
            self._arrow.copy_file(src, dest)


class _S3(_Handler):
    @cached_property
    def _arrow(self) -> pafs.FileSystem:
        return s3_of_arrow(self._endpoint_url)

    def _object(self, path: str) -> StoredObject:
        return _S3Object(f"s3://{path}", self._endpoint_url)


class _Azure(_Handler):
    @cached_property
    def _arrow(self) -> pafs.FileSystem:
        return azure_of_arrow(self._endpoint_url)

    @cached_property
    def _blobs(self) -> AzureBlobs:
        return AzureBlobs(azure_account("az://"), self._endpoint_url, ATTEMPTS)

    def _object(self, path: str) -> StoredObject:
        return _AzureObject(f"az://{path}", self._endpoint_url)

    def open_output_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        return pa.PythonFile(_Written(AtomicFile(self._arrow, "", path, self._blobs)), mode="w")

    def delete_dir(self, path: str) -> None:
        self._blobs.delete_folder(path)


_KINDS: dict[str, type[_S3 | _Azure]] = {"s3": _S3, "az": _Azure}
