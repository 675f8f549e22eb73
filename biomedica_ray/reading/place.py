"""Where a dataset is in a store."""

from __future__ import annotations

from dataclasses import dataclass

DOCUMENT = "dataset.json"
"""Name of the JSON document in a dataset's folder that names all its shards."""
FORMS = {"webdataset": ("path", "bytes", "sha256"), "parquet": ("parquet", "parquet_bytes", "parquet_sha256")}
"""Keys of a shard in that document that tell path, size and hash in each of its two forms, by their folder."""


@dataclass(frozen=True)
class Place:
    """Where a dataset lies, and under which stages it is committed: that of all figures, or that of a selection."""

    selection: str | None

    @property
    def stage(self) -> str:
        """The stage that chooses figures unit by unit."""
        return f"serialize/selections/{self.selection}" if self.selection else "serialize"

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
        return f"selections/{self.selection}/{name}" if self.selection else name

    @property
    def document(self) -> str:
        """The JSON document that names all shards."""
        return f"{self.folder('dataset')}/{DOCUMENT}"
