"""What a store says of the clusters of a model's embeddings: ``clusters/<model>.json``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from biomedica_ray.annotate.vectors import embed_stage, model_slug
from biomedica_ray.config import ConfigError
from biomedica_ray.store import Store, StoreError

_PROPOSALS = ".proposals.json"


@dataclass(frozen=True)
class Clustering:
    """Clusters of the embeddings of one model.

    Attributes:
        fingerprint: Changes with the vectors that were fitted and the settings of the fit.
        file: The :class:`~biomedica_ray.annotate.kmeans.ClusterModel`, relative to the store's root.
        model: The encoder whose embeddings they are.
        clusters: How many.
        pca_dims: Dimensions in which distances are measured.
        fitted: Embeddings that they were fitted on.
        explained_variance: Share of the variance that these dimensions keep.
        explained_variance_ratio: The share of each.
        sizes: Fitted embeddings in each cluster.
        inertia: As in :func:`~biomedica_ray.annotate.quality.inertia`.
        silhouette: As in :func:`~biomedica_ray.annotate.quality.silhouette`.
        stability: As in :func:`~biomedica_ray.annotate.quality.stability`; None where it was not measured.
        measured_with: Settings of the last two.
        settings: Changes with the encoder and the settings of the fit; empty where an earlier version fitted them.
    """

    fingerprint: str
    file: str
    model: str
    clusters: int
    pca_dims: int
    fitted: int
    explained_variance: float
    explained_variance_ratio: list[float]
    sizes: list[int]
    inertia: float
    silhouette: float | None
    stability: float | None
    measured_with: dict[str, int]
    settings: str = ""

    @property
    def stage(self) -> str:
        """The stage that commits the embeddings."""
        return embed_stage(self.model)

    def to_json(self) -> dict[str, Any]:
        """The document as it is stored."""
        return asdict(self)


def clustering_path(model: str) -> str:
    """Where the clusters of a model's embeddings are described, relative to the store's root."""
    return f"clusters/{model_slug(model)}.json"


def read_clustering(store: Store, path: str) -> Clustering | None:
    """The clusters that a document describes; None where there is no such document."""
    try:
        document = store.read_json(path)
    except FileNotFoundError:
        return None
    return Clustering(**{item.name: document[item.name] for item in fields(Clustering) if item.name in document})


def stored_clusterings(store: Store) -> list[Clustering]:
    """The clusters that a store has, of each model's embeddings."""
    names = (name for name in store.list("clusters") if name.endswith(".json") and not name.endswith(_PROPOSALS))
    found = (read_clustering(store, f"clusters/{name}") for name in names)
    return [each for each in found if each]


def find_clustering(store: Store, model: str | None) -> Clustering:
    """The clusters of a model's embeddings; where no model is named, those of the only one that the store has.

    Raises:
        StoreError: There are no clusters yet.
        ConfigError: Several models have clusters, and none was named.
    """
    found = [each for each in stored_clusterings(store) if model in {None, each.model}]
    if not found:
        which, how = (f" of {model}", f" --model {model}") if model else ("", "")
        raise StoreError(f"{store.root}: no clusters{which} yet; run `biomedica annotate{how}` first")
    if len(found) > 1:
        models = ", ".join(each.model for each in found)
        raise ConfigError(f"model: missing; the store has clusters of several models, expected one of {models}")
    return found[0]
