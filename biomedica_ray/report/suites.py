"""What models scored on published sets, as evaluations with a suite left it in the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from biomedica_ray.store import Store

_OVERALL = "overall"


@dataclass(frozen=True)
class Suite:
    """One evaluation on published sets.

    Attributes:
        title: Its name.
        page: Path of its own page, relative to the store's root.
        models: The models.
        means: Domain, the number of tasks of it that all models have, and the mean of each model over these, None where
            there is none; the overall one last. Results of an earlier version do not have the number.
        tasks: How many tasks were evaluated.
        missing: How many were not, as their sets were not there or could not be used.
    """

    title: str
    page: str
    models: tuple[str, ...]
    means: tuple[tuple[str, int | None, tuple[float | None, ...]], ...]
    tasks: int
    missing: int


def read_suites(store: Store) -> list[Suite]:
    """All evaluations on published sets, by name."""
    return [found for name in store.folders("evaluations") if (found := _read(store, name)) is not None]


def _read(store: Store, name: str) -> Suite | None:
    try:
        document: dict[str, Any] = store.read_json(f"evaluations/{name}/results.json")
    except FileNotFoundError:
        return None
    means, models = document["means"], tuple(document["models"])
    over = {domain: len(names) for domain, names in document.get("means_over", {}).items()}
    domains = sorted({domain for model in models for domain in means[model]}, key=lambda d: (d == _OVERALL, d))
    return Suite(
        document["title"],
        f"evaluations/{name}/results.html",
        models,
        tuple((domain, over.get(domain), tuple(means[model].get(domain) for model in models)) for domain in domains),
        len(document["tasks"]),
        len(document["missing"]) + len(document["errors"]),
    )
