"""Checkpoints of which each worker writes and reads its own part: torch's distributed checkpoints, as safetensors.

The folder of a step holds ``shard-00001-model-00001-of-00001.safetensors``, one file a worker, which say in their
headers where in the whole each tensor lies; so another number of workers reads them as well. Torch's own format for
such checkpoints has a pickle in it, this one has none.
"""

from __future__ import annotations

import io
import shutil
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.filesystem import FileSystem
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load as load_parts
from torch.distributed.checkpoint.state_dict_saver import save as save_parts

from biomedica_ray.messages import one_line
from biomedica_ray.models.trained import TrainedModel
from biomedica_ray.store import StoreError
from biomedica_ray.store.ranges import open_ahead, open_random
from biomedica_ray.train.fsdp import SCALARS

Files = dict[str, dict[str, torch.Tensor]]
"""Tensors by name, by the name of their file."""

_COPY_BYTES = 2**20
_LENGTH_BYTES = 8
"""How long a safetensors file's header is, is what the file begins with."""


def save(run: TrainedModel, folder: str, files: Files, group: dist.ProcessGroup) -> None:
    """Write tensors, each worker of a group its part of them; called by all of them.

    Raises:
        StoreError: A worker cannot write its part; raised on all of them.
    """
    writer = HuggingFaceStorageWriter(folder, save_distributed=True)
    writer.fs, writer.sync_files = _Files(run), False
    tensors = {f"{file}/{name}": tensor for file, each in files.items() for name, tensor in each.items()}
    with _as_store_error(run, folder):
        # Of what all workers have, the first one's counts.
        planner = DefaultSavePlanner(dedup_save_to_lowest_rank=True)
        save_parts(tensors, storage_writer=writer, planner=planner, process_group=group)


def load(
    run: TrainedModel, folder: str, room: Callable[[Files], Files], group: dist.ProcessGroup | None = None
) -> Files:
    """Read tensors, each worker of a group its part of them; called by all of them.

    Args:
        run: The run.
        folder: Of the checkpoint.
        room: Gives the tensors to read into, by those that are there, whose contents are not (they are meta tensors).
        group: Of the workers; None: this process reads alone.

    Returns:
        What ``room`` gave.

    Raises:
        StoreError: They cannot be read.
    """
    with _as_store_error(run, folder), _reader(run, folder) as reader:
        there: Files = {}
        for path, found in reader.read_metadata().state_dict_metadata.items():
            assert isinstance(found, TensorStorageMetadata)
            file, _, name = path.partition("/")
            there.setdefault(file, {})[name] = torch.empty(found.size, dtype=found.properties.dtype, device="meta")
        files = room(there)
        tensors = {f"{file}/{name}": tensor for file, each in files.items() for name, tensor in each.items()}
        with warnings.catch_warnings(action="ignore"):  # that no process group is used
            load_parts(tensors, storage_reader=reader, process_group=group, no_dist=group is None)
        return files


def load_whole(run: TrainedModel, folder: str) -> Files:
    """All tensors of a divided checkpoint, as those of whole models, in host memory; raises as :func:`load`."""
    files = load(run, folder, lambda there: {file: _in_host_memory(each) for file, each in there.items()})
    return {file: {name: _as_it_was(name, tensor) for name, tensor in each.items()} for file, each in files.items()}


def _in_host_memory(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: torch.empty_like(tensor, device="cpu") for name, tensor in tensors.items()}


def _as_it_was(name: str, tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(()) if name.partition("/")[0] in SCALARS else tensor


@contextmanager
def _as_store_error(run: TrainedModel, folder: str) -> Iterator[None]:
    try:
        yield
    except CheckpointException as errors:
        error, *_ = (error for error, _ in errors.failures.values())
    except (OSError, SafetensorError) as caught:
        error = caught
    else:
        return
    if isinstance(error, StoreError):
        raise StoreError(str(error)) from None
    raise StoreError(f"{run.store.uri(run.path(folder))}: {one_line(error)}") from error


class _Files(FileSystem):
    """Files that torch writes become files of a run, as a whole or not at all."""

    def __init__(self, run: TrainedModel) -> None:
        self._run = run

    @contextmanager
    def create_stream(self, path: Any, mode: str) -> Generator[io.IOBase, None, None]:
        """A file to write; it is there when the block ends."""
        assert mode == "wb"
        chunks = _Chunks()
        yield chunks
        self._run.write(str(path), chunks.into)

    def mkdir(self, path: Any) -> None:
        """Folders come with their files."""

    def exists(self, path: Any) -> bool:
        """No file is there before."""
        return False


class _Chunks(io.RawIOBase):
    """What is written, so that it can be sent again."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._size = 0

    def write(self, data: Any, /) -> int:
        self._chunks.append(data)
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def into(self, path: Path) -> None:
        with path.open("wb") as file:
            file.writelines(self._chunks)


@contextmanager
def _reader(run: TrainedModel, folder: str) -> Iterator[HuggingFaceStorageReader]:
    """Of a local store the files are read where they are; of object storage those that are needed are fetched."""
    if run.store.is_local:
        yield HuggingFaceStorageReader(run.store.path(run.path(folder)))
        return
    with tempfile.TemporaryDirectory() as local:
        yield _Fetching(run, folder, Path(local))


class _Fetching(HuggingFaceStorageReader):
    """Knows the headers of all files at first, and fetches the rest of a file when it is read."""

    def __init__(self, run: TrainedModel, folder: str, local: Path) -> None:
        super().__init__(str(local))
        self._run, self._folder, self._local = run, folder, local
        for name in run.store.list(run.path(folder)):
            if name.endswith(".safetensors"):
                self._outline(name)

    def _outline(self, name: str) -> None:
        """A file of the right size that has nothing but the header."""
        with open_random(self._run.store, self._run.path(self._folder, name)) as stored:
            start = stored.read(_LENGTH_BYTES)
            header = stored.read(int.from_bytes(start, "little"))
            size = stored.seek(0, io.SEEK_END)
        with (self._local / name).open("wb") as file:
            file.write(start + header)
            file.truncate(size)

    def read_data(self, plan: Any, planner: Any) -> Any:
        """As the reader of local files, when they are there."""
        for path in {self.storage_data[item.storage_index].relative_path for item in plan.items}:
            name = Path(path).name
            with (
                open_ahead(self._run.store, self._run.path(self._folder, name)) as stored,
                (self._local / name).open("wb") as file,
            ):
                shutil.copyfileobj(stored, file, _COPY_BYTES)
        return super().read_data(plan, planner)
