"""What a model's card says of test images that were looked for in the data that it was trained on."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from biomedica_ray.models.folders import CARD_NAME
from biomedica_ray.models.trained import TrainedModel

_DOCUMENT = "leakage.json"
"""Below the folder of the run, as the card is written anew where training goes on."""
_SECTION = "## Test images\n\n{}\n\n"
_BEFORE = "## Limits\n"
_FOUND = re.compile(r"^## Test images\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def note_check(trained: TrainedModel, store: str, tasks: Mapping[str, tuple[int, int]]) -> None:
    """Add tasks to those that a model was checked against, and say so in its card.

    Args:
        trained: The model.
        store: Root of the store whose figures were searched; what was noted of another one is no longer said.
        tasks: Task -> how many of its images were found and left out, and how many it has.

    Raises:
        StoreError: It cannot be written.
    """
    before = _read(trained)
    known = before.get("tasks", {}) if before.get("store") == store else {}
    trained.write_json(_DOCUMENT, {"store": store, "tasks": {**known, **{name: list(n) for name, n in tasks.items()}}})
    try:
        card = trained.store.read_bytes(trained.path("model", CARD_NAME)).decode()
    except FileNotFoundError:
        return
    trained.write(f"model/{CARD_NAME}", lambda file: file.write_text(with_check(trained, card)))


def with_check(trained: TrainedModel, card: str) -> str:
    """A card with what has been noted of its model, in place of what it said before."""
    card = _FOUND.sub("", card)
    if not (known := _read(trained)):
        return card
    tasks = ", ".join(f"{name} ({_left_out(*n)})" for name, n in sorted(known["tasks"].items()))
    name = known["store"].rstrip("/").rpartition("/")[2]
    section = _SECTION.format(f"Checked for leaked test images among the figures of the store `{name}`: {tasks}.")
    start, limits, end = card.partition(_BEFORE)
    return f"{start}{section}{limits}{end}" if limits else f"{card.rstrip()}\n\n{section.rstrip()}\n"


def _left_out(found: int, of: int) -> str:
    return f"{found:,} of {of:,} images left out" if found else f"none of {of:,} images"


def _read(trained: TrainedModel) -> dict[str, Any]:
    try:
        found: dict[str, Any] = trained.store.read_json(trained.path(_DOCUMENT))
    except FileNotFoundError:
        return {}
    return found
