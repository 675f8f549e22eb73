"""Checkpoints on the store: weights and optimizer as safetensors, the place in the data as JSON, nothing pickled.

``checkpoints/<name>/`` holds::

    training.json            the settings that the run was started with
    step-000123/             model.safetensors, optimizer.safetensors, position.json; with a moving average
                             average.safetensors, with fp16 scaler.safetensors
    latest.json              which step counts; written last
    metrics.jsonl            one line a step
    model/                   the finished model, as open_clip reads it
    merge.json               of a model that `merge` made: from which models, and how each mixture scored
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import safetensors.torch
import torch

from biomedica_ray.store import Store, StoreError

KEPT = 2
"""Checkpoints that stay: the last one, and one before it in case of doubt about the last."""


@dataclass
class WorkerPosition:
    """Where a worker stands: slots of the current pass that it has taken, and every sample that it could not read."""

    slots: int = 0
    errors: list[dict[str, str]] = field(default_factory=list)


@dataclass
class Position:
    """Where training stands: steps done, and the place of each worker in the current pass."""

    step: int
    epoch: int
    workers: list[WorkerPosition]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Position:
        """The inverse of ``dataclasses.asdict``."""
        return cls(data["step"], data["epoch"], [WorkerPosition(**worker) for worker in data["workers"]])


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of one training run."""

    store: Store
    name: str

    def path(self, *parts: str) -> str:
        """A path of this run, relative to the store's root."""
        return "/".join(["checkpoints", self.name, *parts])

    def latest(self) -> Position | None:
        """Where the last checkpoint stands; None before the first one."""
        try:
            step = self.store.read_json(self.path("latest.json"))["step"]
        except FileNotFoundError:
            return None
        return Position.from_json(self.store.read_json(self.path(_folder(step), "position.json")))

    def origin(self) -> dict[str, Any]:
        """How the finished model came about: the settings of its training, or of its merging, and ``step``.

        Raises:
            StoreError: There is no finished model.
        """
        if not self.store.list(self.path("model")):
            raise StoreError(f"{self.store.uri(self.path('model'))}: no model; run `biomedica train` to its end first")
        try:
            merged: dict[str, Any] = self.store.read_json(self.path("merge.json"))
        except FileNotFoundError:
            position = self.latest()
            step = position.step if position else None
            return {**self.store.read_json(self.path("training.json")), "step": step}
        return {**merged, "step": None}

    def load(self, step: int) -> dict[str, dict[str, torch.Tensor]]:
        """The tensors of a checkpoint by name, by the name of their file."""
        folder = _folder(step)
        names = [name for name in self.store.list(self.path(folder)) if name.endswith(".safetensors")]
        return {name: self._tensors(folder, name) for name in names}

    def save(
        self, files: Mapping[str, Mapping[str, torch.Tensor]], position: Position, metrics: list[dict[str, Any]]
    ) -> None:
        """Write a checkpoint, then say that it is the last one, then remove old ones."""
        folder = _folder(position.step)
        for name, tensors in files.items():
            self._write_tensors(folder, name, tensors)
        self.store.write_json(self.path(folder, "position.json"), asdict(position))
        self._write_metrics(metrics)
        self.store.write_json(self.path("latest.json"), {"step": position.step, "folder": folder})
        for old in sorted(self._steps() - {position.step})[: 1 - KEPT or None]:
            self.store.filesystem.delete_dir(self.store.path(self.path(_folder(old))))

    def metrics(self, up_to: int) -> list[dict[str, Any]]:
        """The metrics of the steps up to and including ``up_to``."""
        try:
            with self.store.filesystem.open_input_stream(self.store.path(self.path("metrics.jsonl"))) as stream:
                lines = stream.read().decode().splitlines()
        except FileNotFoundError:
            return []
        return [record for record in map(json.loads, lines) if record["step"] <= up_to]

    def put_folder(self, local: Path, name: str) -> None:
        """Copy the files of a local folder to the folder ``name`` of this run."""
        for file in sorted(local.iterdir()):
            with self.store.atomic_file(self.path(name, file.name)) as target:
                shutil.copyfile(file, target)

    def get_folder(self, name: str, local: Path) -> None:
        """The inverse of :meth:`put_folder`; raises FileNotFoundError where there is no such folder."""
        names = self.store.list(self.path(name))
        if not names:
            raise FileNotFoundError(self.store.uri(self.path(name)))
        for file in names:
            with self.store.filesystem.open_input_stream(self.store.path(self.path(name, file))) as stream:
                (local / file).write_bytes(stream.read())

    def _write_metrics(self, metrics: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(record) + "\n" for record in metrics)
        self.store.write_bytes(self.path("metrics.jsonl"), lines.encode())

    def _write_tensors(self, folder: str, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        with self.store.atomic_file(self.path(folder, name)) as local:
            safetensors.torch.save_file({key: value.contiguous() for key, value in tensors.items()}, local)

    def _tensors(self, folder: str, name: str) -> dict[str, torch.Tensor]:
        with self.store.filesystem.open_input_stream(self.store.path(self.path(folder, name))) as stream:
            return safetensors.torch.load(stream.read())

    def _steps(self) -> set[int]:
        infos = self.store.filesystem.get_file_info(pafs.FileSelector(self.store.path(self.path())))
        names = (info.base_name for info in infos)
        return {int(name.removeprefix("step-")) for name in names if name.startswith("step-")}


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The optimizer's state as ``<parameter name>/<state name>`` -> tensor."""
    return {
        f"{name}/{key}": torch.as_tensor(value)
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, model: torch.nn.Module, tensors: Mapping[str, torch.Tensor]
) -> None:
    """The inverse of :func:`optimizer_tensors`; the state goes to where its parameter is."""
    parameters = dict(model.named_parameters())
    for path, tensor in tensors.items():
        name, key = path.rsplit("/", 1)
        parameter = parameters[name]
        # As the parameter lies in memory, which one kernel for all of them takes for granted.
        value = tensor.to(parameter.device) if key == "step" else torch.empty_like(parameter).copy_(tensor)
        optimizer.state[parameter][key] = value


def _folder(step: int) -> str:
    return f"step-{step:06d}"
