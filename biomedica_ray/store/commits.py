"""Commit records: what one stage made of one unit."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from biomedica_ray.units import Counts, counts_from_json, counts_to_json


@dataclass(frozen=True)
class Commit:
    """What one stage made of one unit."""

    stage: str
    unit: int
    fingerprint: str
    files: dict[str, str] = field(default_factory=dict)
    """Table name -> path of its Parquet file, relative to the root."""
    counts: Counts = field(default_factory=dict)
    run_id: str = ""
    seconds: float = 0.0
    worker: str = ""
    """Host and process that did it."""
    reasons: dict[str, dict[str, int]] | None = None
    """What ("figure errors", "article duplicates", "articles skipped"...) -> kind -> how many rows, so that nobody need
    read the tables of all units to count them; None in records of earlier versions."""
    dropped: list[str] = field(default_factory=list)
    """Article versions of which the files have rows that no longer count; readers leave them out."""
    written_as: str = ""
    """The fingerprint under which the files were written, where only the counts or what was dropped changed since."""
    complete: bool = True
    """False when something was not available (a server that did not answer): a rerun tries the unit again."""

    @property
    def content(self) -> str:
        """Changes when the rows may have changed: the fingerprint, and the run where a rerun may give other rows."""
        return self.fingerprint if self.complete else f"{self.fingerprint}-{self.run_id}"

    @property
    def written(self) -> str:
        """Changes when the files may have changed: not when only articles were dropped from them."""
        return self.written_as or self.content

    @property
    def record(self) -> str:
        """Path of the record, relative to the root."""
        return record_path(self.stage, self.unit)

    def to_json(self) -> dict[str, Any]:
        """The record as it is stored."""
        return {**self.__dict__, "counts": counts_to_json(self.counts)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Commit:
        """The inverse of :meth:`to_json`; what only a later version knows is left out."""
        known = {field.name for field in fields(cls)}
        return cls(**{key: data[key] for key in data.keys() & known} | {"counts": counts_from_json(data["counts"])})


def record_path(stage: str, unit: int) -> str:
    """Path of the record of what ``stage`` made of ``unit``, relative to the root."""
    return f"commits/{stage}/{unit:06d}.json"
