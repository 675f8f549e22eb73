"""What a model's card says of test images that were looked for in the data that it was trained on."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from biomedica_ray.models.folders import CARD_NAME
from biomedica_ray.models.trained import TrainedModel

_DOCUMENT = "leakage.json"
"""Below the folder of the run, as the card is written anew where training goes on."""
_SECTION = "## Test images\n\n{}\n\n"
_BEFORE = "## Limits\n"
_FOUND = re.compile(r"^## Test images\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def note_check(
    trained: TrainedModel, store: str, tasks: Mapping[str, tuple[int, int]], *, figures: int, state: str
) -> None:
    """Add tasks to those that a model was checked against, and say so in its card.

    Args:
        trained: The model.
        store: Root of the store whose figures were searched; what was noted of another one is no longer said.
        tasks: Task -> how many of its images were found and left out, and how many it has.
        figures: How many figures the store had.
        state: Changes with what was searched: tasks that were checked before were so against another one.

    Raises:
        StoreError: It cannot be written.
    """
    before = _read(trained)
    known = before.get("tasks", {}) if before.get("store") == store else {}
    now = {
        name: {"found": found, "images": images, "figures": figures, "state": state}
        for name, (found, images) in tasks.items()
    }
    trained.write_json(_DOCUMENT, {"store": store, "tasks": {**known, **now}})
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
    name = known["store"].rstrip("/").rpartition("/")[2]
    by_figures: dict[int, list[str]] = defaultdict(list)  # the store may have grown since a task was checked
    for task, its in sorted(known["tasks"].items()):
        by_figures[its["figures"]].append(f"{task} ({_left_out(its['found'], its['images'])})")
    section = _SECTION.format(
        "\n\n".join(
            f"Checked for leaked test images among {figures:,} figures of the store `{name}`: {', '.join(tasks)}."
            for figures, tasks in sorted(by_figures.items(), reverse=True)
        )
    )
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
