"""What dedupe compares, and what it compared last: what later stages have to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from biomedica_ray.store import Store

DOCUMENT = "dedupe.json"


class Compared(NamedTuple):
    """What was compared when all units were written last.

    Attributes:
        inputs: The fingerprint of everything; empty where nothing has been compared, or not all was written.
        panels: Unit -> content of its panels, where there were some.
    """

    inputs: str
    panels: dict[int, str]


def read_compared(store: Store) -> Compared:
    """What dedupe has recorded in the store; an earlier version compared no panels that count."""
    try:
        document = store.read_json(DOCUMENT)
    except FileNotFoundError:
        return Compared("", {})
    panels = {int(unit): str(content) for unit, content in document.get("panels", {}).items()}
    return Compared(str(document.get("compared", "")), panels)


def write_compared(store: Store, inputs: str, panels: Mapping[int, str]) -> None:
    """Record what was compared; arguments as in :class:`Compared`."""
    store.write_json(DOCUMENT, {"compared": inputs, "panels": {str(unit): panels[unit] for unit in sorted(panels)}})
