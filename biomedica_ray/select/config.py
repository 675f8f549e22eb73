"""The config of the select stage."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from biomedica_ray.config import NAME, StageConfig
from biomedica_ray.config.needs import Need


class SelectConfig(StageConfig):
    """Choose figures by a query, at most a given number of each kind; optional, for serialize --selection."""

    example: ClassVar[str] = "--store mine --name microscopy --where \"primary_label contains 'Microscopy'\""

    name: str = Field(
        pattern=NAME, description="the name of the selection, which is written to <store>/selections/<name>"
    )
    where: str | None = Field(
        None,
        description="condition on columns of figures, articles, labels, panels and duplicates, as in primary_label "
        "contains 'Microscopy' and width >= 300; none: every figure",
    )
    balance: str | None = Field(
        None,
        description="column, as in primary_label, of whose values each gets at most cap figures; none: cap limits the "
        "total",
    )
    cap: int | None = Field(None, ge=1, description="most figures per value of balance; none: all")
    seed: int = Field(0, description="decides which figures are taken where there are more than cap")
    memory_gb: float = Field(2, gt=0, description="memory that one worker reserves")

    @property
    def part(self) -> str:
        """The selection."""
        return self.name

    def needs(self) -> tuple[Need, ...]:
        """A worker."""
        return (Need.of(self, memory="memory_gb"),)

    @model_validator(mode="after")
    def _is_a_query(self) -> Self:
        from biomedica_ray.select import columns, where  # noqa: PLC0415 - only this stage needs the parser

        if self.balance and not self.cap:
            raise ValueError(f"cap: missing; balance needs the most figures per {self.balance}")
        for key, check, text in (("where", where.parse, self.where), ("balance", columns.find_column, self.balance)):
            try:
                check(text) if text else None
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        return self
