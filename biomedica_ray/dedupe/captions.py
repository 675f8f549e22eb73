"""Other captions of a kept figure: those of the figures that repeat it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def other_captions(groups: Iterable[tuple[str, str]], captions: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Rows of the captions table; a caption that differs only in spaces and case is the same.

    Args:
        groups: Kept figure and figure that repeats it, in the order in which captions are wanted.
        captions: figure_id -> caption, of the kept ones too.
    """
    seen: dict[str, set[str]] = {}
    rows = []
    for kept, repeat in groups:
        known = seen.setdefault(kept, {_plain(captions[kept]), ""})
        caption = captions[repeat]
        if _plain(caption) not in known:
            known.add(_plain(caption))
            rows.append({"figure_id": kept, "caption": caption, "source": repeat})
    return rows


def _plain(caption: str | None) -> str:
    return " ".join((caption or "").split()).casefold()
