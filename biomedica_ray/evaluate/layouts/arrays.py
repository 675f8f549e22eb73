"""Sets whose images are arrays: MedMNIST's npz files and PCam's HDF5 files."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from biomedica_ray.evaluate.layouts.base import (
    BadDataError,
    Image,
    LayoutBase,
    Listing,
    Pixels,
    as_list,
    first_there,
    walk,
)
from biomedica_ray.store.root import Root


class NpzImages:
    """Rows of an npz file, read one after the other: no image that was not asked for stays in memory.

    The file is a compressed stream: who asks for rows in ascending order has it read once.
    """

    def __init__(self, root: Root, listing: Listing, file: str, member: str) -> None:
        self._root, self.listing, self._file, self._member = root, listing, file, member
        self._next = 0
        self._rows: Iterator[Pixels] = iter(())

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_next": 0, "_rows": iter(())}

    def images(self, numbers: Sequence[int]) -> Iterator[Image]:
        """Pixels (H, W) or (H, W, 3)."""
        for number in numbers:
            if not self._next or number < self._next:
                self._next, self._rows = 0, self._all()
            try:
                while self._next <= number:
                    pixels = next(self._rows)
                    self._next += 1
            except BadDataError:
                self._next = 0  # a stream that broke does not go on
                raise
            yield pixels

    def _all(self) -> Iterator[Pixels]:
        with _member(self._root, self._file, self._member) as (stream, shape, dtype):
            bytes_each = int(np.prod(shape[1:])) * dtype.itemsize
            for _ in range(shape[0]):
                yield np.frombuffer(stream.read(bytes_each), dtype).reshape(shape[1:])


class Npz(LayoutBase):
    """MedMNIST's files: ``<split>_images`` (N, H, W) or (N, H, W, 3), uint8, and ``<split>_labels`` (N, labels)."""

    kind: Literal["npz"]
    file: str | list[str] = Field(description="the file; of several names the first that is there")

    def files(self, root: Root, split: str) -> dict[str, tuple[int, int]]:
        """The one file."""
        return walk(root, first_there(root, as_list(self.file, split)))

    def open(self, root: Root, split: str) -> NpzImages:
        """``label`` is a number, or of several labels the list of those that a row has."""
        file = first_there(root, as_list(self.file, split))
        with _member(root, file, f"{split}_labels") as (stream, shape, dtype):
            labels = np.frombuffer(stream.read(), dtype).reshape(shape)
        with _member(root, file, f"{split}_images") as (_, of_images, of_pixels):
            if of_pixels != np.uint8 or len(of_images) not in {3, 4} or of_images[3:] not in {(), (3,)}:
                what = f"{of_pixels} of shape {of_images}"
                raise BadDataError(f"{root.uri(file)}: {split}_images: expected uint8 (N, H, W[, 3]), got {what}")
        if len(labels) != of_images[0]:
            raise BadDataError(f"{root.uri(file)}: {of_images[0]} images and {len(labels)} labels of {split}")
        labels = labels.reshape(len(labels), -1)
        if labels.shape[1] == 1:
            column: list[Any] = labels[:, 0].tolist()
        else:
            column = [np.flatnonzero(row).tolist() for row in labels]
        return NpzImages(root, Listing.of(_numbers(split, len(labels)), label=column), file, f"{split}_images")


@contextmanager
def _member(root: Root, file: str, member: str) -> Iterator[tuple[Any, tuple[int, ...], np.dtype[Any]]]:
    """An array of an npz file as a stream behind its header, its shape and its dtype; pickled ones are refused."""
    try:
        with (
            root.filesystem.open_input_file(root.path(file)) as source,
            zipfile.ZipFile(source) as archive,
            archive.open(f"{member}.npy") as stream,
        ):
            read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            shape, fortran, dtype = read[np.lib.format.read_magic(stream)](stream)
            if fortran or dtype.hasobject:
                raise BadDataError(f"{root.uri(file)}: {member}: not a plain array in C order")
            yield stream, shape, dtype
    except (KeyError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise BadDataError(f"{root.uri(file)}: {member}: {' '.join(str(error).split())}") from None


@dataclass(frozen=True)
class Hdf5Images:
    """Rows of an HDF5 dataset."""

    root: Root
    listing: Listing
    file: str
    key: str

    def images(self, numbers: Sequence[int]) -> Iterator[Image]:
        """Pixels (H, W, 3)."""
        with _hdf5(self.root, self.file, self.key) as array:
            for number in numbers:
                yield np.asarray(array[number])


class Hdf5(LayoutBase):
    """PCam's files: images (N, H, W, 3), uint8, in one file and labels (N, 1, 1, 1) in another."""

    kind: Literal["hdf5"]
    images: str = Field(description="the file of the images")
    labels: str = Field(description="the file of the labels")
    image_key: str = Field("x", description="name of the array of images")
    label_key: str = Field("y", description="name of the array of labels")

    def places(self, split: str) -> list[str]:
        """The two files."""
        return [*as_list(self.images, split), *as_list(self.labels, split)]

    def open(self, root: Root, split: str) -> Hdf5Images:
        """``label`` is a number."""
        images, labels = (first_there(root, [place]) for place in self.places(split))
        with _hdf5(root, labels, self.label_key) as array:
            column = np.asarray(array).reshape(len(array), -1)
        with _hdf5(root, images, self.image_key) as array:
            n_images = len(array)
            if array.dtype != np.uint8 or array.ndim not in {3, 4} or array.shape[3:] not in {(), (3,)}:
                what = f"{array.dtype} of shape {array.shape}"
                raise BadDataError(f"{root.uri(images)}: {self.image_key}: expected uint8 (N, H, W[, 3]), got {what}")
        if column.shape[1] != 1 or len(column) != n_images:
            raise BadDataError(f"{root.uri(labels)}: labels of shape {column.shape} for {n_images} images")
        return Hdf5Images(
            root, Listing.of(_numbers(split, n_images), label=column[:, 0].tolist()), images, self.image_key
        )


@contextmanager
def _hdf5(root: Root, file: str, key: str) -> Iterator[Any]:
    try:
        import h5py  # noqa: PLC0415
    except ImportError:
        needs = "needs the package h5py: pip install 'biomedica_ray[evaluate]'"
        raise BadDataError(f"{root.uri(file)}: {needs}") from None
    try:
        with root.filesystem.open_input_file(root.path(file)) as source, h5py.File(source, "r") as document:
            if key not in document:
                raise BadDataError(f"{root.uri(file)}: no array {key}; there are {', '.join(document)}")
            yield document[key]
    except OSError as error:
        if "AWS Error" in str(error):  # the request failed, not the file
            raise
        raise BadDataError(f"{root.uri(file)}: {' '.join(str(error).split())}") from None


def _numbers(split: str, n: int) -> list[str]:
    return [f"{split}_{number:06d}" for number in range(n)]
