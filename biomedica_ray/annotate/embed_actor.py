"""The actors that embed and commit units.

Torch and the libraries of models are imported where an encoder is loaded, as that takes seconds: the driver needs none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from biomedica_ray import schema, usage
from biomedica_ray.annotate.config import AnnotateConfig
from biomedica_ray.annotate.decoding import Picture
from biomedica_ray.annotate.vectors import ENCODER, TABLES, Kind, model_slug
from biomedica_ray.cluster import Row, failed_row, unit_row
from biomedica_ray.models.encoder_info import EncoderInfo
from biomedica_ray.models.weights import local_weights
from biomedica_ray.runs import UnitsOf
from biomedica_ray.units import Counts, Flow, fingerprint

if TYPE_CHECKING:
    from biomedica_ray.models.encoders import Encoder


EMBEDDED_BEFORE = "figures embedded before"
"""Under this, a unit's commit says how many vectors were taken over, of panels too."""

VERSION = 4
"""Raise it when the same input would give other rows."""


def encoder_mark(info: EncoderInfo) -> str:
    """Changes when the same image would get another vector."""
    return fingerprint(VERSION, info.to_json())


def load(config: AnnotateConfig) -> Encoder:
    """Load the encoder onto the CPU; raises as :func:`~biomedica_ray.models.encoders.load_encoder` does."""
    from biomedica_ray.models.encoders import load_encoder  # noqa: PLC0415

    with local_weights(config.weights, config.endpoint_url) as weights:
        return load_encoder(config.model, weights, config.image_size)


class EmbedActor:
    """Embeds and commits units, on a GPU where it has been given one."""

    def __init__(
        self, config: AnnotateConfig, info: EncoderInfo, of: UnitsOf, stage: str, kind: Kind = "figures"
    ) -> None:
        import torch  # noqa: PLC0415

        from biomedica_ray.models.tf32 import set_tf32  # noqa: PLC0415

        torch.set_num_threads(max(1, int(config.num_cpus)))
        set_tf32(allowed=config.tf32)
        has_gpu = torch.cuda.is_available()
        encoder = load(config).to(torch.device("cuda" if has_gpu else "cpu"))
        self._encoder = encoder.compiled() if config.compile else encoder
        self._batch_size = config.batch_size
        self._config, self._info = config, info
        self._of, self._stage, self._kind = of, stage, kind
        self._turns: AbstractContextManager[None] = usage.Turns("gpu") if has_gpu else nullcontext()

    def __call__(self, row: Row) -> Row:
        """A row of :func:`preprocess_unit` to one of :func:`collect_units`."""
        if row["failure"]:
            return failed_row(row, row["failure"], row["usage"])
        usage.add(json.loads(row["usage"]))
        return unit_row(self._of, self._stage, row, lambda: self._commit(row))

    def _commit(self, row: Row) -> Counts:
        from biomedica_ray.models.encoders import embed_all  # noqa: PLC0415

        if self._encoder.info != self._info:
            raise RuntimeError(f"weights: {self._config.weights}: not the same on all nodes")
        told = json.loads(row["pictures"])
        with self._turns:
            made, self._batch_size = embed_all(self._encoder, row["pixels"], self._batch_size)
        earlier = row["vectors"]
        vectors = np.empty((len(made) + len(earlier), self._info.dim), np.float16)
        is_earlier = np.zeros(len(vectors), np.bool_)
        is_earlier[told["earlier"]] = True
        vectors[is_earlier], vectors[~is_earlier] = earlier.reshape(-1, self._info.dim), made
        whole = np.logical_and.reduce(np.isfinite(vectors), axis=1)
        pictures = [Picture(*each) for each in told["pictures"]]
        errors = told["errors"] + [
            pictures[n].error("bad-embedding", "the model gave numbers that are not finite")
            for n in np.flatnonzero(~whole)
        ]
        name, slug = TABLES[self._kind], model_slug(self._info.model)
        with self._of.store.write_unit(self._stage, row["unit"], row["fingerprint"], self._of.run_id) as writer:
            embedded = [pictures[n] for n in np.flatnonzero(whole)]
            table = embeddings_table(embedded, vectors[whole], self._info, self._config.weights, self._kind)
            embeddings = writer.table(name, table.schema, directory=f"{name}/{slug}")
            embeddings.write(table)
            failed = writer.table("errors", schema.ERRORS, directory=f"errors/{self._stage}")
            failed.write(errors)
            counts: Counts = {self._kind: Flow(told["rows_in"], embeddings.rows, failed.rows, told["skipped"])}
            reasons = {EMBEDDED_BEFORE: {"same image": len(earlier)}} if len(earlier) else {}
            return writer.commit(counts, reasons=reasons).counts


def embeddings_table(
    pictures: Sequence[Picture],
    vectors: npt.NDArray[np.float16],
    info: EncoderInfo,
    weights: str | None,
    kind: Kind,
) -> pa.Table:
    """Rows of the table of embeddings; model, weights and preprocessing are in the schema's metadata.

    Args:
        pictures: n of them.
        vectors: (n, dim).
        info: The encoder.
        weights: Where its weights came from, as in the config.
        kind: Which table.
    """
    metadata = {
        "model": info.model,
        "weights": weights or "",
        "weights_sha256": info.weights_sha256,
        "preprocessing": json.dumps(info.preprocessing.to_json()),
        ENCODER.decode(): encoder_mark(info),
    }
    columns = {
        "figure_id": [each.figure_id for each in pictures],
        "model": [info.model] * len(pictures),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), info.dim),
        "sha256": [each.sha256 for each in pictures],
    }
    if kind == "panels":
        columns |= {"panel": [each.panel for each in pictures], "panel_box": [each.box for each in pictures]}
    of_kind = schema.embeddings if kind == "figures" else schema.panel_embeddings
    return pa.Table.from_pydict(columns, schema=of_kind(info.dim).with_metadata(metadata))
