"""What a dataset is for, and so what its samples look like: an archive of what was published, or food for training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from biomedica_ray import schema

Kind = Literal["archive", "train"]

LONGEST_SIDE = 512
"""Longest side of a picture for training, in pixels, where nobody says another.

RandomResizedCrop of open_clip and of our own training takes 90 to 100 % of a picture's area at 3:4 to 4:3. Of the
corpus' figures, 78 % give it a crop of 224 pixels or more then, and 86 % as published; for 336 pixels it takes 768
(benchmarks/README.md). DataComp has the same 512 (Gadre et al. 2023, appendix D).
"""
QUALITIES: Mapping[Kind, int] = {"archive": 95, "train": 90}
"""Quality of the JPEGs that are encoded, where nobody says another."""


@dataclass(frozen=True)
class Profile:
    """How samples are made.

    Attributes:
        kind: ``archive``: the pixels as published and all that is known; ``train``: smaller pictures, and of an
            article only what a training run draws texts from and whom to credit.
        longest_side: Pictures with a longer one are made smaller, in pixels; None: none is.
        quality: Quality of the JPEGs that are encoded.
        keep_metadata: Whether plain JPEGs keep what they carry beside their pixels.
    """

    kind: Kind = "archive"
    longest_side: int | None = None
    quality: int = QUALITIES["archive"]
    keep_metadata: bool = False

    @property
    def name(self) -> str | None:
        """What its dataset is called: ``train-512-q90``; None for the archive with its defaults, the dataset itself.

        Whatever changes the bytes of pictures is in it, so that another quality is another dataset beside this one,
        and whoever reads this one can go on.
        """
        if self == Profile():
            return None
        side = f"-{self.longest_side}" if self.longest_side else ""
        return f"{self.kind}{side}-q{self.quality}" + ("-metadata" if self.keep_metadata else "")

    @property
    def schema(self) -> pa.Schema:
        """The columns of its Parquet files."""
        return SCHEMAS[self.kind]

    def fields(self, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of all the JSON fields of a sample those that it has."""
        if self.kind == "archive":
            return fields
        own = [each for each in fields["image_context"] if each["figure_id"] == fields["figure_id"]]
        return {name: value for name, value in fields.items() if name not in OF_ARTICLE} | {"image_context": own}


OF_ARTICLE = frozenset(
    {"image_set", "article_abstract", "article_reference_ids", "article_reference_list", "article_text"}
)
"""Fields that repeat a whole article in each of its samples."""

SCHEMAS: Mapping[Kind, pa.Schema] = {
    "archive": schema.DATASET,
    "train": pa.schema([field for field in schema.DATASET if field.name not in OF_ARTICLE]),
}


def schema_of(document: Mapping[str, Any]) -> pa.Schema:
    """The columns of the dataset that a dataset.json is of; those of earlier versions are archives."""
    return SCHEMAS[document.get("profile", "archive")]
