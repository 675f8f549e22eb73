"""Where a run's metrics can be watched: TensorBoard always, Weights & Biases and MLflow where the config says so.

The driver feeds them, so that they outlive the workers. What a tracker has already (of a run that is resumed) is not
sent twice, and what it missed is sent from ``metrics.jsonl``: each step is there once.
"""

from __future__ import annotations

import importlib.util
import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from biomedica_ray.config import ConfigError
from biomedica_ray.messages import one_line
from biomedica_ray.train.checkpoints import Checkpoints
from biomedica_ray.train.config import TrainConfig
from biomedica_ray.units import fingerprint

COPY_EVERY_S = 30.0
"""How often TensorBoard's file is copied to object storage, where nothing can be appended."""

EXPERIMENT = "biomedica"
"""Name of the MLflow experiment that runs belong to."""

log = logging.getLogger(__name__)


class Tracker(Protocol):
    """One place that takes metrics."""

    last: int
    """The last step that it has; 0 for none."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take the metrics of a step."""
        ...

    def close(self) -> None:
        """Send what has not been sent yet."""
        ...


class Trackers:
    """All trackers of a run.

    One that fails while training runs is reported and left out: everything it would have got is in ``metrics.jsonl``.
    """

    def __init__(self, trackers: Sequence[Tracker], before: Sequence[Mapping[str, Any]]) -> None:
        self._trackers = list(trackers)
        for record in before:
            self.log(record)

    def log(self, record: Mapping[str, Any]) -> None:
        """Give the metrics of a step to those that do not have it."""
        step, values = record["step"], scalars(record)
        for tracker in list(self._trackers):
            if step > tracker.last:
                self._try(tracker, lambda tracker=tracker: tracker.log(step, values))  # type: ignore[misc]
                tracker.last = step

    def close(self) -> None:
        """Send what has not been sent yet."""
        for tracker in list(self._trackers):
            self._try(tracker, tracker.close)

    def _try(self, tracker: Tracker, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - whatever a foreign server does, training goes on
            log.warning("train: %s takes no more metrics: %s", type(tracker).__name__, one_line(error))
            self._trackers.remove(tracker)


def scalars(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a record, without its step; of a list one by one, as ``name.0``."""
    flat: dict[str, Any] = {}
    for key, value in record.items():
        flat |= {f"{key}.{n}": item for n, item in enumerate(value)} if isinstance(value, list) else {key: value}
    return {key: float(value) for key, value in flat.items() if isinstance(value, int | float) and key != "step"}


def check_trackers(config: TrainConfig) -> None:
    """Raise ConfigError where the package of a tracker that the config asks for is missing."""
    for key, wanted in {"wandb": config.wandb, "mlflow": config.mlflow}.items():
        if wanted and importlib.util.find_spec(key) is None:
            raise ConfigError(f"{key}: expected the package {key}; pip install 'biomedica_ray[trackers]'")


def open_trackers(
    config: TrainConfig, checkpoints: Checkpoints, settings: Mapping[str, Any], before: Sequence[Mapping[str, Any]]
) -> Trackers:
    """The trackers that a config asks for, which hold what there is of the run so far.

    Args:
        config: Names them.
        checkpoints: The run.
        settings: What it was started with.
        before: Its metrics so far.

    Raises:
        ConfigError: One of them cannot be reached.
    """
    trackers: list[Tracker] = [TensorBoard(checkpoints)]
    key = fingerprint(checkpoints.store.uri(checkpoints.path()))
    for name, where, make in (("wandb", config.wandb, Wandb), ("mlflow", config.mlflow, MLflow)):
        if where:
            try:
                trackers.append(make(where, config.name, key, settings))
            except Exception as error:  # noqa: BLE001 - each package has errors of its own
                raise ConfigError(f"{name}: {where}: {one_line(error)}") from None
    return Trackers(trackers, before)


class TensorBoard:
    """Event files in ``checkpoints/<name>/tensorboard``.

    They are written anew from ``metrics.jsonl`` when a run is resumed, and not before there is a step to write.
    """

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.last = 0
        self._checkpoints = checkpoints
        self._folder: Path | None = None
        self._copied = time.monotonic()

    @cached_property
    def _writer(self) -> Any:
        # Not torch's writer, as the driver would import torch for it, which takes seconds.
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # noqa: PLC0415
        from tensorboard.summary.writer.event_file_writer import EventFileWriter  # noqa: PLC0415

        store = self._checkpoints.store
        for name in store.list(self._checkpoints.path("tensorboard")):
            store.delete(self._checkpoints.path("tensorboard", name))
        self._folder = None if store.is_local else Path(tempfile.mkdtemp(prefix="biomedica-tensorboard-"))
        folder = self._folder or store.path(self._checkpoints.path("tensorboard"))
        writer = EventFileWriter(str(folder))
        # an open TensorBoard drops the steps that it has seen, as they come again
        writer.add_event(Event(wall_time=time.time(), step=1, session_log=SessionLog(status=SessionLog.START)))
        return writer

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """As in :class:`Tracker`."""
        from tensorboard.compat.proto.event_pb2 import Event  # noqa: PLC0415
        from tensorboard.compat.proto.summary_pb2 import Summary  # noqa: PLC0415

        points = [Summary.Value(tag=key, simple_value=value) for key, value in values.items()]
        self._writer.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=points)))
        if time.monotonic() - self._copied >= COPY_EVERY_S:
            self._copy()

    def close(self) -> None:
        """As in :class:`Tracker`."""
        if "_writer" in self.__dict__:
            self._copy()
            self._writer.close()
            if self._folder:
                shutil.rmtree(self._folder, ignore_errors=True)

    def _copy(self) -> None:
        """Bring what was logged to object storage."""
        if self._folder:
            self._writer.flush()
            self._checkpoints.put_folder(self._folder, "tensorboard")
        self._copied = time.monotonic()


class Wandb:
    """A run of Weights & Biases; WANDB_API_KEY, WANDB_MODE, WANDB_DIR and so on are its own settings."""

    def __init__(self, project: str, name: str, key: str, settings: Mapping[str, Any]) -> None:
        import wandb  # noqa: PLC0415 - only where it is asked for

        quiet = wandb.Settings(silent=True, console="off")
        self._run: Any = wandb.init(
            project=project, name=name, id=key, resume="allow", config=dict(settings), settings=quiet
        )
        # its own count is that of the step that comes next, 0 at first
        self.last = max(0, self._run.step - 1)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """As in :class:`Tracker`."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """As in :class:`Tracker`."""
        self._run.finish()


class MLflow:
    """A run of MLflow; MLFLOW_TRACKING_TOKEN and so on are its own settings."""

    def __init__(self, uri: str, name: str, key: str, settings: Mapping[str, Any]) -> None:
        from mlflow import MlflowClient  # noqa: PLC0415 - only where it is asked for

        self._client: Any = MlflowClient(tracking_uri=uri)
        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        number = experiment.experiment_id if experiment else self._client.create_experiment(EXPERIMENT)
        runs = self._client.search_runs([number], f"tags.biomedica_key = '{key}'")
        if runs:
            self._id = runs[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
        else:
            self._id = self._client.create_run(number, run_name=name, tags={"biomedica_key": key}).info.run_id
            for setting, value in settings.items():
                self._client.log_param(self._id, setting, str(value)[:500])
        self.last = max((metric.step for metric in self._client.get_metric_history(self._id, "loss")), default=0)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """As in :class:`Tracker`."""
        from mlflow.entities import Metric  # noqa: PLC0415 - only where it is asked for

        now = int(time.time() * 1000)
        # MLflow allows no @ in names
        metrics = [Metric(key.replace("@", "_at_"), value, now, step) for key, value in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def close(self) -> None:
        """As in :class:`Tracker`."""
        self._client.set_terminated(self._id)
