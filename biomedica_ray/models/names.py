"""What models are called in evaluations, and a mark that changes when one may have changed, without loading it."""

from __future__ import annotations

import importlib.metadata
import re
from dataclasses import dataclass
from functools import cached_property

from biomedica_ray.config import NAME, ConfigError
from biomedica_ray.models.folders import CARD_NAME, is_folder
from biomedica_ray.models.trained import TrainedModel
from biomedica_ray.models.weights import weights_mark
from biomedica_ray.store import Store
from biomedica_ray.units import fingerprint

TRANSFORMERS = "hf:"
"""What precedes the repository or folder of a model of transformers, as in ``hf:OWNER/NAME@REVISION``."""


@dataclass(frozen=True)
class ModelName:
    """A model by name.

    Attributes:
        text: A model of the store, ``NAME@TAG`` of open_clip, a folder or ``hf-hub:`` of open_clip, or
            ``hf:OWNER/NAME``.
        store: Where checkpoints are.
    """

    text: str
    store: Store

    @cached_property
    def library(self) -> str:
        """Where it comes from: ``hf:``, checkpoint, folder or tag."""
        if self.text.startswith(TRANSFORMERS):
            return TRANSFORMERS
        if re.fullmatch(NAME, self.text) and self.store.list(TrainedModel(self.store, self.text).path()):
            return "checkpoint"  # also where the current folder has one of this name
        if is_folder(self.text):
            return "folder"
        return "tag" if "@" in self.text else "checkpoint"

    def parts(self) -> tuple[str, str]:
        """open_clip's model and weights."""
        if self.library == "folder":
            return self.text, self.text
        name, _, tag = self.text.partition("@")
        return name, tag

    @property
    def slug(self) -> str:
        """The name as part of a path."""
        return re.sub(r"[^\w.-]+", "-", self.text).strip("-.")

    def mark(self) -> str:
        """Changes when the model may have changed.

        Raises:
            StoreError: It is one of the store's, and not finished.
            ConfigError: Its weights cannot be seen from here, or it has no tag.
        """
        libraries = [_version(name) for name in ("open_clip_torch", "transformers")]
        if self.library == "checkpoint":
            trained = TrainedModel(self.store, self.text)
            if not trained.is_finished() and not self.store.list(trained.path()):
                raise ConfigError(
                    f"models: {self.text}: expected a model in {self.store.uri('checkpoints')}, open_clip's NAME@TAG, "
                    "a folder, hf-hub:OWNER/NAME or hf:OWNER/NAME"
                )
            return fingerprint(trained.origin(), self.files(trained.path("model")))
        where = self.text.removeprefix(TRANSFORMERS) if self.library == TRANSFORMERS else self.parts()[1]
        if self.library == TRANSFORMERS and not is_folder(where):
            return fingerprint(self.text, libraries)
        mark = weights_mark(where, self.store.endpoint_url)
        if mark is None:
            raise ConfigError(f"models: {self.text}: no such weights")
        return fingerprint(self.text, mark, libraries)

    def files(self, folder: str) -> list[tuple[str, int, int]]:
        """Name, bytes and time of the files of a folder of the store, but for the card, which may be written again."""
        names = [name for name in self.store.list(folder) if name != CARD_NAME]
        infos = self.store.filesystem.get_file_info([self.store.path(folder, name) for name in names])
        return [(info.base_name, info.size, info.mtime_ns) for info in infos]


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""
