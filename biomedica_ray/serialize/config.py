"""The config of the serialize stage."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from biomedica_ray.config import NAME, StageConfig
from biomedica_ray.config.needs import Need
from biomedica_ray.panels.config import MIN_CONFIDENCE
from biomedica_ray.reading.place import Place
from biomedica_ray.serialize.profiles import LONGEST_SIDE, QUALITIES, Kind, Profile


class SerializeConfig(StageConfig):
    """Write figures as WebDataset shards and Parquet, split by licence group."""

    example: ClassVar[str] = "--store mine --selection microscopy"

    selection: str | None = Field(
        None,
        pattern=NAME,
        description="write only the figures of this selection, to <store>/selections/<selection>/dataset; none: all "
        "figures, to <store>/dataset",
    )
    profile: Kind = Field(
        "archive",
        description="archive: pictures as published, and all that is known of their articles; train: pictures no "
        "larger than longest_side, and of the article only what training draws texts from and whom to credit, to "
        "<store>/profiles/train-512-q90/dataset beside the archive's",
    )
    samples_per_shard: int = Field(
        2_500,
        ge=1,
        description="samples of a shard; the last one, and those that lost some, have fewer; a worker holds a shard on "
        "its disk twice, as tar and as Parquet",
    )
    max_outdated: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="write a shard anew when more than this share of its samples would be written otherwise now, as "
        "their article has a later version or a further caption was found; what must not be in the dataset any more "
        "(retracted, another licence, reproduced from elsewhere...) has its shard written anew at once",
    )
    pairs: Literal["figures", "panels", "both"] = Field(
        "figures",
        description="what a sample is: a figure and its caption; a panel and its words, figures only where not each of "
        "their panels is sure; or both; panels need biomedica panels before",
    )
    min_confidence: float = Field(
        MIN_CONFIDENCE,
        ge=0,
        le=1,
        description="a panel is a sample of its own from this confidence on, both that it is there and that the words "
        "are its own; others stay with their figure",
    )
    license_groups: list[Literal["commercial", "noncommercial", "other"]] = Field(
        ["commercial", "noncommercial", "other"], description="which licence groups to write"
    )
    min_side: int = Field(
        21, ge=1, description="smallest width and height in pixels (BIOMEDICA: more than 20); of panels at least 64"
    )
    keep_duplicates: bool = Field(False, description="also write figures and articles that repeat others")
    keep_boilerplate: bool = Field(False, description="also write pictures that many unrelated articles have")
    keep_against: bool = Field(False, description="also write figures that occur in the sets of dedupe's against")
    keep_retracted: bool = Field(False, description="also write figures of retracted articles")
    keep_third_party: bool = Field(
        False, description="also write figures of the commercial group that are reproduced from elsewhere"
    )
    keep_thumbnails: bool = Field(False, description="also write thumbnails of images that the package lacks")
    keep_metadata: bool = Field(
        False,
        description="leave JPEGs that need no conversion as they are, byte by byte; otherwise what they carry beside "
        "their pixels is cut off: EXIF (names, places), comments, previews, further pictures",
    )
    longest_side: int | None = Field(
        None,
        ge=32,
        le=65535,
        description="longest side in pixels of pictures for training; larger ones are made smaller, none larger; none: "
        "512 with profile train, and as published with archive, which takes no other",
    )
    jpeg_quality: int | None = Field(
        None,
        ge=1,
        le=100,
        description="quality of images that are not yet a plain, upright RGB JPEG in sRGB, or too large; none: 95, and "
        "90 with profile train; another one is another dataset, as in <store>/profiles/archive-q90/dataset",
    )
    validation_fraction: float = Field(
        0.05,
        ge=0,
        lt=1,
        description="share of articles held out to choose checkpoints and mixtures by, chosen by a stable hash",
    )
    test_fraction: float = Field(
        0.1, ge=0, lt=1, description="share of articles held out for the final score, chosen by the same hash"
    )
    memory_gb: float = Field(2, gt=0, description="memory that one worker reserves")

    @property
    def part(self) -> str:
        """The dataset."""
        return "/".join(part for part in (self.selection, self.made.name) if part)

    @property
    def made(self) -> Profile:
        """How samples are made."""
        side = (self.longest_side or LONGEST_SIDE) if self.profile == "train" else None
        return Profile(self.profile, side, self.jpeg_quality or QUALITIES[self.profile], self.keep_metadata)

    @property
    def place(self) -> Place:
        """Where the dataset goes."""
        return Place(self.selection, self.made.name)

    def needs(self) -> tuple[Need, ...]:
        """A worker."""
        return (Need.of(self, memory="memory_gb"),)

    @model_validator(mode="after")
    def _is_as_published(self) -> Self:
        if self.profile == "archive" and self.longest_side is not None:
            raise ValueError("longest_side: an archive has pictures as published; leave it out, or take profile train")
        return self

    @model_validator(mode="after")
    def _some_are_left(self) -> Self:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction: expected less than 1 together with test_fraction")
        return self
