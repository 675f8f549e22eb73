"""Lessons of the detector and the reader."""

from __future__ import annotations

from itertools import islice

import numpy as np
import torch

from biomedica_ray.panels.letters import CROP, LETTERS
from biomedica_ray.panels.model import SIDE
from biomedica_ray.panels.network import Detector
from biomedica_ray.panels.reader import Reader
from biomedica_ray.train_panels.checkpoint import about_checkpoint, dump_checkpoint, load_checkpoint
from biomedica_ray.train_panels.learning import Both, Learner
from biomedica_ray.train_panels.lessons import lessons


def test_lessons_are_the_same_for_the_same_seed_and_hold_figures_boxes_and_letters() -> None:
    one, again = (list(islice(lessons(3, [], figures=6, patches=40), 2)) for _ in range(2))
    for lesson, same in zip(one, again, strict=True):
        assert (lesson.images == same.images).all()
        assert (lesson.letters == same.letters).all()
    first = one[0]
    assert (first.images.shape, first.images.dtype) == ((6, 3, SIDE, SIDE), np.uint8)
    assert first.crops.shape == (40, 2, CROP, CROP)
    assert set(first.letters.tolist()) <= set(range(len(LETTERS) + 1))
    for boxes in first.panels:
        assert (boxes[:, 0] < boxes[:, 2]).all() and (boxes[:, 1] < boxes[:, 3]).all()
        assert boxes.min() >= -1 and boxes.max() <= SIDE + 1
    # The second is the first one mirrored, and the third the first one turned.
    assert (first.images[1] == first.images[0][:, :, ::-1]).all()
    assert (first.images[2] == first.images[0].transpose(0, 2, 1)[:, ::-1]).all()
    left, top, right, bottom = first.panels[0].T
    assert np.allclose(first.panels[1], np.stack([SIDE - right, top, SIDE - left, bottom], axis=1))
    assert np.allclose(first.panels[2], np.stack([top, SIDE - right, bottom, SIDE - left], axis=1))


def test_both_networks_learn_from_a_lesson() -> None:
    torch.manual_seed(0)
    lesson = next(lessons(1, [], figures=3, patches=32))
    learner = Learner(Both(Detector(), Reader()).train(), lr=2e-3, steps=1000, device=torch.device("cpu"))
    losses = [learner.step(number, lesson) for number in range(12)]
    assert losses[-1][0] < 0.95 * losses[0][0]
    assert losses[-1][1] < 0.95 * losses[0][1]


def learner(seed: int) -> Learner:
    torch.manual_seed(seed)
    return Learner(Both(Detector(), Reader()).train(), lr=2e-3, steps=100, device=torch.device("cpu"))


def test_a_training_that_was_stopped_goes_on_as_if_it_had_not_been() -> None:
    given = list(islice(lessons(2, [], figures=3, patches=16), 4))
    through, before, after = learner(0), learner(0), learner(1)
    for number, lesson in enumerate(given):
        through.step(number, lesson)
    for number, lesson in enumerate(given[:2]):
        before.step(number, lesson)
    stored = dump_checkpoint(before.state(), {"step": 2})
    assert about_checkpoint(stored) == {"step": 2}
    after.resume(load_checkpoint(stored))
    for number, lesson in enumerate(given[2:], 2):
        after.step(number, lesson)
    wanted, found = through.state(), after.state()
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    assert any(name.endswith(".exp_avg") for name in wanted)
    assert not all(torch.equal(before.state()[name], tensor) for name, tensor in wanted.items())
