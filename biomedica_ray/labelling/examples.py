"""Examples for the classifier of images: figures of which people said what they show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from biomedica_ray.ahead import map_in_threads
from biomedica_ray.annotate.vectors import read_vectors
from biomedica_ray.labelling.labels_file import LabelsFile
from biomedica_ray.store import Store
from biomedica_ray.units import pmcid_of

SINGLE = "single"
"""Panel type of images of one panel, as the paper's taxonomy has it."""


@dataclass(frozen=True)
class Example:
    """A figure, and what people said that it shows.

    Attributes:
        figure_id: The figure.
        primary: Global concepts.
        secondary: Local concepts.
        alone: It was said of this image by itself, not of a cluster of which it was shown as one of several.
        single: It was said that it is of one panel.
        random: It was drawn at random from all images, not chosen as one that a classifier was unsure of.
    """

    figure_id: str
    primary: tuple[str, ...]
    secondary: tuple[str, ...]
    alone: bool
    single: bool = False
    random: bool = False


def read_examples(said: LabelsFile) -> list[Example]:
    """The examples of a labels file, by figure_id.

    What was said of an image by itself takes precedence; of several clusters that show it, the last one does. Entries
    that name a cluster by its id have no examples.
    """
    found = {
        figure: Example(
            figure, tuple(entry.primary), tuple(entry.secondary), alone=False, single=entry.panel_type == SINGLE
        )
        for entry in said.clusters
        for figure in entry.exemplars
    }
    alone = (
        Example(
            each.figure,
            tuple(each.primary),
            tuple(each.secondary),
            alone=True,
            single=each.panel_type == SINGLE,
            random=each.random,
        )
        for each in said.images
    )
    found |= {example.figure_id: example for example in alone}
    return [found[figure] for figure in sorted(found)]


def embedded_examples(
    store: Store, stage: str, examples: Iterable[Example]
) -> tuple[list[Example], npt.NDArray[np.float16]]:
    """Those of the examples that have an embedding, and their vectors (n, d).

    Runs as a task, as it reads the embeddings of their units.

    Args:
        store: The store.
        stage: That of the embeddings.
        examples: What to look up.
    """
    wanted = {example.figure_id: example for example in examples}
    commits = store.commits(stage)
    units = sorted(commits.keys() & store.units_of(set(map(pmcid_of, wanted))))

    def read(unit: int) -> list[tuple[str, npt.NDArray[np.float16]]]:
        ids, vectors = read_vectors(store, commits[unit])
        return [(figure_id, vectors[row]) for row, figure_id in enumerate(ids) if figure_id in wanted]

    found = dict(pair for pairs in map_in_threads(read, units) for pair in pairs)
    ordered = sorted(found)
    return [wanted[figure_id] for figure_id in ordered], _stacked([found[figure_id] for figure_id in ordered])


def _stacked(vectors: Sequence[npt.NDArray[np.float16]]) -> npt.NDArray[np.float16]:
    return np.stack(vectors) if vectors else np.empty((0, 0), np.float16)
