"""Figures of one panel of a store, to compose figures from."""

from __future__ import annotations

import pyarrow.compute as pc
from PIL import Image

from biomedica_ray.images import ImageError, decode
from biomedica_ray.serialize.left_out import group_of, is_withheld
from biomedica_ray.store import Store

_COLUMNS = ["figure_id", "article_id", "license_code", "third_party", "image"]
LONGEST, SHORTEST = 480, 80
"""Pixels of the longer side to which pictures are reduced, and of the shorter side below which one is not used."""


def single_pictures(store: Store, license_groups: list[str], most: int) -> list[Image.Image]:
    """Pictures of one panel, as the panels stage found them, of those licence groups.

    A figure's group is as in the dataset: that of its own licence where this permits less than the article's, and what
    the article reproduces from elsewhere is not commercial. They are taken in the order of units, until there are
    ``most``. Figures that do not decode are left out: extract and panels have them among their errors.

    Args:
        store: The store; its panels stage has run.
        license_groups: Of the figures.
        most: How many.
    """
    found: list[Image.Image] = []
    panels = store.commits("panels")
    for unit, extracted in sorted(store.extracted().items()):
        if len(found) >= most or unit not in panels:
            continue
        articles = store.read(extracted, "articles", ["article_id", "license_group"]).to_pylist()
        by_id = {article["article_id"]: article for article in articles}
        rows = store.read(panels[unit], "panels", ["figure_id", "n_panels"])
        single = set(rows.filter(pc.equal(rows["n_panels"], 1))["figure_id"].to_pylist())
        for batch in store.batches(extracted, "figures", _COLUMNS, batch_size=16):
            for row in batch.to_pylist():
                if len(found) < most and row["figure_id"] in single:
                    group = group_of(row, by_id[row["article_id"]])
                    if group in license_groups and not is_withheld(row, group):
                        found += _reduced(row["image"])
    return found


def _reduced(data: bytes) -> list[Image.Image]:
    try:
        picture = decode(data).convert("RGB")
    except ImageError:
        return []
    if min(picture.size) < SHORTEST:
        return []
    picture.thumbnail((LONGEST, LONGEST))
    return [picture]
