"""Ray's Jobs API at an address, with its errors in one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

from ray.job_submission import JobDetails, JobSubmissionClient

from biomedica_ray.head_node import ClusterError
from biomedica_ray.messages import last_line

T = TypeVar("T")

DEFAULT = "http://127.0.0.1:8265"
"""Where ``ray dashboard`` and ``kubectl port-forward`` bring a cluster's API."""


def connect(address: str | None) -> JobSubmissionClient:
    """A client of the Jobs API.

    Args:
        address: ``http://host:port`` of the dashboard; None: what ``RAY_API_SERVER_ADDRESS`` says, else
            :data:`DEFAULT`.

    Raises:
        ClusterError: Nobody answers there, the token is refused, or it is not Ray.
    """
    where = address or os.environ.get("RAY_API_SERVER_ADDRESS") or DEFAULT
    if not where.startswith(("http://", "https://")):
        raise ClusterError(f"address: expected http://host:port of the cluster's dashboard (port 8265), got {where}")
    try:
        return JobSubmissionClient(where)
    except Exception as error:  # requests, aiohttp and Ray raise their own kinds for one thing: no use of this API
        raise ClusterError(
            f"address: no Ray Jobs API that we may use answers at {where}: {last_line(error)}"
        ) from error


def answer(client: JobSubmissionClient, ask: Callable[[], T]) -> T:
    """What the API answers.

    Raises:
        ClusterError: It does not answer, or refuses.
    """
    try:
        return ask()
    except Exception as error:  # as in connect
        raise ClusterError(f"{client.get_address()}: {last_line(error)}") from error


def job(client: JobSubmissionClient, name: str) -> JobDetails:
    """A job by its submission id.

    Raises:
        ClusterError: There is none.
    """
    return answer(client, lambda: client.get_job_info(name))
