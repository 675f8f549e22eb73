"""What is in a dataset, counted: licences, years, journals, concepts, lengths of captions, sizes of pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

FILE = "statistics.json"
"""Its name below dataset/: licence group -> topic -> value -> samples."""

COLUMNS = ["txt", "image_size", "image_primary_label", "article_date", "article_journal", "license_name"]
"""Of the dataset's Parquet files, what is counted."""

WORDS = (0, 10, 20, 50, 100, 200, 500)
"""From how many words on a caption is of the next length."""
SIDES = (0, 128, 256, 512, 1024, 2048)
"""From how many pixels on a longest side is of the next size."""
NONE = "unlabelled"
_MOST = 100
"""Values that are kept of a topic that has any number of them."""

TOPICS: Mapping[str, str] = {
    "licences": "Licences",
    "years": "Years of publication",
    "journals": "Journals",
    "concepts": "Concepts",
    "caption_words": "Words of captions",
    "longest_side": "Longest sides in pixels",
}
"""Topic -> its heading."""

Statistics = Mapping[str, Mapping[str, Any]]
"""What the file holds."""


class Counts:
    """The counts of some samples, topic by topic."""

    def __init__(self) -> None:
        self.samples = 0
        self._topics: dict[str, Counter[str]] = {topic: Counter() for topic in TOPICS}

    def add(self, samples: pa.Table) -> None:
        """Count samples; columns :data:`COLUMNS`."""
        self.samples += samples.num_rows
        labels = samples["image_primary_label"]
        words = pc.list_value_length(pc.utf8_split_whitespace(samples["txt"]))
        sides = pc.list_flatten(samples["image_size"]).to_numpy().reshape(-1, 2).max(1, initial=0)
        topics = self._topics
        topics["licences"] += _counted(samples["license_name"])
        topics["years"] += _counted(pc.utf8_slice_codeunits(samples["article_date"], 0, 4))
        topics["journals"] += _counted(samples["article_journal"])
        topics["concepts"] += _counted(pc.list_flatten(labels))
        topics["concepts"][NONE] += int((pc.list_value_length(labels).to_numpy() == 0).sum())
        topics["caption_words"] += _binned(words.to_numpy(), WORDS)
        topics["longest_side"] += _binned(sides, SIDES)

    def to_json(self) -> dict[str, Any]:
        """As the file has them: most frequent first, but years, lengths and sizes in their order."""
        return {
            "samples": self.samples,
            "licences": _most_first(self._topics["licences"]),
            "years": dict(sorted(self._topics["years"].items())),
            "journals": _most_first(self._topics["journals"]),
            "concepts": _most_first(self._topics["concepts"]),
            "caption_words": {name: self._topics["caption_words"][name] for name in bins(WORDS)},
            "longest_side": {name: self._topics["longest_side"][name] for name in bins(SIDES)},
        }


def summed(statistics: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The counts of several licence groups as one."""
    found = Counts()
    for group in statistics:
        found.samples += group["samples"]
        for topic in TOPICS:
            found._topics[topic].update(group[topic])
    return found.to_json()


def bins(edges: Sequence[int]) -> list[str]:
    """The names of what lies between edges: ``0-9``, ``10-19``, ``20 or more``."""
    return [*(f"{low}-{high - 1}" for low, high in pairwise(edges)), f"{edges[-1]} or more"]


def _binned(values: npt.NDArray[np.integer], edges: Sequence[int]) -> Counter[str]:
    places = np.bincount(np.searchsorted(edges, values, side="right") - 1, minlength=len(edges))
    return Counter(dict(zip(bins(edges), places.tolist(), strict=True)))


def _counted(values: pa.ChunkedArray) -> Counter[str]:
    return Counter({each["values"]: each["counts"] for each in pc.value_counts(values.drop_null()).to_pylist()})


def _most_first(counter: Counter[str]) -> dict[str, int]:
    """The most frequent values, by name where they are as frequent."""
    kept = ((value, count) for value, count in counter.items() if count)
    return dict(sorted(kept, key=lambda each: (-each[1], each[0]))[:_MOST])
