from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from biomedica_ray.ahead import ordered_map, prefetch


@pytest.mark.parametrize("most", [10**9, 25])
def test_what_waits_for_its_turn_is_bounded_in_number_and_in_bytes(most: int) -> None:
    """The first of each ten comes last, so that all the others would pile up behind it."""
    lock, ahead = threading.Lock(), 4
    started, taken, peak = 0, 0, 0

    def work(item: int) -> bytes:
        nonlocal started, peak
        with lock:
            started += 1
            peak = max(peak, started - taken)
        if item % 10 == 0:
            time.sleep(0.05)
        return bytes([item]) * 10

    items = list(range(60))
    with ThreadPoolExecutor(ahead) as pool:
        for expected, found in enumerate(ordered_map(pool, work, items, ahead, size=len, most=most)):
            assert found == bytes([expected]) * 10
            with lock:
                taken += 1
    assert taken == 60
    # One more than are held, as what is yielded is counted when the test has taken it.
    assert 1 < peak <= (2 * ahead + 1 if most > 100 else ahead + 2 + 1)


def test_prefetch_keeps_order_and_raises_what_the_source_raises() -> None:
    def source(n: int) -> object:
        yield from range(n)
        raise ValueError("source broke")

    found = []
    with pytest.raises(ValueError, match="source broke"):
        for item in prefetch(source(5)):
            found.append(item)
    assert found == [0, 1, 2, 3, 4]
