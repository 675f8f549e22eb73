"""Where the sets of tasks lie below a folder."""

from __future__ import annotations

from dataclasses import dataclass

from biomedica_ray.evaluate.layouts import Layout, MissingDataError, Opened
from biomedica_ray.evaluate.task_files import SetSpec
from biomedica_ray.store.root import Root
from biomedica_ray.units import fingerprint


@dataclass(frozen=True)
class Found:
    """A set that is there.

    Attributes:
        root: Its folder.
        layout: How it lies there.
        split: Name of its split on disk.
        content: Changes when its files may have changed.
    """

    root: Root
    layout: Layout
    split: str
    content: str

    def open(self) -> Opened:
        """Its rows and images; raises MissingDataError and BadDataError."""
        return self.layout.open(self.root, self.split)


def find(data: Root, images: SetSpec) -> Found:
    """Where a set lies: the first of its folders in which one of its layouts fits.

    Raises:
        MissingDataError: In none of them; the message names what was looked for first.
    """
    looked_for = ""
    for folder in images.folders:
        root = data if folder == "." else Root(data.uri(folder), data.endpoint_url)
        for layout in images.layouts:
            try:
                files = layout.files(root, images.split)
            except MissingDataError as error:
                looked_for = looked_for or str(error)
                continue
            content = fingerprint(layout.model_dump(mode="json"), images.split, sorted(files.items()))
            return Found(root, layout, images.split, content)
    raise MissingDataError(looked_for or "how it lies on disk is not known")
