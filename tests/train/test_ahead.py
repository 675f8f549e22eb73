from __future__ import annotations

import pytest

from biomedica_ray.train.ahead import prefetch


def test_prefetch_keeps_order_and_raises_what_the_source_raises() -> None:
    def source(n: int) -> object:
        yield from range(n)
        raise ValueError("source broke")

    found = []
    with pytest.raises(ValueError, match="source broke"):
        for item in prefetch(source(5)):
            found.append(item)
    assert found == [0, 1, 2, 3, 4]
