"""Embeddings, clusters and models made by hand: what annotate would have made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import open_clip
import pyarrow as pa
import safetensors.torch
import torch

from biomedica_ray import schema
from biomedica_ray.annotate import kmeans, quality
from biomedica_ray.annotate.clustering import Clustering, clustering_path
from biomedica_ray.annotate.vectors import embed_stage
from biomedica_ray.store import Store
from biomedica_ray.units import Flow, unit_of
from tests.synthetic import N_UNITS


def add_clusters(
    store: Store, model: str, figure_ids: list[str], vectors: npt.NDArray[np.floating] | None = None, weights: str = ""
) -> None:
    """Commit embeddings (n, d), random ones if none are given, and three clusters of them, as annotate would."""
    if vectors is None:
        vectors = np.random.default_rng(0).normal(size=(len(figure_ids), 8))
    vectors = vectors.astype(np.float16)
    table_schema = schema.embeddings(vectors.shape[1]).with_metadata({"model": model, "weights": weights})
    fitted = kmeans.fit(vectors.astype(np.float32), 4, 3, seed=0)
    clustering = Clustering(
        fingerprint="f",
        file=f"{clustering_path(model).removesuffix('.json')}/f.npz",
        model=model,
        clusters=3,
        pca_dims=4,
        fitted=len(vectors),
        explained_variance=0.8,
        explained_variance_ratio=[0.2] * 4,
        sizes=fitted.sizes.tolist(),
        inertia=quality.inertia(fitted),
        silhouette=None,
        stability=None,
        measured_with={},
    )
    with store.atomic_file(clustering.file) as path:
        fitted.save(path)
    store.write_json(clustering_path(model), clustering.to_json())
    for unit in range(N_UNITS):
        here = [n for n, id_ in enumerate(figure_ids) if unit_of(id_.partition(".")[0], N_UNITS) == unit]
        columns = [
            pa.array([figure_ids[n] for n in here], pa.string()),
            pa.array([model] * len(here), pa.string()),
            pa.FixedSizeListArray.from_arrays(pa.array(vectors[here].reshape(-1)), vectors.shape[1]),
            pa.nulls(len(here), pa.string()),
        ]
        with store.write_unit(clustering.stage, unit, "aa") as writer:
            writer.table("embeddings", table_schema).write(pa.table(columns, schema=table_schema))
            writer.commit({"figures": Flow(len(here), len(here))})


def add_panels(
    store: Store, model: str, vectors: dict[str, npt.NDArray[np.floating]], encoder: str | None = None
) -> None:
    """Commit embeddings of panels, as annotate would: figure_id -> (n, d), of panels of 64 pixels side by side."""
    dim = next(iter(vectors.values())).shape[1]
    table_schema = schema.panel_embeddings(dim).with_metadata(
        {"model": model, "weights": "", **({"encoder": encoder} if encoder else {})}
    )
    for unit in range(N_UNITS):
        rows: list[dict[str, Any]] = [
            {
                **{"figure_id": id_, "panel": number, "panel_box": [64 * (number - 1), 0, 64 * number, 64]},
                **{"model": model, "vector": vector.astype(np.float16).tolist(), "sha256": ""},
            }
            for id_, its in vectors.items()
            if unit_of(id_.partition(".")[0], N_UNITS) == unit
            for number, vector in enumerate(its, 1)
        ]
        with store.write_unit(embed_stage(model, "panels"), unit, encoder or "aa") as writer:
            writer.table("panel_embeddings", table_schema).write(pa.Table.from_pylist(rows, table_schema))
            writer.commit({"panels": Flow(len(rows) + 1, len(rows), skipped=1)})


def tiny_clip(folder: Path) -> Path:
    """A CLIP model of open_clip with random weights, as it is published."""
    text: dict[str, Any] = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
    vision: dict[str, Any] = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16}
    settings = {"model_cfg": {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}, "preprocess_cfg": {}}
    torch.manual_seed(0)
    model = open_clip.CLIP(16, open_clip.CLIPVisionCfg(**vision), open_clip.CLIPTextCfg(**text))
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(settings))
    safetensors.torch.save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder
