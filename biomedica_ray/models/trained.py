"""The folder of a trained model on the store, ``checkpoints/<name>/``, and how files get there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import safetensors

from biomedica_ray.backoff import wait_after
from biomedica_ray.store import Store, StoreError
from biomedica_ray.store.ranges import open_ahead

ATTEMPTS = 3
"""How often a file is sent to object storage before the run gives up; its client repeats single requests besides."""
_COPY_BYTES = 2**20


@dataclass(frozen=True)
class TrainedModel:
    """The model that a run of train or merge made."""

    store: Store
    name: str

    def path(self, *parts: str) -> str:
        """A path of this run, relative to the store's root."""
        return "/".join(["checkpoints", self.name, *parts])

    def origin(self) -> dict[str, Any]:
        """How the finished model came about: the settings of its training, or of its merging, and ``step``.

        Raises:
            StoreError: There is no finished model.
        """
        if not self.is_finished():
            raise StoreError(f"{self.store.uri(self.path('model'))}: no model; run `biomedica train` to its end first")
        try:
            merged: dict[str, Any] = self.store.read_json(self.path("merge.json"))
        except FileNotFoundError:
            step = self.store.read_json(self.path("latest.json"))["step"]
            return {**self.store.read_json(self.path("training.json")), "step": step}
        return {**merged, "step": None}

    def is_finished(self) -> bool:
        """Whether the finished model is there."""
        return bool(self.store.list(self.path("model")))

    def remove(self) -> None:
        """Remove all that the run has written."""
        self.store.delete_folder(self.path())

    def put_folder(self, local: Path, name: str) -> None:
        """Copy the files of a local folder to the folder ``name`` of this run; raises StoreError where that fails."""
        for file in sorted(local.iterdir()):
            self.write(f"{name}/{file.name}", partial(shutil.copyfile, file))

    def get_folder(self, name: str, local: Path) -> None:
        """The inverse of :meth:`put_folder`; raises FileNotFoundError where there is no such folder."""
        names = self.store.list(self.path(name))
        if not names:
            raise FileNotFoundError(self.store.uri(self.path(name)))
        for file in names:
            with open_ahead(self.store, self.path(name, file)) as stream, (local / file).open("wb") as copy:
                shutil.copyfileobj(stream, copy, _COPY_BYTES)

    def write_json(self, path: str, document: Any) -> None:
        """Write a JSON document; raises StoreError where that fails."""
        self.write(path, lambda file: file.write_text(json.dumps(document, indent=1)))

    def write(self, path: str, write: Callable[[Path], object]) -> None:
        """Let ``write`` fill a local file, which becomes the file ``path`` of this run."""

        def put() -> None:
            with self.store.atomic_file(self.path(path)) as file:
                write(file)

        self.persist(self.path(path), put)

    def persist(self, path: str, action: Callable[[], object]) -> None:
        """Do something to the store, several times where a server may come back; a full disk does not."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                action()
                return
            except (OSError, safetensors.SafetensorError) as error:
                if self.store.is_local or attempt == ATTEMPTS:
                    raise StoreError(f"{self.store.uri(path)}: {' '.join(str(error).split())}") from error
                wait_after(attempt)
