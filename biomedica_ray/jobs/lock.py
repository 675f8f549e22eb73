"""Whether the packages of a node are those of the lock that came with a job."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path

LOCK = "constraints.txt"
"""The file of exact versions, as pip and uv read it."""

LOCK_VARIABLE = "BIOMEDICA_LOCK"
"""The environment variable that names a job's lock."""

_PINNED = re.compile(r"(?P<name>[\w.-]+)==(?P<version>[\w.+!-]+)")
_NAMED = 5


def differences(lock: Path) -> list[str]:
    """Packages that are installed here in another version than the lock has: ``ray 2.55.0 (locked: 2.60.0)``.

    What is not installed is not named: a lock has the packages of all extras.
    """
    found = []
    for line in lock.read_text().splitlines():
        if (pinned := _PINNED.match(line.strip())) is None:
            continue
        try:
            installed = importlib.metadata.version(pinned["name"])
        except importlib.metadata.PackageNotFoundError:
            continue
        if "+" not in pinned["version"]:
            installed = installed.partition("+")[0]  # PyTorch's build for CPUs is 2.14.1+cpu
        if installed != pinned["version"]:
            found.append(f"{pinned['name']} {installed} (locked: {pinned['version']})")
    return found


def warning(lock: Path) -> str | None:
    """One line that says what differs; None where nothing does, or where there is no lock."""
    if not lock.is_file() or not (found := differences(lock)):
        return None
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return (
        f"packages of this node differ from {lock.name}: {', '.join(found[:_NAMED])}{more}; "
        "install the lock on the nodes anew (`ray up`, or another image)"
    )
