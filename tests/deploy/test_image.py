from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_what_is_copied_exists_and_is_all_that_is_sent() -> None:
    copied = {name for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.M) for name in line.split()[:-1]}
    assert {name for name in copied if not (ROOT / name).exists()} == set()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == copied


def test_the_extras_are_those_that_a_node_needs() -> None:
    extras = set(re.findall(r"--extra (\w+)", DOCKERFILE))
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    of_people = {"notebooks", "bench", "all", "dev"}
    assert extras == declared.keys() - of_people


def test_uv_is_the_one_of_the_aws_nodes() -> None:
    (version,) = re.findall(r"^ARG UV_VERSION=(\S+)", DOCKERFILE, re.M)
    assert f"astral.sh/uv/{version}/" in (ROOT / "cluster.yaml").read_text()
