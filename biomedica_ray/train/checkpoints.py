"""Checkpoints on the store: weights and optimizer as safetensors, the position in the data as JSON, nothing pickled.

``checkpoints/<name>/`` holds::

    training.json            the settings that the run was started with; written with its first checkpoint
    step-000123/             model.safetensors, optimizer.safetensors, position.json; with a moving average
                             average.safetensors, with fp16 scaler.safetensors; with ``shard: fsdp`` the same tensors
                             in a file of each worker
    latest.json              which step counts, and which ones are kept; written last
    metrics.jsonl            one line per step
    tensorboard/             the same, as event files
    model/                   the finished model, as open_clip reads it
    merge.json               of a model that `merge` made: from which models, and how each mixture scored
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from biomedica_ray.models.trained import TrainedModel
from biomedica_ray.reading.order import LanePosition
from biomedica_ray.store.ranges import open_ahead

if TYPE_CHECKING:  # the driver reads positions and metrics; torch takes seconds to import
    import torch
    import torch.distributed

Files = dict[str, "dict[str, torch.Tensor]"]
"""Tensors by name, by the name of their file."""


@dataclass
class Position:
    """The position of a training run: steps done, and the position of each lane."""

    step: int
    lanes: list[LanePosition]

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Position:
        """The inverse of ``dataclasses.asdict``."""
        return cls(data["step"], [LanePosition(**lane) for lane in data["lanes"]])


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint in host memory.

    Attributes:
        position: The position of the run.
        files: Tensors by name, for each of the safetensors files.
        metrics: One record a step, up to this one.
    """

    position: Position
    files: Files
    metrics: list[dict[str, Any]]

    @classmethod
    def take(
        cls,
        files: Mapping[str, Mapping[str, torch.Tensor]],
        position: Position,
        metrics: Sequence[dict[str, Any]],
    ) -> Self:
        """Copy tensors to host memory; weights and AdamW's state are three times the size of the weights."""
        import torch  # noqa: PLC0415

        copies = {
            file: {name: _in_host_memory(tensor.detach()) for name, tensor in tensors.items()}
            for file, tensors in files.items()
        }
        if any(tensor.is_cuda for tensors in files.values() for tensor in tensors.values()):
            torch.cuda.synchronize()
        return cls(position, copies, list(metrics))


@dataclass(frozen=True)
class Kept:
    """A checkpoint that exists, and its model's score; None where that was not measured."""

    step: int
    score: float | None = None


@dataclass(frozen=True)
class Rule:
    """Which checkpoints are kept: the ``last`` ones, and the one with the highest ``best`` (a metric; None: none)."""

    last: int = 2
    best: str | None = None

    def staying(self, written: Sequence[Kept]) -> list[Kept]:
        """Those of the checkpoints, ascending by step, to keep; of equally good ones the first is the best."""
        steps = {kept.step for kept in written[-self.last :]}
        scored = [(kept.score, -kept.step) for kept in written if kept.score is not None]
        if self.best and scored:
            steps.add(-max(scored)[1])
        return [kept for kept in written if kept.step in steps]


@dataclass(frozen=True)
class Checkpoints(TrainedModel):
    """The checkpoints of one training run."""

    def latest(self) -> Position | None:
        """The position of the last checkpoint; None before the first one."""
        try:
            step = self.store.read_json(self.path("latest.json"))["step"]
        except FileNotFoundError:
            return None
        return Position.from_json(self.store.read_json(self.path(_folder(step), "position.json")))

    def load(self, step: int) -> Files:
        """The whole tensors of a checkpoint by name, by the name of their file.

        Who calls it reads them all by itself, and holds the largest file twice while it does.

        Raises:
            StoreError: A file cannot be read, however often it is tried.
        """
        folder = _folder(step)
        if self.is_divided(step):
            from biomedica_ray.train.divided import load_whole  # noqa: PLC0415

            return load_whole(self, folder)
        names = [name for name in self.store.list(self.path(folder)) if name.endswith(".safetensors")]
        return {name: self._tensors(folder, name) for name in names}

    def is_divided(self, step: int) -> bool:
        """Whether each worker wrote its own part of a checkpoint."""
        return any(name.startswith("shard-") for name in self.store.list(self.path(_folder(step))))

    def load_parts(self, step: int, room: Callable[[Files], Files], group: torch.distributed.ProcessGroup) -> None:
        """Read the own part of a divided checkpoint; as :func:`biomedica_ray.train.divided.load`."""
        from biomedica_ray.train.divided import load  # noqa: PLC0415

        load(self, _folder(step), room, group)

    def save(
        self,
        snapshot: Snapshot,
        rule: Rule,
        settings: dict[str, Any] | None = None,
        group: torch.distributed.ProcessGroup | None = None,
    ) -> None:
        """Write a checkpoint, then record it as the last one, then remove those that are not kept.

        Args:
            snapshot: What to write.
            rule: Which checkpoints to keep.
            settings: Those that the run was started with, which are stored with its first checkpoint.
            group: Workers that have a part of it each, all of which call this; None where one has the whole.

        Raises:
            StoreError: Something cannot be written; the checkpoint before this one is still the last one. Raised on all
                of a group, so that none of them begins another checkpoint and waits there for the others.
        """
        from biomedica_ray.train.consensus import by_the_first  # noqa: PLC0415

        by_the_first(partial(self._clear, snapshot.position.step), group)
        self._write(_folder(snapshot.position.step), snapshot.files, group)
        by_the_first(partial(self._record, snapshot, rule, settings), group)

    def _write(self, folder: str, files: Files, group: torch.distributed.ProcessGroup | None) -> None:
        if group is not None:
            from biomedica_ray.train import divided  # noqa: PLC0415

            divided.save(self, folder, files, group)
            return
        import safetensors.torch  # noqa: PLC0415

        for name, tensors in files.items():
            self.write(f"{folder}/{name}", partial(safetensors.torch.save_file, tensors))

    def _record(self, snapshot: Snapshot, rule: Rule, settings: dict[str, Any] | None) -> None:
        """Make the checkpoint whose tensors are written the last one, and remove those that are not kept."""
        step = snapshot.position.step
        self.write_json(f"{_folder(step)}/position.json", asdict(snapshot.position))
        kept = self.kept()
        if settings is not None and not kept:
            self.write_json("training.json", settings)
        self.write("metrics.jsonl", lambda file: file.write_text(_lines(snapshot.metrics)))
        score = snapshot.metrics[-1].get(rule.best) if rule.best and snapshot.metrics else None
        staying = rule.staying([*kept, Kept(step, score)])
        latest = {"step": step, "folder": _folder(step), "kept": [asdict(kept) for kept in staying]}
        self.write_json("latest.json", latest)
        for old in self._steps() - {kept.step for kept in staying}:
            self._delete(_folder(old))

    def kept(self) -> list[Kept]:
        """The checkpoints that exist, ascending by step."""
        try:
            return [Kept(**kept) for kept in self.store.read_json(self.path("latest.json"))["kept"]]
        except FileNotFoundError:
            return []

    def metrics(self, up_to: int) -> list[dict[str, Any]]:
        """The metrics of the steps up to and including ``up_to``."""
        try:
            with open_ahead(self.store, self.path("metrics.jsonl")) as stream:
                lines = stream.read().decode().splitlines()
        except FileNotFoundError:
            return []
        return [record for record in map(json.loads, lines) if record["step"] <= up_to]

    def _tensors(self, folder: str, name: str) -> dict[str, torch.Tensor]:
        import safetensors.torch  # noqa: PLC0415

        with open_ahead(self.store, self.path(folder, name)) as stream:
            return safetensors.torch.load(stream.read())

    def _clear(self, step: int) -> None:
        """Remove what workers left that died while they wrote a checkpoint, which never counted.

        Parts of theirs would be read with, or instead of, what is written now.
        """
        if step not in {kept.step for kept in self.kept()}:
            self._delete(_folder(step))

    def _delete(self, folder: str) -> None:
        path = self.path(folder)
        self.persist(path, lambda: self.store.delete_folder(path))

    def _steps(self) -> set[int]:
        names = self.store.folders(self.path())
        return {int(name.removeprefix("step-")) for name in names if name.startswith("step-")}


def optimizer_tensors(optimizer: torch.optim.Optimizer, model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The optimizer's state as ``<parameter name>/<state name>`` -> tensor."""
    import torch  # noqa: PLC0415

    return {
        f"{name}/{key}": torch.as_tensor(value)
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, model: torch.nn.Module, tensors: Mapping[str, torch.Tensor]
) -> None:
    """The inverse of :func:`optimizer_tensors`; the state goes to where its parameter is."""
    import torch  # noqa: PLC0415

    from biomedica_ray.train.fsdp import fitted  # noqa: PLC0415

    parameters = dict(model.named_parameters())
    for path, tensor in tensors.items():
        name, key = path.rsplit("/", 1)
        parameter = parameters[name]
        # In the parameter's memory layout, which the fused kernel relies on.
        value = (
            tensor.to(parameter.device)
            if key == "step"
            else torch.empty_like(parameter).copy_(fitted(tensor, parameter))
        )
        optimizer.state[parameter][key] = value


def room_for_state(
    optimizer: torch.optim.Optimizer, model: torch.nn.Module, names: Iterable[str]
) -> dict[str, torch.Tensor]:
    """Those of the names of :func:`optimizer_tensors` whose parameters learn, and tensors of the optimizer for them.

    What is read into these is the optimizer's state.
    """
    import torch  # noqa: PLC0415

    learning = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    for path in names:
        name, key = path.rsplit("/", 1)
        if (parameter := learning.get(name)) is not None:
            value = torch.zeros((), device=parameter.device) if key == "step" else torch.zeros_like(parameter)
            optimizer.state[parameter][key] = value
    return optimizer_tensors(optimizer, model)


def _in_host_memory(tensor: torch.Tensor) -> torch.Tensor:
    """A copy; of a GPU's whole tensor in pinned memory, complete at the next synchronisation."""
    import torch  # noqa: PLC0415
    from torch.distributed.tensor import DTensor  # noqa: PLC0415

    if not tensor.is_cuda or isinstance(tensor, DTensor):
        return tensor.to("cpu", copy=True).contiguous()
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True).copy_(tensor, non_blocking=True)


def _lines(records: Sequence[dict[str, Any]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def _folder(step: int) -> str:
    return f"step-{step:06d}"
