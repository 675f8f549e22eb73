from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA

from biomedica_ray.annotate.kmeans import ClusterModel, Floats, fit


def blobs(sizes: tuple[int, ...], dim: int = 8, seed: int = 0) -> tuple[Floats, list[int]]:
    """Vectors around well separated points, and which point each lies around."""
    generator = np.random.default_rng(seed)
    truth = np.repeat(np.arange(len(sizes)), sizes)
    points = 10 * np.eye(dim)[: len(sizes)]
    vectors = (points[truth] + generator.normal(0, 0.3, (len(truth), dim))).astype(np.float32)
    return vectors, truth.tolist()


def test_clusters_are_the_blobs_numbered_by_size() -> None:
    vectors, truth = blobs((5, 30, 12))
    model = fit(vectors, 3, 3, seed=0)
    ids, _ = model.assign(vectors)
    assert model.sizes.tolist() == [30, 12, 5]
    assert ids.tolist() == [{1: 0, 2: 1, 0: 2}[blob] for blob in truth]


def test_assignment_equals_that_of_scikit_learn() -> None:
    vectors = np.random.default_rng(1).normal(size=(3000, 32)).astype(np.float32)  # more than a chunk
    model = fit(vectors, 5, 20, seed=3)
    projected = PCA(5, svd_solver="covariance_eigh").fit(vectors).transform(vectors)
    peer = KMeans(20, init=model.centres, n_init=1, max_iter=1)
    peer.fit(projected)
    peer.cluster_centers_ = model.centres.astype(projected.dtype)
    ids, distances = model.assign(vectors)
    # The sign of a principal axis is a matter of taste, so the peer works in our space.
    ours = (vectors - model.mean) @ model.components.T
    assert ids.tolist() == peer.predict(ours.astype(projected.dtype)).tolist()
    assert distances == pytest.approx(np.linalg.norm(ours - model.centres[ids], axis=1), rel=1e-3)
    assert np.abs(ours) == pytest.approx(np.abs(projected), abs=1e-2)


def test_the_same_fit_gives_the_same_numbers() -> None:
    vectors, _ = blobs((10, 10, 10))
    first, second = fit(vectors, 3, 3, seed=7), fit(vectors, 3, 3, seed=7)
    assert first.assign(vectors)[0].tolist() == second.assign(vectors)[0].tolist()


def test_whitened_axes_weigh_the_same() -> None:
    vectors = np.random.default_rng(2).normal(size=(500, 3)).astype(np.float32) * np.array([100, 1, 0], np.float32)
    model = fit(vectors, 3, 2, seed=0, whiten=True)
    spread = model.project(vectors).std(axis=0)
    assert spread == pytest.approx([1, 1, 0], abs=0.01)
    expected = np.abs(PCA(2, whiten=True).fit_transform(vectors))
    assert np.abs(model.project(vectors)[:, :2]) == pytest.approx(expected, abs=1e-3)


def test_confidence_is_the_share_that_lies_at_least_as_far() -> None:
    model = ClusterModel(
        mean=np.zeros(2, np.float32),
        components=np.eye(2, dtype=np.float32),
        centres=np.array([[0, 0], [10, 0]], np.float32),
        explained_variance_ratio=np.array([0.5, 0.5], np.float32),
        offsets=np.array([0, 4, 4]),
        radii=np.array([1, 2, 3, 4], np.float32),
    )
    vectors = np.array([[0, 0], [0, 2], [0, 4], [0, 4.5], [10, 0]], np.float32)
    ids, distances = model.assign(vectors)
    assert ids.tolist() == [0, 0, 0, 0, 1]
    assert distances.tolist() == [0, 2, 4, 4.5, 0]
    assert model.confidence(ids, distances).tolist() == [1, 0.75, 0.25, 0, 0]  # the last cluster has no members


def test_a_saved_model_is_the_same_when_loaded(tmp_path: Path) -> None:
    vectors, _ = blobs((20, 10))
    model = fit(vectors, 2, 2, seed=0)
    model.save(tmp_path / "model.npz")
    loaded = ClusterModel.load(tmp_path / "model.npz")
    for name in ("mean", "components", "centres", "explained_variance_ratio", "offsets", "radii"):
        assert np.array_equal(getattr(loaded, name), getattr(model, name)), name


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", mean=np.array([object()], dtype=object))
    with pytest.raises(ValueError, match="pickle"):
        ClusterModel.load(tmp_path / "evil.npz")
