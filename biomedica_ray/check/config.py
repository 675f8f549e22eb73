"""The config of the check stage."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from biomedica_ray.config import StageConfig


class CheckConfig(StageConfig):
    """List what is missing in a store, left over, or of another format; and mend it."""

    example: ClassVar[str] = "--store mine --mend true"

    @property
    def part(self) -> str:
        """While it mends, no other run may begin; see :data:`biomedica_ray.store.lease.MENDING`."""
        return "mend" if self.mend else ""

    mend: bool = Field(
        False,
        description="remove what is left over, and the records of what is missing, so that its stage makes it again",
    )
