"""How long to wait before asking a server again that did not answer as it should."""

from __future__ import annotations

import random
import time

LONGEST_WAIT_S = 20.0


def wait_after(attempt: int) -> None:
    """Sleep after a failed attempt, the first being 1.

    Waits grow exponentially, with full jitter, so that workers which failed together do not come back together
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
    """
    time.sleep(random.uniform(0, min(LONGEST_WAIT_S, 0.5 * 2**attempt)))
