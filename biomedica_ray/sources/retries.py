"""Trying again what may succeed later."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from biomedica_ray import usage
from biomedica_ray.backoff import wait_after
from biomedica_ray.sources.base import SourceError

ATTEMPTS = 8
"""How often a file is asked for: over about 35 s on average, so that a server has time to recover."""

T = TypeVar("T")


def retried(fetch: Callable[[], T]) -> T:
    """``fetch()``, called again while it raises a retryable error, :data:`ATTEMPTS` times in all.

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
        usage.count("retries", "source")
        wait_after(attempt)
        attempt += 1
