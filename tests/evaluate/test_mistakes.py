from __future__ import annotations

import shutil
from pathlib import Path

from biomedica_ray.evaluate.mistakes import show
from biomedica_ray.evaluate.preparing import prepare
from biomedica_ray.evaluate.questions import PAPER
from biomedica_ray.evaluate.task_files import packaged
from biomedica_ray.evaluate.task_scores import Mistake
from biomedica_ray.store.root import Root
from tests.evaluate.written import write_set


def test_the_worst_mistakes_have_pictures_or_say_why_not(tmp_path: Path) -> None:
    folder = write_set(tmp_path, "lc25000_lung")
    tasks = packaged()
    ready = prepare(Root(str(tmp_path)), tasks, tasks.chosen(None, ["lc25000_lung"]), PAPER).ready["lc25000_lung"]
    names = ready.listing.table["id"].to_pylist()
    rows = ready.questions.rows[1:]  # the first image could not be read by the model
    mistakes = [Mistake(position, "lung_n", "lung_scc", 0.5) for position in (4, 0, 2)]

    found = show(ready, rows, mistakes, 2)
    assert [each.image for each in found] == [names[5], names[1], names[3]]
    assert [each.picture and each.picture.width for each in found] == [8, 8, None]
    (folder / names[5]).write_bytes(b"no image")
    found = show(ready, rows, mistakes, 2)
    assert [each.picture and each.picture.problem for each in found] == ["not-an-image", "", None]
    assert [each.picture for each in show(ready, rows, mistakes, 0)] == [None] * 3

    shutil.rmtree(folder)
    ready.images.__dict__.pop("opened")  # as on the worker that scores
    found = show(ready, rows, mistakes, 2)
    assert [each.picture and each.picture.problem for each in found] == ["unreadable-image", "unreadable-image", None]
