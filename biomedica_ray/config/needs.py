"""What a stage asks of the cluster, so that a request that nothing can meet is found before any work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from pydantic import BaseModel

GIB = 2**30


@dataclass(frozen=True)
class Ask:
    """How much of a resource one worker asks for, and the key of the config that says so.

    Attributes:
        key: Key of the config.
        resource: Ray's name of it: CPU, GPU, or memory (bytes).
        amount: How much.
    """

    key: str
    resource: str
    amount: float

    def __str__(self) -> str:
        return f"{amount(self.resource, self.amount)} ({self.key})"


@dataclass(frozen=True)
class Need:
    """Workers or tasks of one kind without which a stage cannot go on.

    Attributes:
        each: What each of them asks for, all on one node.
        workers: How many there must be at the same time.
        workers_key: The key of the config that says how many; empty where one is enough.
    """

    each: tuple[Ask, ...]
    workers: int = 1
    workers_key: str = ""

    @classmethod
    def of(cls, config: BaseModel, *, workers: str = "", **keys: str) -> Self:
        """The need that a config states in some of its keys.

        Args:
            config: The config.
            workers: Key of the number of workers.
            keys: Resource -> the key of what each asks for; a value of None or False asks for nothing, True for one.
        """
        unit = {"memory": GIB}
        values = ((key, resource, getattr(config, key)) for resource, key in keys.items())
        each = tuple(Ask(key, resource, value * unit.get(resource, 1)) for key, resource, value in values if value)
        return cls(each, getattr(config, workers) if workers else 1, workers)

    def in_section(self, section: str) -> Self:
        """The same with the keys of a pipeline's config, as in ``annotate.num_gpus``."""
        each = tuple(replace(ask, key=f"{section}.{ask.key}") for ask in self.each)
        return replace(self, each=each, workers_key=self.workers_key and f"{section}.{self.workers_key}")

    def __str__(self) -> str:
        one = " and ".join(str(ask) for ask in self.each)
        return f"{self.workers} x {one} ({self.workers_key})" if self.workers_key else one

    def room(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """How many of the workers have room on nodes that do nothing else, given each node's resources."""
        return sum(int(min(node.get(ask.resource, 0) / ask.amount for ask in self.each)) for node in nodes)

    def unmet(self, nodes: Sequence[Mapping[str, float]]) -> str:
        """Why the need is not met by nodes with these resources, naming the keys; empty where it is."""
        if not self.each or self.room(nodes) >= self.workers:
            return ""
        for ask in self.each:
            most = max((node.get(ask.resource, 0) for node in nodes), default=0)
            if most < ask.amount:
                return f"{ask.key}: asks for {amount(ask.resource, ask.amount)}, and there {_are(ask.resource, most)}"
        one = " and ".join(str(ask) for ask in self.each)
        if self.workers_key:
            there = self.room(nodes)
            return (
                f"{self.workers_key}: {self.workers} workers of {one} each are asked for, and there is room for {there}"
            )
        return f"{self.each[0].key}: no node has {one} together"


def amount(resource: str, value: float) -> str:
    """An amount of one of Ray's resources, as people write it: 1 CPU, 2 GPUs, 1.5 GB of memory."""
    if resource == "memory":
        return f"{value / GIB:.4g} GB of memory"
    return f"{value:g} {resource}{'' if value == 1 else 's'}"


def _are(resource: str, value: float) -> str:
    if not value:
        return f"is no {resource}" if resource != "memory" else "is no memory"
    return f"{'is' if value == 1 or resource == 'memory' else 'are'} {amount(resource, value)}"
