"""Where a dataset is in a store."""

from __future__ import annotations

from dataclasses import dataclass

DOCUMENT = "dataset.json"
"""Name of the JSON document in a dataset's folder that names all its shards."""
FORMS = {"webdataset": ("path", "bytes", "sha256"), "parquet": ("parquet", "parquet_bytes", "parquet_sha256")}
"""Keys of a shard in that document that tell path, size and hash in each of its two forms, by their folder."""

OFFSETS = "webdataset_offsets"
"""Key in the footer of a shard's Parquet file: JSON, at which byte each sample begins in the tar, in its order, and
where the last one ends."""


@dataclass(frozen=True)
class Place:
    """Where a dataset lies, and under which stages it is committed.

    Attributes:
        selection: The selection that it is of; None: of all figures.
        profile: Name of how its samples are made, where that is not the default.
    """

    selection: str | None
    profile: str | None = None

    @property
    def stage(self) -> str:
        """The stage that chooses figures unit by unit."""
        return "/".join(["serialize", *self._below])

    @property
    def _below(self) -> list[str]:
        named = (("selections", self.selection), ("profiles", self.profile))
        return [part for folder, name in named if name for part in (folder, name)]

    @property
    def material_stage(self) -> str:
        """The stage that gathers what samples are made of."""
        return f"{self.stage}/material"

    @property
    def shards_stage(self) -> str:
        """The stage that writes shards."""
        return f"{self.stage}/shards"

    @property
    def attribution_stage(self) -> str:
        """The stage that writes whom to credit."""
        return f"{self.stage}/attribution"

    def folder(self, name: str) -> str:
        """A folder below the root: the dataset itself, or a table that belongs to it."""
        return "/".join([*self._below, name])

    @property
    def document(self) -> str:
        """The JSON document that names all shards."""
        return f"{self.folder('dataset')}/{DOCUMENT}"
