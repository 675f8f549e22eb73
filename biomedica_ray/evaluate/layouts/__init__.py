"""How published evaluation sets lie on disk: each layout lists its rows and reads their images, lazily."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from biomedica_ray.evaluate.layouts.arrays import Hdf5, Npz
from biomedica_ray.evaluate.layouts.base import BadDataError, Image, Listing, MissingDataError, Opened
from biomedica_ray.evaluate.layouts.coco import Coco
from biomedica_ray.evaluate.layouts.files import Folders, Table
from biomedica_ray.evaluate.layouts.hub import Hub
from biomedica_ray.evaluate.layouts.web import WebDataset

Layout = Annotated[Folders | Table | Npz | Hdf5 | Hub | WebDataset | Coco, Field(discriminator="kind")]

__all__ = ["BadDataError", "Image", "Layout", "Listing", "MissingDataError", "Opened"]
