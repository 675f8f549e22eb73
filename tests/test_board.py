from __future__ import annotations

import threading
from typing import Any

import pytest
import ray

from biomedica_ray.board import Board, Follower

pytestmark = pytest.mark.cluster


class _Deaf(Board):
    """A board whose answers get lost: the first ``losses`` of them."""

    def __init__(self, losses: int) -> None:
        super().__init__()
        self.losses = losses

    def take(self) -> list[dict[str, Any]]:
        if self.losses:
            self.losses -= 1
            ray.get(self._actor.after.remote(self._life, self._seen))
            raise ray.exceptions.ObjectLostError("0" * 56, None, "")
        return super().take()


def test_messages_whose_answer_was_lost_are_read_again_in_order_and_once(ray_cluster: None) -> None:
    board, read, three = _Deaf(1), [], threading.Event()

    def take(item: dict[str, Any]) -> None:
        read.append(item["n"])
        if len(read) == 3:
            three.set()
        if item["n"] == 1:
            raise ValueError("one message that cannot be shown")

    with Follower(board, take):
        for n in range(3):
            board.tell({"n": n})
        assert three.wait(60)
        board.losses = 1
        board.tell({"n": 3})
    assert read == [0, 1, 2, 3]


def test_a_board_that_was_started_again_gives_what_came_since(ray_cluster: None) -> None:
    board = Board()
    for n in range(5):
        board.tell({"n": n})
    assert [item["n"] for item in board.take()] == [0, 1, 2, 3, 4]
    assert board.take() == []
    ray.kill(board._actor, no_restart=False)
    while ray.get(board._actor.after.remote("", 0))[0] == board._life:
        pass  # the old one still answers
    board.tell({"n": 5})
    assert board.take() == [{"n": 5}]
