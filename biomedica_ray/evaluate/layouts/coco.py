"""Sets with annotations in COCO's format."""

from __future__ import annotations

import json
from typing import Literal

import pyarrow as pa
from pydantic import Field

from biomedica_ray.evaluate.layouts.base import BadDataError, LayoutBase, Listing, as_list, first_there, walk
from biomedica_ray.evaluate.layouts.files import ImageFiles
from biomedica_ray.reading.shards import Unreadable
from biomedica_ray.store.root import Root


class Coco(LayoutBase):
    """A JSON file with images, annotations and categories, and a folder of images."""

    kind: Literal["coco"]
    annotations: str = Field(description="the JSON file")
    folder: str = Field(description="folder of the images")

    def places(self, split: str) -> list[str]:
        """The JSON file and the folder."""
        return [*as_list(self.annotations, split), *as_list(self.folder, split)]

    def open(self, root: Root, split: str) -> ImageFiles:
        """``label`` lists the ids of the categories that an image has annotations of."""
        place, folder = self.places(split)
        name = first_there(root, [place])
        try:
            document = json.loads(root.read_bytes(name))
            shown: dict[int, set[int]] = {}
            for annotation in document["annotations"]:
                shown.setdefault(int(annotation["image_id"]), set()).add(int(annotation["category_id"]))
            images = [(int(image["id"]), str(image["file_name"])) for image in document["images"]]
        except (ValueError, KeyError, TypeError) as error:
            raise BadDataError(f"{root.uri(name)}: not COCO's format: {type(error).__name__} {error}") from None
        there = walk(root, folder)
        paths, ids, categories = list[str](), list[str](), list[list[int]]()
        missing, repeated, seen = list[Unreadable](), list[str](), set[str]()
        for number, file in images:
            path = f"{folder}/{file}"
            if file in seen:
                repeated.append(file)
            elif path not in there:
                missing.append(Unreadable(file, "missing-image", f"{root.uri(path)}: no such image"))
            else:
                paths.append(path)
                ids.append(file)
                categories.append(sorted(shown.get(number, ())))
            seen.add(file)
        columns = {"id": pa.array(ids, pa.string()), "label": pa.array(categories, pa.list_(pa.int64()))}
        return ImageFiles(root, Listing(pa.table(columns), missing, repeated), paths)
