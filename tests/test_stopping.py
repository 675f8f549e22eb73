"""A run that is told to stop, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from biomedica_ray.runs import read_runs
from biomedica_ray.store import Store


@pytest.mark.cluster
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_is_quiet_and_what_was_done_stays(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Ctrl-C reaches all processes of a terminal, ``kill`` and ``ray job stop`` this one."""
    command = [
        sys.executable,
        "-m",
        "biomedica_ray.cli",
        "extract",
        "--source",
        "sample",
        "--store",
        str(tmp_path / "s"),
    ]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert run.stderr
    seen = []
    for line in run.stderr:
        seen.append(line)
        if "14 units, 0 done before" in line:
            break
    while run.poll() is None and not [*tmp_path.glob("s/commits/extract/*.json")]:
        time.sleep(0.01)
    os.killpg(run.pid, number) if number == signal.SIGINT else run.send_signal(number)
    after = run.stderr.read().splitlines()
    assert run.wait(60) == code, "".join(seen)
    assert after[-1] == (
        "biomedica extract: stopped; what is done stays done, and the same command continues from there"
    )
    assert "extract: stopped after" in after[-2]
    assert len(after) <= 6
    assert [line for line in after if any(word in line for word in ("Traceback", "PC: @", "SystemExit"))] == []
    store = Store(str(tmp_path / "s"))
    (record,) = read_runs(store)
    assert (record["status"], record["failure"]) == ("stopped", None)
    assert store.commits("extract")
