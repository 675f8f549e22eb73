from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from biomedica_ray.jobs.lock import differences, warning


def test_other_versions_are_named_and_what_is_not_installed_is_not(tmp_path: Path) -> None:
    lock = tmp_path / "constraints.txt"
    ray, numpy = importlib.metadata.version("ray"), importlib.metadata.version("numpy")
    lock.write_text(f"# ours\nray==0.0.1\nnumpy=={numpy}\nnever-heard-of==1.0\n")
    assert differences(lock) == [f"ray {ray} (locked: 0.0.1)"]
    assert warning(lock) == (
        f"packages of this node differ from constraints.txt: ray {ray} (locked: 0.0.1); "
        "install the lock on the nodes anew (`ray up`, or another image)"
    )


def test_a_build_for_another_processor_is_the_same_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = tmp_path / "constraints.txt"
    lock.write_text("torch==2.14.1\n")
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "2.14.1+cpu")
    assert differences(lock) == []


def test_nothing_is_said_where_nothing_differs(tmp_path: Path) -> None:
    lock = tmp_path / "constraints.txt"
    assert warning(lock) is None
    lock.write_text(f"ray=={importlib.metadata.version('ray')}\n")
    assert warning(lock) is None
