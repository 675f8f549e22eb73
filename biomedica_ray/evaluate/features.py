"""Vectors of images and texts: actors make them unit by unit, and the store keeps them by model and content.

A unit is a few hundred images of a set, or texts of a task. Its name in the store comes from what it is cut from, and
its fingerprint from the model and the content, so that tasks share the images of a set, a killed run goes on where it
was, and what has changed is made anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray.data

from biomedica_ray import schema
from biomedica_ray.cluster import Actors, Row, cluster_resource, collect_units, unit_row, unit_rows
from biomedica_ray.config.needs import GIB
from biomedica_ray.evaluate.config import EvaluateConfig
from biomedica_ray.evaluate.preparing import Images, Texts
from biomedica_ray.evaluate.zero_shot import Vectors
from biomedica_ray.models.names import ModelName
from biomedica_ray.reading.shards import Unreadable
from biomedica_ray.runs import Run, UnitsOf
from biomedica_ray.schema import ERRORS
from biomedica_ray.store import Commit, Store
from biomedica_ray.units import Counts, Flow, fingerprint, stable_hash

VERSION = 1
"""Raise it when the same model would give other vectors."""

ROWS = 512
"""Images or texts of a unit."""

_UNITS = 10**12
"""Units are numbered by a hash of their names, as those of one evaluation do not know of those of another."""


@dataclass(frozen=True)
class Piece:
    """A unit: rows from ``start`` up to ``stop`` of what is encoded."""

    source: Images | Texts
    start: int
    stop: int

    @property
    def unit(self) -> int:
        """Its number."""
        kind = "set" if isinstance(self.source, Images) else "texts"
        return stable_hash(f"{kind}/{self.source.name}/{self.start}") % _UNITS


def pieces(sources: list[Images | Texts]) -> list[Piece]:
    """All units of several sources."""
    return [
        Piece(source, start, min(start + ROWS, source.n)) for source in sources for start in range(0, source.n, ROWS)
    ]


def stage_of(model: ModelName) -> str:
    """The stage under which a model's vectors are committed."""
    return f"features/{model.slug}"


def encode(config: EvaluateConfig, record: Run, model: ModelName, mark: str, sources: list[Images | Texts]) -> None:
    """Make the vectors that are missing.

    Args:
        config: Its config.
        record: The run.
        model: The model.
        mark: The model's mark.
        sources: What is to be encoded.

    Raises:
        UnitsFailedError, StageFailedError: As in :func:`~biomedica_ray.cluster.collect_units`.
    """
    by_unit, units, done = _known(record, model, mark, sources)
    stage = stage_of(model)
    for commit in done.values():
        record.add(commit.counts, before=True)
    todo = [unit for unit in units if unit not in done]
    if not todo:
        return
    gpus = float(config.use_gpu)
    most = workers(config, len(todo))
    actors = Actors(
        EncodeActor,
        (config, model, {unit: by_unit[unit] for unit in todo}, record.units_of),
        ray.data.ActorPoolStrategy(min_size=most, max_size=most),
        num_cpus=config.num_cpus,
        num_gpus=gpus,
        memory_gb=config.memory_gb,
    )
    collect_units(
        record, stage, todo, partial(unit_rows, record.store, units), do=actors.map, do_apart=actors.map_apart
    )


def _known(
    record: Run, model: ModelName, mark: str, sources: list[Images | Texts]
) -> tuple[dict[int, Piece], dict[int, str], dict[int, Commit]]:
    """All units, their fingerprints, and the commits of those that are done."""
    by_unit = {piece.unit: piece for piece in pieces(sources)}
    content = {id(source): source.content for source in sources}
    units = {
        unit: fingerprint(VERSION, mark, content[id(piece.source)], piece.start, piece.stop)
        for unit, piece in by_unit.items()
    }
    commits = record.committed(stage_of(model))
    done = {unit: c for unit, c in commits.items() if c.complete and units.get(unit) == c.fingerprint}
    return by_unit, units, done


def missing(record: Run, model: ModelName, mark: str, sources: list[Images | Texts]) -> dict[str, int]:
    """How many ``images`` and ``texts`` :func:`encode` would encode, and how many vectors are there (``reused``)."""
    by_unit, _, done = _known(record, model, mark, sources)
    found = {"images": 0, "texts": 0, "reused": 0}
    for unit, piece in by_unit.items():
        kind = "reused" if unit in done else "images" if isinstance(piece.source, Images) else "texts"
        found[kind] += piece.stop - piece.start
    return found


def workers(config: EvaluateConfig, pieces: int) -> int:
    """Actors for so many pieces on this cluster."""
    room = cluster_resource("GPU") if config.use_gpu else cluster_resource("CPU") // config.num_cpus
    room = min(room, cluster_resource("memory") // (config.memory_gb * GIB))
    return int(max(1, min(room, config.max_actors or room, pieces)))


class EncodeActor:
    """Encodes and commits units."""

    def __init__(self, config: EvaluateConfig, model: ModelName, by_unit: dict[int, Piece], of: UnitsOf) -> None:
        import torch  # noqa: PLC0415 - takes seconds, and the driver needs none

        from biomedica_ray.models.scorable import load  # noqa: PLC0415

        self._threads = max(1, int(config.num_cpus))
        torch.set_num_threads(self._threads)
        self._model = load(model, "cuda" if config.use_gpu else "cpu")
        self._pieces, self._batch_size = by_unit, config.batch_size
        self._of, self._stage = of, stage_of(model)

    def __call__(self, row: Row) -> Row:
        """A row (unit, fingerprint) to one of :func:`~biomedica_ray.cluster.collect_units`."""
        return unit_row(self._of, self._stage, row, lambda: self._commit(row["unit"], row["fingerprint"]))

    def _commit(self, unit: int, mark: str) -> Counts:
        from biomedica_ray.evaluate.set_vectors import encode_images, encode_texts  # noqa: PLC0415

        piece = self._pieces[unit]
        wanted = range(piece.start, piece.stop)
        if isinstance(piece.source, Images):
            kind, found = "images", encode_images(self._model, piece.source, wanted, self._batch_size, self._threads)
            rows, digests, vectors, errors = found.rows, found.sha256, found.vectors, found.errors
        else:
            kind, texts = "texts", piece.source.texts[piece.start : piece.stop]
            vectors = encode_texts(self._model, texts, self._batch_size)
            whole = np.isfinite(vectors).all(axis=1)
            rows, digests, vectors = np.array(wanted)[whole].tolist(), [""] * int(whole.sum()), vectors[whole]
            not_finite = "the model gave numbers that are not finite"
            errors = [Unreadable(texts[n], "bad-embedding", not_finite) for n in np.flatnonzero(~whole)]
        error_rows = [
            schema.error_row("evaluate", f"{piece.source.name}: {e.what}", e.kind, e.message, entity=kind)
            for e in errors
        ]
        table = pa.table(
            {
                "row": pa.array(rows, pa.int64()),
                "sha256": pa.array(digests, pa.string()),
                "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1]),
            }
        )
        with self._of.store.write_unit(self._stage, unit, mark, self._of.run_id) as writer:
            features = writer.table("features", table.schema, directory=self._stage)
            features.write(table)
            writer.table("errors", ERRORS, directory=f"errors/{self._stage}").write(error_rows)
            counts = {kind: Flow(piece.stop - piece.start, features.rows, len(error_rows))}
            return writer.commit(counts).counts


@dataclass(frozen=True)
class Features:
    """Vectors of what could be encoded of a source.

    Attributes:
        rows: Its rows, ascending, shape (n,).
        sha256: Of each image's bytes or pixels.
        vectors: Normalised, shape (n, d).
        errors: Rows of the errors table.
    """

    rows: npt.NDArray[np.int64]
    sha256: list[str]
    vectors: Vectors
    errors: list[str]


def read(store: Store, model: ModelName, source: Images | Texts) -> Features:
    """The vectors that :func:`encode` made."""
    rows, digests, vectors, errors = [], list[str](), [], list[str]()
    for commit in (store.commit(stage_of(model), piece.unit) for piece in pieces([source])):
        table = store.read(commit, "features", ["row", "sha256", "vector"])
        if commit.counts and sum(flow.errors for flow in commit.counts.values()):
            errors += [str(what) for what in store.read(commit, "errors", ["what"])["what"].to_pylist()]
        if table.num_rows:
            column = table["vector"].combine_chunks()
            rows.append(table["row"].to_numpy())
            digests += table["sha256"].to_pylist()
            vectors.append(column.flatten().to_numpy().reshape(table.num_rows, -1))
    if not rows:
        return Features(np.zeros(0, np.int64), [], np.zeros((0, 1), np.float32), errors)
    return Features(np.concatenate(rows), digests, np.concatenate(vectors), errors)
