"""The head node: what runs on it, and whether one is at an address.

That is found out in seconds, for which Ray itself keeps asking for a quarter of an hour.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Any

import grpc

from biomedica_ray.config import ConfigError

ON_HEAD: dict[str, Any] = {
    "num_cpus": 0,
    "resources": {"node:__internal_head__": 0.001},
    "max_restarts": -1,
    "max_task_retries": -1,
}
"""Options of a small actor that workers talk to: on the head node, the one that no job can do without and that alone
has this resource of Ray's, and started again if it dies."""

_ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"
"""A method of the server on the head node that needs no arguments
(https://github.com/ray-project/ray/blob/ray-2.55.0/src/ray/protobuf/gcs_service.proto)."""

_THERE = {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT}
"""Answers of a head node that may be joined."""


class ClusterError(Exception):
    """A Ray cluster that cannot be joined or started; the message says why in one line."""


def is_local(address: str) -> bool:
    """Whether Ray is started on this machine alone; ``RAY_ADDRESS`` takes precedence over the config's address."""
    return (os.environ.get("RAY_ADDRESS") or address) == "local"


def find(address: str, key: str, wait_s: float = 15) -> None:
    """Ask the head node at an address whether it is there.

    Args:
        address: ``host:port``.
        key: Where the address comes from, to name it: ``ray_address`` or ``RAY_ADDRESS``.
        wait_s: How long to go on asking where nobody answers.

    Raises:
        ConfigError: The address is not one of a head node, or the head node wants another token.
        ClusterError: Nobody answers there.
    """
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isdigit():
        raise ConfigError(f"{key}: expected local, auto, or host:port of a head node (its port is 6379), got {address}")
    try:
        socket.getaddrinfo(host.strip("[]"), int(port))
    except OSError as error:
        raise ClusterError(f"{key}: {address}: {error.strerror}") from error
    deadline = time.monotonic() + wait_s
    while (answer := _ask(address, deadline - time.monotonic())) not in _THERE:
        if answer is grpc.StatusCode.UNIMPLEMENTED:
            raise ConfigError(f"{key}: what answers at {address} is not Ray's head node; expected its port 6379")
        if answer is grpc.StatusCode.UNAUTHENTICATED:
            raise ConfigError(
                f"{key}: the Ray cluster at {address} does not accept this machine's token; set RAY_AUTH_MODE=token "
                "and RAY_AUTH_TOKEN to the cluster's, or have it in ~/.ray/auth_token"
            )
        if time.monotonic() > deadline - 1:
            raise ClusterError(f"{key}: no Ray cluster answers at {address} within {wait_s:.0f} s; is it up?")
        time.sleep(0.5)


def _token() -> tuple[tuple[str, str], ...]:
    """The header that shows this machine's token, where it has one."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "disabled":
        return ()
    from ray import _raylet  # noqa: PLC0415 - ray takes seconds to import

    tokens: Any = _raylet.AuthenticationTokenLoader  # type: ignore[attr-defined]
    return tuple(tokens.instance().get_token_for_http_header(ignore_auth_mode=True).items())


def _ask(address: str, seconds: float) -> grpc.StatusCode:
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary(_ALIVE, request_serializer=None, response_deserializer=None)
        try:
            call(b"", timeout=max(1.0, seconds), metadata=_token())
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK
