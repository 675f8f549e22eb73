"""What a CLIP model has proposed for the clusters of a store: the file that propose writes, sheets and votes read.

``clusters/<model>.proposals.json``, model being that of the embeddings:

    {"clustering": "<fingerprint>", "model": "open_clip/...", "weights": "...", "images": 8,
     "content": "<fingerprint>", "clusters": {"0": [{"concept": "Microscopy", "score": 0.71}, ...], ...}}

A cluster has its three best concepts, scores from 0 to 1; one of whose figures none decodes has none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from biomedica_ray.annotate.vectors import model_slug
from biomedica_ray.store import Store

_ENDING = ".proposals.json"


@dataclass(frozen=True)
class Proposal:
    """A global concept that a cluster may show, and from 0 to 1 how much its figures resemble that one."""

    concept: str
    score: float


@dataclass(frozen=True)
class Proposals:
    """What a model proposes.

    Attributes:
        model: Its name; empty where nothing has been proposed.
        clusters: Cluster -> proposals, best first.
    """

    model: str = ""
    clusters: Mapping[int, Sequence[Proposal]] = field(default_factory=dict)

    def best(self, cluster: int) -> str | None:
        """The concept that is proposed first."""
        return next((proposal.concept for proposal in self.clusters.get(cluster, ())), None)


def proposals_path(model: str) -> str:
    """Where the proposals for clusters of a model's embeddings are, relative to the store's root."""
    return f"clusters/{model_slug(model)}{_ENDING}"


def read_proposals(store: Store, clustering: str, concepts: Collection[str]) -> Proposals:
    """The proposals for a clustering, of those concepts that a taxonomy has."""
    for name in store.list("clusters"):
        if not name.endswith(_ENDING):
            continue
        document = store.read_json(f"clusters/{name}")
        if document["clustering"] == clustering:
            of_cluster = {
                int(cluster): [Proposal(**each) for each in found if each["concept"] in concepts]
                for cluster, found in document["clusters"].items()
            }
            return Proposals(document["model"], of_cluster)
    return Proposals()
