"""The config of the select stage."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from biomedica_ray.config import NAME, StageConfig
from biomedica_ray.config.needs import Need


class SelectConfig(StageConfig):
    """Choose figures by a query, and a maximum number of each kind; optional, for serialize --selection."""

    example: ClassVar[str] = "--store mine --name microscopy --where \"primary_label contains 'Microscopy'\""

    name: str = Field(pattern=NAME, description="name of the selection, for serialize --selection")
    where: str | None = Field(
        None,
        description="condition on columns of figures, articles, labels, panels and duplicates, as in "
        "primary_label contains 'Microscopy' and width >= 300; none: every figure",
    )
    balance: str | None = Field(
        None,
        description="column of which each value gets at most cap figures; none: cap applies to all figures",
    )
    cap: int | None = Field(None, ge=1, description="maximum number of figures for each value of balance; none: all")
    seed: int = Field(0, description="seed for the choice of figures where there are more")
    memory_gb: float = Field(2, gt=0, description="memory that one worker reserves")

    def needs(self) -> tuple[Need, ...]:
        """A worker."""
        return (Need.of(self, memory="memory_gb"),)

    @model_validator(mode="after")
    def _is_a_query(self) -> Self:
        from biomedica_ray.select import columns, where  # noqa: PLC0415 - only this stage needs the parser

        if self.balance and not self.cap:
            raise ValueError(f"cap: missing; expected how many figures of each {self.balance}")
        for key, check, text in (("where", where.parse, self.where), ("balance", columns.find_column, self.balance)):
            try:
                check(text) if text else None
            except ValueError as error:
                raise ValueError(f"{key}: {error}") from None
        return self
