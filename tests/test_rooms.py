"""How the rooms of the package hang together."""

from __future__ import annotations

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "biomedica_ray"


def room(module: str) -> str:
    """The package or the module directly below biomedica_ray that a dotted name is in."""
    return module.split(".")[1]


def imported(file: Path) -> set[str]:
    """The rooms whose modules a file imports, at its top or in a function."""
    rooms = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == PACKAGE.name:
            rooms |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{PACKAGE.name}."):
            rooms.add(room(str(node.module)))
        elif isinstance(node, ast.Import):
            rooms |= {room(alias.name) for alias in node.names if alias.name.startswith(f"{PACKAGE.name}.")}
    return rooms


def test_no_rooms_import_in_a_circle() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for file in PACKAGE.rglob("*.py"):
        here = file.relative_to(PACKAGE).with_suffix("").parts[0]
        graph[here] |= imported(file) - {here}
    assert len(graph) > 20 and graph["train"] >= {"reading", "models", "store"}  # the reading of imports works
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise AssertionError(f"rooms import in a circle: {' -> '.join(error.args[1])}") from None
