from __future__ import annotations

import json
import logging
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from biomedica_ray.ahead import ordered_map
from biomedica_ray.logs import message_of, set_up_logging
from biomedica_ray.runs import UnitsOf
from biomedica_ray.store import Store
from biomedica_ray.tracing import span, traced

log = logging.getLogger("biomedica_ray.somewhere")


def test_a_json_line_says_whose_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of = UnitsOf(Store(str(tmp_path)), "run-1", "serialize", "json")

    def complain(article: str) -> None:
        try:
            raise ValueError("no XML")
        except ValueError:
            log.exception("%s: cannot be read", article)

    with of.unit("serialize/shards", 7), ThreadPoolExecutor(2) as pool:
        list(ordered_map(pool, complain, ["PMC1"], 2))
    log.info("of no unit")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert datetime.fromisoformat(first.pop("time")).utcoffset() == timedelta(0)
    assert first.pop("exception").endswith("ValueError: no XML")
    of_all = {"run_id": "run-1", "stage": "serialize", "node": socket.gethostname()}
    assert first == {"level": "ERROR", "message": "PMC1: cannot be read", "unit": 7, **of_all}
    assert second.keys() == {"time", "level", "message", *of_all}
    assert not list(tmp_path.rglob("trace*"))  # unit 7 is not one of those that are traced


def test_both_formats_have_the_same_message(capsys: pytest.CaptureFixture[str]) -> None:
    for log_format in ("text", "json"):
        set_up_logging("run-1", "extract", log_format)  # type: ignore[arg-type]
        log.info("extract: 3/14 units, 9 rows, 0 errors")
        assert message_of(capsys.readouterr().err.strip()) == "extract: 3/14 units, 9 rows, 0 errors"


def test_spans_lie_within_their_trace_and_nowhere_else() -> None:
    with span("fetch"):
        pass
    with traced() as trace:
        with span("unit"), span("fetch", "a.jpg"):
            pass
        inner, outer = trace["traceEvents"]
    assert (inner["name"], inner["args"], inner["ph"]) == ("fetch", {"of": "a.jpg"}, "X")
    assert outer["ts"] <= inner["ts"] and inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"]
