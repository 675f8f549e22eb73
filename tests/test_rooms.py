"""How the rooms of the package hang together."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from biomedica_ray.stages import CONFIGS

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


def test_what_needs_no_model_imports_no_torch() -> None:
    """Labels, panels and selections need none, and of the stages that do only the workers."""
    stages = tuple(stage for stage in CONFIGS if stage != "pipeline")
    heavy = "{'torch', 'torchvision', 'timm', 'open_clip', 'sklearn'}"
    code = f"import sys; from biomedica_ray.stages import work_of; [work_of(stage) for stage in {stages}]; "
    done = subprocess.run(
        [sys.executable, "-c", code + f"print(sorted({heavy} & sys.modules.keys()))"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout.strip() == "[]"
