"""How a run may end, other than well: an exit code and one line for each kind of error."""

from __future__ import annotations

import logging

import ray
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from biomedica_ray.cluster import StageFailedError
from biomedica_ray.config import ConfigError
from biomedica_ray.exit_codes import FAILED, INTERRUPTED, MISUSED, TERMINATED
from biomedica_ray.head_node import ClusterError
from biomedica_ray.runs import cause
from biomedica_ray.stopping import Terminated
from biomedica_ray.store import StoreError
from biomedica_ray.units import LostRowsError

log = logging.getLogger(__name__)

_OUTSIDE = (OSError, BotoCoreError, ClientError, HTTPError)
"""What disks, networks and servers do to us: it may be otherwise the next time."""

_GO_ON = "what is done stays done, and the same command continues from there"


def ending(error: BaseException) -> tuple[int, str]:
    """The exit code and the line for what ended a run; logs the traceback of what nobody foresaw."""
    if isinstance(error, KeyboardInterrupt):
        return (TERMINATED if isinstance(error, Terminated) else INTERRUPTED), f"stopped; {_GO_ON}"
    found = cause(error)
    text = " ".join(str(found).split()) or type(found).__name__
    if isinstance(found, ConfigError):
        return MISUSED, text
    if isinstance(found, (StoreError, StageFailedError, LostRowsError, ClusterError)):
        return FAILED, text
    if isinstance(found, _OUTSIDE):
        return FAILED, f"{type(found).__name__}: {text}; {_GO_ON}"
    if isinstance(found, ray.exceptions.RayError):
        return FAILED, f"lost a part of the cluster ({type(found).__name__}: {_first(text)}); {_GO_ON}"
    log.error("unexpected error", exc_info=error)
    return FAILED, f"unexpected {type(found).__name__}: {text}; the lines above say where: please report them"


def _first(text: str) -> str:
    """The first sentence; Ray's errors go on with advice, logs and tables."""
    return text.partition(". ")[0].removesuffix(".")
