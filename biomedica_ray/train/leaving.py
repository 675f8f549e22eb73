"""Leaving in good order, when a worker, its node or the whole job is told to stop.

Notices come in three ways: Ray knows of nodes that are drained (spot instances, pods); a worker process may get
SIGTERM; and SIGTERM or SIGINT of the driver means that the job has to stop. Each ends the training function of all
workers after a checkpoint of the very step in which the notice came.
"""

from __future__ import annotations

import importlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import ray.train
from ray.train.backend import Backend, BackendConfig

from biomedica_ray.board import Board
from biomedica_ray.stopping import Terminated

T = TypeVar("T")

ASK_EVERY_S = 5.0
"""How often Ray is asked for nodes that are drained; all workers must ask together, which costs milliseconds."""

_told = threading.Event()
"""Whether this process got SIGTERM."""


@dataclass
class ListeningTorchConfig(BackendConfig):
    """Ray's TorchConfig, imported where it is needed, as torch takes seconds; its workers take SIGTERM as a notice.

    Attributes:
        backend: Of torch.distributed: nccl or gloo.
    """

    backend: str

    @property
    def backend_cls(self) -> type[Backend]:
        """Ray's backend for torch, and what it leaves to do."""
        return _ListeningBackend

    @property
    def train_func_context(self) -> Any:
        """Entered by each worker around its work."""
        return _on_its_device

    @property
    def framework(self) -> Any:
        """Ray's name for torch."""
        return self.torch().framework

    def torch(self) -> Any:
        """The same as Ray's TorchConfig."""
        from ray.train.torch import TorchConfig  # noqa: PLC0415

        return TorchConfig(backend=self.backend)


@contextmanager
def _on_its_device() -> Iterator[None]:
    from ray.train.torch import TorchConfig  # noqa: PLC0415

    with TorchConfig().train_func_context():
        yield


class _ListeningBackend(Backend):
    share_cuda_visible_devices = True  # as Ray's backend for torch

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        # While this process imports torch, the workers import all that they need.
        imported = worker_group.execute_async(_import_worker)
        torch = backend_config.torch()
        ray.get(imported)
        torch.backend_cls().on_start(worker_group, torch)

    def on_training_start(self, worker_group: Any, backend_config: Any) -> None:
        torch = backend_config.torch()
        torch.backend_cls().on_training_start(worker_group, torch)
        # In the main threads of the workers: no other thread may set a handler.
        worker_group.execute(_listen)

    def on_shutdown(self, worker_group: Any, backend_config: Any) -> None:
        torch = backend_config.torch()
        torch.backend_cls().on_shutdown(worker_group, torch)


def _import_worker() -> None:
    importlib.import_module("biomedica_ray.train.worker")


def _listen() -> None:
    _told.clear()
    _at_first([signal.SIGTERM], lambda _: _told.set())


class Notices:
    """The notices that a worker receives; rank 0 also receives the driver's."""

    def __init__(self, board: Board, rank: int) -> None:
        self._stop = board.stopping() if rank == 0 else None
        self._asks = rank == 0
        self._asked = time.monotonic()
        self._drained = False

    def heard(self) -> bool:
        """Whether this worker has a reason to leave."""
        stopped = self._stop is not None and bool(ray.wait([self._stop], timeout=0)[0])
        return stopped or self._drained or _told.is_set()

    def due(self) -> bool:
        """Whether it is time that all workers :meth:`ask` Ray; rank 0 keeps the time."""
        return self._asks and time.monotonic() - self._asked >= ASK_EVERY_S

    def ask(self) -> None:
        """Ask Ray whether a node of this run is drained; all workers must do so at the same step."""
        self._drained = ray.train.get_preemption_info() is not None
        self._asked = time.monotonic()


@dataclass
class Stop:
    """Whether the job was told to stop, and by which signal."""

    number: int | None = None

    def raise_it(self) -> NoReturn:
        """Raise what the signal would have raised without :func:`stop_signals`."""
        raise Terminated if self.number == signal.SIGTERM else KeyboardInterrupt


@contextmanager
def stop_signals(act: Callable[[], None]) -> Iterator[Stop]:
    """Call ``act`` at the first SIGTERM or SIGINT; the next one does what it would have done without."""
    came = Stop()

    def stop(number: int) -> None:
        came.number = number
        act()

    # only the main thread may set handlers; a stage that is run by another one is stopped by other means
    main = threading.current_thread() is threading.main_thread()
    restore = _at_first([signal.SIGTERM, signal.SIGINT], stop) if main else None
    try:
        yield came
    finally:
        if restore:
            restore()


def aside(function: Callable[[], T], over: threading.Event) -> T | None:
    """``function()`` on a thread of its own, as Ray Train sets a handler of SIGINT in the main thread.

    Returns None as soon as ``over`` is set, whatever the function does then.
    """
    result: Future[T] = Future()

    def work() -> None:
        try:
            result.set_result(function())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            result.set_exception(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive() and not over.is_set():
        thread.join(0.1)
    return result.result() if result.done() else None


def _at_first(numbers: list[int], act: Callable[[int], None]) -> Callable[[], None]:
    """Call ``act`` at the first of the signals, whose handlers come back then; returns what brings them back before."""
    before = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def handle(number: int, _: object) -> None:
        restore()
        act(number)

    for number in numbers:
        signal.signal(number, handle)
    return restore
