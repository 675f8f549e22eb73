from __future__ import annotations

import logging

import pytest

from biomedica_ray import progress
from biomedica_ray.progress import Progress, is_progress


class _Clock:
    """Time that passes when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


def test_rate_and_time_left_leave_out_what_came_before_the_first_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock(monkeypatch)
    with Progress("train", "steps", 10) as shown:
        clock.now += 100
        shown.update(rows=5)
        assert shown.line() == "train: 1/10 steps, 5 rows, 0 errors"
        clock.now += 2
        shown.update(rows=5)
        assert shown.line() == "train: 2/10 steps, 10 rows, 2.5/s, 0 errors, 16 s left"


def test_numbers_go_on_after_those_of_an_earlier_run(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock(monkeypatch)
    with Progress("train", "steps", 10, done=6, rows=60) as shown:
        shown.update(rows=8)
        clock.now += 4
        shown.update(rows=8, note="loss 0.5")
        assert shown.line() == "train: 8/10 steps, 76 rows, 2.0/s, 0 errors, loss 0.5, 8 s left"
        shown.update(2, rows=4)
        assert shown.line().startswith("train: 10/10 steps, 80 rows, ")
        assert not shown.line().endswith("left")


def test_the_last_line_comes_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    clock = _Clock(monkeypatch)
    with caplog.at_level(logging.INFO, "biomedica_ray.progress"):
        with Progress("dedupe", "units", 2) as shown:
            shown.update()
            clock.now += progress.LOG_EVERY_S
            shown.update()
        with Progress("dedupe", "units", 1) as shown:
            shown.update()
        with Progress("dedupe", "units", 1):
            pass
    assert [line.split(",")[0] for line in caplog.messages] == ["dedupe: 2/2 units", "dedupe: 1/1 units"]


def test_a_line_of_progress_is_known_in_a_log() -> None:
    shown = Progress("train", "steps", 1_000, done=6, rows=60)
    shown.update(rows=8, note="loss 0.5")
    endless = Progress("extract", "articles", None)
    assert is_progress(f"10:00:00 INFO [train-1] {shown.line()}") and is_progress(endless.line())
    assert not is_progress("extract: waiting for 4 CPUs (annotate.num_cpus), 40 s")
    assert not is_progress("extract: 20 units, 5,000 rows")
