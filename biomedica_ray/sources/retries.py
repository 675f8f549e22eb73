"""Trying again what may succeed later."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from biomedica_ray.sources.base import SourceError

ATTEMPTS = 8
"""How often a file is asked for: over about 35 s on average, so that a server has time to recover."""
_FIRST_WAIT_S = 0.5
_LONGEST_WAIT_S = 20.0

T = TypeVar("T")


def retried(fetch: Callable[[], T]) -> T:
    """``fetch()``, called again while it raises a retryable error, :data:`ATTEMPTS` times in all.

    Waits grow exponentially, with full jitter, so that workers which failed together do not come back together
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

    Raises:
        SourceError: The last error; it says how often was tried.
    """
    attempt = 1
    while True:
        try:
            return fetch()
        except SourceError as error:
            error.attempts = attempt
            if not error.retryable or attempt == ATTEMPTS:
                raise
        time.sleep(random.uniform(0, min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt)))
        attempt += 1
