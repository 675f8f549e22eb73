"""S3 as a filesystem for Arrow, and for all who read through one: what fails is asked for again.

Arrow's own does not repeat a GET whose error has a longer text than the range that was asked for, nor a body that was
cut. Writes are Arrow's: they raise, and whoever writes makes the whole file again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.fs as pafs

from biomedica_ray.store.filesystem import StoreError, read_again
from biomedica_ray.store.objects import S3Object
from biomedica_ray.store.ranges import as_file, as_stream

T = TypeVar("T")


def persistent(filesystem: pafs.FileSystem, endpoint_url: str | None) -> pafs.FileSystem:
    """Arrow's filesystem of S3, with reads that are sent again.

    Args:
        filesystem: Arrow's.
        endpoint_url: The server that it asks, where it is not AWS.
    """
    return pafs.PyFileSystem(_Handler(filesystem, endpoint_url))


class _Object(S3Object):
    """Raises what users of a filesystem expect."""

    def _persist(self, request: Callable[[], T]) -> T:
        try:
            return super()._persist(request)
        except StoreError as error:
            raise OSError(str(error)) from None


class _Handler(pafs.FileSystemHandler):  # type: ignore[misc]
    def __init__(self, filesystem: pafs.FileSystem, endpoint_url: str | None) -> None:
        self._filesystem, self._endpoint_url = filesystem, endpoint_url

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Handler) and other._filesystem == self._filesystem

    def __hash__(self) -> int:
        return hash(type(self))

    def get_type_name(self) -> str:
        name: str = self._filesystem.type_name
        return name

    def normalize_path(self, path: str) -> str:
        normal: str = self._filesystem.normalize_path(path)
        return normal

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        return read_again(lambda: self._filesystem.get_file_info(paths))

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        return read_again(lambda: self._filesystem.get_file_info(selector))

    def open_input_stream(self, path: str) -> pa.NativeFile:
        item = _Object(f"s3://{path}", self._endpoint_url)
        item.describe()  # as Arrow's, which raises here where there is no such object
        return pa.PythonFile(as_stream(item), mode="r")

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(as_file(_Object(f"s3://{path}", self._endpoint_url)), mode="r")

    def open_output_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        return self._filesystem.open_output_stream(path, compression=None, metadata=metadata)

    def open_append_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        return self._filesystem.open_append_stream(path, compression=None, metadata=metadata)

    def create_dir(self, path: str, recursive: bool) -> None:
        self._filesystem.create_dir(path, recursive=recursive)

    def delete_dir(self, path: str) -> None:
        self._filesystem.delete_dir(path)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        self._filesystem.delete_dir_contents(path, missing_dir_ok=missing_dir_ok)

    def delete_root_dir_contents(self) -> None:
        raise OSError("not all buckets at once")

    def delete_file(self, path: str) -> None:
        self._filesystem.delete_file(path)

    def move(self, src: str, dest: str) -> None:
        self._filesystem.move(src, dest)

    def copy_file(self, src: str, dest: str) -> None:
        self._filesystem.copy_file(src, dest)
