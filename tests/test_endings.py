"""Each kind of error has its exit code and one line."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
import ray
from botocore.exceptions import EndpointConnectionError
from ray._raylet import AuthenticationTokenLoader
from urllib3 import HTTPConnectionPool
from urllib3.exceptions import MaxRetryError

from biomedica_ray import cli
from biomedica_ray.cluster import StageFailedError
from biomedica_ray.config import ConfigError
from biomedica_ray.endings import ending
from biomedica_ray.head_node import ClusterError, find
from biomedica_ray.runs import LostRowsError
from biomedica_ray.stopping import Terminated
from biomedica_ray.store import StoreError
from tests.fakes.s3 import free_port, s3_server


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("limit: x"), 2, "limit: x"),
        (StoreError("no store"), 1, "no store"),
        (StageFailedError("a\n b"), 1, "a b"),
        (LostRowsError("rows"), 1, "rows"),
        (ClusterError("none"), 1, "none"),
        (ConnectionResetError("by peer"), 1, "ConnectionResetError: by peer; what is done stays done"),
        (EndpointConnectionError(endpoint_url="http://h"), 1, "EndpointConnectionError: Could not connect to the"),
        (MaxRetryError(HTTPConnectionPool("h"), "/x"), 1, "MaxRetryError: HTTPConnectionPool"),
        (ray.exceptions.ActorDiedError(), 1, "lost a part of the cluster (ActorDiedError: The actor died unexpectedly"),
        (KeyboardInterrupt(), 130, "stopped; what is done stays done"),
        (Terminated(), 143, "stopped; what is done stays done"),
        (KeyError("x"), 1, "unexpected KeyError: 'x'; the lines above say where"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_codes_and_lines(error: BaseException, code: int, line: str) -> None:
    found, text = ending(error)
    assert found == code
    assert text.startswith(line)
    assert "\n" not in text


def test_only_what_nobody_foresaw_shows_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("biomedica_ray").propagate = True
    try:
        raise KeyError("x")
    except KeyError as error:
        ending(error)
    assert "test_only_what_nobody_foresaw" in caplog.text
    caplog.clear()
    ending(StoreError("no store"))
    assert caplog.text == ""


def test_a_store_that_cannot_be_written_is_found_before_ray_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert cli.main(["dedupe", "--store", str(tmp_path / "file")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(f"biomedica dedupe: store {tmp_path}/file: ")
    assert (tmp_path / "file").is_file()


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "ray://head:10001", "head", "head:", ":6379"])
def test_what_cannot_be_an_address(address: str) -> None:
    with pytest.raises(ConfigError, match="ray_address: expected local, auto, or host:port of a head node"):
        find(address, "ray_address")


def test_nobody_at_an_address() -> None:
    with pytest.raises(ClusterError, match=r"RAY_ADDRESS: no Ray cluster answers at 127.0.0.1:\d+ within 2 s"):
        find(f"127.0.0.1:{free_port()}", "RAY_ADDRESS", wait_s=2)
    with pytest.raises(ClusterError, match=r"no-such-host\.invalid:6379: "):
        find("no-such-host.invalid:6379", "ray_address", wait_s=2)


def test_a_cluster_with_another_token(monkeypatch: pytest.MonkeyPatch) -> None:
    def check_alive(request: bytes, context: grpc.ServicerContext) -> bytes:
        if ("authorization", "Bearer ours") not in context.invocation_metadata():
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "InvalidAuthToken")
        return b""

    service = {"CheckAlive": grpc.unary_unary_rpc_method_handler(check_alive)}
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("ray.rpc.NodeInfoGcsService", service)])
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    tokens = AuthenticationTokenLoader.instance()
    try:
        monkeypatch.setenv("RAY_AUTH_TOKEN", "ours")
        tokens.reset_cache()
        find(address, "ray_address", wait_s=10)
        for name, value in (("RAY_AUTH_MODE", "disabled"), ("RAY_AUTH_TOKEN", "theirs")):
            with monkeypatch.context() as changed:
                changed.setenv(name, value)
                tokens.reset_cache()
                with pytest.raises(
                    ConfigError, match=f"^ray_address: the Ray cluster at {address} does not accept this"
                ):
                    find(address, "ray_address", wait_s=10)
    finally:
        server.stop(None)
        monkeypatch.undo()
        tokens.reset_cache()


def test_another_server_at_an_address() -> None:
    with s3_server() as url, pytest.raises(ClusterError, match="no Ray cluster answers"):
        find(url.removeprefix("http://"), "ray_address", wait_s=2)
