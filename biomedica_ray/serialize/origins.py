"""Where a dataset comes from, as the store tells it: when the source was listed, and how well labels were given."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from biomedica_ray.files import VOTES
from biomedica_ray.labelling.image_sheets import IMAGES
from biomedica_ray.store import Store

log = logging.getLogger(__name__)


def listing_date(store: Store) -> str | None:
    """The day, ISO 8601, of the listing that the last run of extract took its articles from; None where none says.

    Where the source dates its listings, as PMC does its inventories, it is that day, else the day of the run.
    """
    for name in sorted((name for name in store.folders("runs") if "-extract-" in name), reverse=True):
        try:
            record: dict[str, Any] = store.read_json(f"runs/{name}/run.json")
        except FileNotFoundError:
            continue
        listing = record["results"].get("listing")
        if listing is not None and record["status"] == "done":
            return str(listing.get("date") or record["started"])[:10]
    return None


def annotation(store: Store) -> dict[str, Any] | None:
    """How far annotators agree, and how pure clusters are; None where nobody has voted.

    Returns:
        annotators, answers on clusters and on single images (``image_answers``), clusters by state, how often
        annotators contradict what was proposed (``proposed`` and ``against_proposal`` clusters), agreement by field,
        and ``purity`` where truth was at hand: the share of figures with known truth that show what most figures of
        their cluster show.
    """
    try:
        votes = store.read_json(VOTES)
    except FileNotFoundError:
        return None
    clusters = votes["clusters"]
    on_images = sum(answer["clustering"] == IMAGES for answer in votes["answers"])
    return {
        "annotators": len({answer["annotator"] for answer in votes["answers"]}),
        "answers": len(votes["answers"]) - on_images,
        "image_answers": on_images,
        "clusters": dict(sorted(Counter(each["state"] for each in clusters).items())),
        "proposed": sum(bool(each["proposed"] and each["said"]["primary"]) for each in clusters),
        "against_proposal": sum(each["against_proposal"] for each in clusters),
        "agreement": [
            {name: each[name] for name in ("field", "clusters", "votes", "observed", "alpha", "kappa")}
            for each in votes["agreement"]
            if each["concept"] is None
        ],
        "purity": _purity(store),
    }


def _purity(store: Store) -> float | None:
    """What the last run of annotate measured against what figures are known to show."""
    for name in sorted((name for name in store.folders("runs") if "-annotate-" in name), reverse=True):
        try:
            record: dict[str, Any] = store.read_json(f"runs/{name}/run.json")
        except FileNotFoundError:
            continue
        if record["status"] == "done" and "dry_run" not in record["results"]:
            found = record["results"].get("purity")
            return None if found is None else float(found)
    return None
