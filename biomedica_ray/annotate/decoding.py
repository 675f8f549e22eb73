"""From the images of a unit to pixels of the encoder's input size: whole figures, or panels cut out of them."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from biomedica_ray import schema, usage
from biomedica_ray.annotate.earlier_vectors import EarlierVectors, picture_key
from biomedica_ray.cluster import Row
from biomedica_ray.images import ImageError, decode
from biomedica_ray.images.crop import Edges, crop
from biomedica_ray.models.encoder_info import Preprocessing
from biomedica_ray.panels.sure import edges, is_sure
from biomedica_ray.store import Store
from biomedica_ray.store.known import knowing
from biomedica_ray.units import pmcid_of


class Picture(NamedTuple):
    """What gets a vector.

    Attributes:
        figure_id: The figure.
        sha256: Of its image's bytes, hex.
        panel: Number of its panel, from 1; 0 for the whole figure.
        box: Where the panel is; None for the whole figure.
    """

    figure_id: str
    sha256: str
    panel: int = 0
    box: Edges | None = None

    @property
    def key(self) -> str:
        """As :func:`~biomedica_ray.annotate.earlier_vectors.picture_key` has it."""
        return picture_key(self.sha256, self.box)

    def error(self, kind: str, message: str) -> dict[str, Any]:
        """A row of the errors table that says why it has no vector."""
        if not self.panel:
            return schema.error_row("embed", self.figure_id, kind, message)
        return schema.error_row("embed", schema.panel_id(self.figure_id, self.panel), kind, message, entity="panel")


@dataclass
class Pictures:
    """What of a unit's figures gets a vector.

    Attributes:
        rows_in: Figures, or panels of compound ones, that there are.
        skipped: Panels that are not sure.
        of_rows: Row in the table of figures -> the pictures of that figure, those of one at least.
    """

    rows_in: int
    skipped: int = 0
    of_rows: dict[int, list[Picture]] = field(default_factory=dict)


def whole_figures(figures: Iterable[Row], rows_in: int) -> Pictures:
    """Each figure as it is.

    Args:
        figures: Of the figures table row, figure_id and sha256.
        rows_in: How many there are by the commit.
    """
    return Pictures(rows_in, 0, {each["row"]: [Picture(each["figure_id"], each["sha256"])] for each in figures})


def sure_panels(figures: Iterable[Row], panels: Mapping[str, Row], min_confidence: float) -> Pictures:
    """The panels of compound figures that may be samples of their own; an image of one panel has none to cut out.

    Args:
        figures: As of :func:`whole_figures`.
        panels: figure_id -> n_panels and panel_boxes of its row of the panels table.
        min_confidence: As in :func:`~biomedica_ray.panels.sure.is_sure`.
    """
    found = Pictures(0)
    for figure in figures:
        of_figure = panels.get(figure["figure_id"])
        if of_figure is None or of_figure["n_panels"] < 2:
            continue
        found.rows_in += of_figure["n_panels"]
        sure = [
            Picture(figure["figure_id"], figure["sha256"], number, edges(box))
            for number, box in enumerate(of_figure["panel_boxes"], 1)
            if is_sure(box, min_confidence)
        ]
        found.skipped += len(of_figure["panel_boxes"]) - len(sure)
        if sure:
            found.of_rows[figure["row"]] = sure
    return found


def preprocess_unit(
    row: Row,
    store: Store,
    preprocessing: Preprocessing,
    earlier: EarlierVectors,
    panels_from: float | None = None,
) -> Row:
    """Decode the pictures of one unit that have no vector yet, row group by row group.

    Args:
        row: A row of :func:`~biomedica_ray.cluster.unit_rows`.
        store: Where the figures are.
        preprocessing: Of the encoder.
        earlier: Vectors that were made before.
        panels_from: The confidence of panels that are wanted; None: whole figures are.

    Returns:
        The row with pixels (n, H, W, 3) uint8 and vectors (m, dim) float16; as JSON the n + m pictures in order, which
        of them have a vector (m numbers), the error rows of those that do not decode, how many the unit has, and how
        many are not wanted; or with the reason of the unit's failure. And what it took, as JSON.
    """
    pixels, vectors = np.empty((0, *preprocessing.size, 3), np.uint8), list[npt.NDArray[np.float16]]()
    told: dict[str, Any] = {"pictures": [], "earlier": [], "errors": [], "rows_in": 0, "skipped": 0}
    n_pixels, failure = 0, ""
    try:
        with knowing(row["records"]):
            extracted = store.commit("extract", row["unit"])
            panelled = None if panels_from is None else store.commit("panels", row["unit"])
        slim = store.read(extracted, "figures", ["figure_id", "article_id", "sha256"], row="row").to_pylist()
        if panelled is None or panels_from is None:
            wanted = whole_figures(slim, extracted.counts["figures"].rows_out)
        else:
            boxes = store.read(panelled, "panels", ["figure_id", "n_panels", "panel_boxes"]).to_pylist()
            wanted = sure_panels(slim, {each["figure_id"]: each for each in boxes}, panels_from)
        told |= {"rows_in": wanted.rows_in, "skipped": wanted.skipped}
        keys = [picture.key for pictures in wanted.of_rows.values() for picture in pictures]
        known = earlier.of(store, {pmcid_of(figure["article_id"]) for figure in slim}, keys)
        new = {
            at: [picture for picture in pictures if picture.key not in known] for at, pictures in wanted.of_rows.items()
        }
        pixels = np.empty((sum(map(len, new.values())), *preprocessing.size, 3), np.uint8)
        transform = preprocessing.transform()
        images = store.rows(extracted, "figures", [at for at, pictures in new.items() if pictures], ["image"])
        for at, pictures in wanted.of_rows.items():
            parts = _parts(next(images)["image"], new[at]) if new[at] else {}
            for picture in pictures:
                if (vector := known.get(picture.key)) is not None:
                    told["earlier"].append(len(told["pictures"]))
                    vectors.append(vector)
                elif isinstance(part := parts[picture], ImageError):
                    told["errors"].append(picture.error(part.kind, str(part)))
                    continue
                else:
                    pixels[n_pixels] = transform(part)
                    n_pixels += 1
                told["pictures"].append(picture)
    except Exception:  # noqa: BLE001 - whatever goes wrong in one unit, the others go on and the driver tells
        failure = traceback.format_exc()
    made = {
        "pixels": pixels[:n_pixels],
        "vectors": np.array(vectors, np.float16).reshape(len(vectors), -1 if vectors else 0),
    }
    told_as_text = {"pictures": json.dumps(told), "failure": failure, "usage": json.dumps(usage.take_work())}
    return {**row, **made, **told_as_text}


def _parts(data: bytes, pictures: Iterable[Picture]) -> dict[Picture, Image.Image | ImageError]:
    """What pictures of an image show, or why they show nothing."""
    try:
        image = decode(data)
    except ImageError as error:
        return dict.fromkeys(pictures, error)
    return {picture: _part(image, picture.box) for picture in pictures}


def _part(image: Image.Image, box: Edges | None) -> Image.Image | ImageError:
    try:
        return image if box is None else crop(image, box)
    except ImageError as error:
        return error
