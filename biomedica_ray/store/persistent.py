"""S3 and Azure as filesystems for Arrow, and for all who read through one: what fails is asked for again.

Of S3, Arrow's own does not repeat a GET whose error has a longer text than the range that was asked for, nor a body
that was cut; of Azure, it gives up within seconds. Writes are Arrow's: they raise, and whoever writes
makes the whole file again.

Arrow's own of Azure also travels with the account's key or signature, and puts the signature into its errors. This one
travels without, as each process has them in its environment, and takes it out of them.
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

from biomedica_ray.store.filesystem import StoreError, azure_of_arrow, read_again, s3_of_arrow
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
    return pafs.PyFileSystem(_Handler(scheme, endpoint_url))


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


_ARROW: dict[str, Callable[[str | None], pafs.FileSystem]] = {"s3": s3_of_arrow, "az": azure_of_arrow}
_OBJECTS: dict[str, type[_S3Object | _AzureObject]] = {"s3": _S3Object, "az": _AzureObject}


@contextlib.contextmanager
def _discreet() -> Iterator[None]:
    """Errors without signatures, which Arrow tells with the URL that it asked for."""
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        if _SIGNATURE.search(str(error)):
            raise type(error)(_SIGNATURE.sub("sig=...", str(error))) from None
        raise


class _Written(io.RawIOBase):
    """What Arrow writes to, with such errors."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        with _discreet():
            n_bytes: int = self._stream.write(data)
        return n_bytes

    def close(self) -> None:
        with _discreet():
            self._stream.close()
        super().close()


class _Handler(pafs.FileSystemHandler):  # type: ignore[misc]
    def __init__(self, scheme: str, endpoint_url: str | None) -> None:
        self._scheme, self._endpoint_url = scheme, endpoint_url

    def __getstate__(self) -> dict[str, Any]:
        return {"_scheme": self._scheme, "_endpoint_url": self._endpoint_url}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Handler) and other.__getstate__() == self.__getstate__()

    def __hash__(self) -> int:
        return hash((self._scheme, self._endpoint_url))

    @cached_property
    def _arrow(self) -> pafs.FileSystem:
        return _ARROW[self._scheme](self._endpoint_url)

    def _object(self, path: str) -> StoredObject:
        return _OBJECTS[self._scheme](f"{self._scheme}://{path}", self._endpoint_url)

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
        with _discreet():
            return self._written(self._arrow.open_output_stream(path, compression=None, metadata=metadata))

    def open_append_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        with _discreet():
            return self._written(self._arrow.open_append_stream(path, compression=None, metadata=metadata))

    def _written(self, stream: pa.NativeFile) -> pa.NativeFile:
        return pa.PythonFile(_Written(stream), mode="w") if self._scheme == "az" else stream

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
