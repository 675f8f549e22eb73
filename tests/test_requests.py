"""What the stages ask of S3 for each unit of a store, beside the bytes of images: counted by the server."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from biomedica_ray.cli import main
from biomedica_ray.units import unit_of
from tests.extract.extracting import write_folder
from tests.fakes.flaky_proxy import Seen, flaky_proxy
from tests.fakes.s3 import client, s3_server

N_UNITS = 16
_OF_A_UNIT = re.compile(r"^(\w+) /stores/(?!.*/images/).*/(?:commits/)?(.*)/\d{6}[-.]")
"""Method and folder of a request for a file or a record of a unit; requests for images are none of them."""

STAGES = {
    "extract": ["--source", "packages", "--units", str(N_UNITS), "--memory_gb", "1"],
    "panels": [],
    "dedupe": ["--memory_gb", "1"],
    "select": ["--name", "wide", "--where", "width > 10"],
    "serialize": [],
}


def one_article_a_unit(folder: Path) -> None:
    units: set[int] = set()
    for number in range(10_000):
        if (unit := unit_of(f"PMC{number}", N_UNITS)) not in units:
            units.add(unit)
            write_folder(folder, f"PMC{number}")
    assert len(units) == N_UNITS


def asked(seen: Seen) -> dict[str, float]:
    """Method and folder -> requests a unit."""
    found = Counter(" ".join(match.groups()) for request in seen.requests if (match := _OF_A_UNIT.match(request)))
    return {what: n / N_UNITS for what, n in sorted(found.items())}


@pytest.mark.cluster
@pytest.mark.timeout(600)
def test_no_stage_asks_more_than_it_needs_for_a_unit(
    ray_cluster: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a store of many units, where a stage takes its time: the records of the one before are in its snapshot.
    monkeypatch.setattr("biomedica_ray.store.records.WORTH_A_SNAPSHOT", 1)
    monkeypatch.setattr("biomedica_ray.store.records.SETTLED_S", -60.0)
    one_article_a_unit(tmp_path / "packages")
    with s3_server() as server, flaky_proxy(server) as (url, seen):
        client(server).create_bucket(Bucket="stores")
        found = {}
        for stage, keys in STAGES.items():
            seen.requests.clear()
            more = ["--packages", str(tmp_path / "packages")] if stage == "extract" else []
            assert main([stage, "--store", "s3://stores/all", "--endpoint_url", url, *keys, *more]) == 0
            found[stage] = asked(seen)
        left = [each["Key"] for each in client(server).list_objects_v2(Bucket="stores")["Contents"]]
    # Of two stages: the listing is written and committed (2), and then read (5).
    written = {f"PUT {folder}": 1 for folder in ("articles", "catalog", "extract", "figures")}
    assert found["extract"] == {"GET extract": 1, "GET listing": 1, "PUT listing": 2, **written}
    assert found["panels"] == {"GET figures": 1, "PUT panels": 2}
    written = {f"PUT {folder}": 1 for folder in ("captions", "dedupe", "duplicates")}
    assert found["dedupe"] == {"GET articles": 1, "GET figures": 1, "GET panels": 1, **written}
    # Of two stages as well: what matches is written, counted (4), and read again to take a part of it (4).
    written = {"PUT matching": 2, "PUT wide": 2}
    assert found["select"] == {"GET figures": 1, "GET matching": 2, "GET wide": 1, **written}
    # Of three: samples are chosen, what they are made of is gathered, and shards are written, which is a GET for each
    # that has samples of the unit; here only one has.
    chosen = {f"GET {folder}": 1 for folder in ("articles", "captions", "duplicates", "figures")}
    gathered = {f"GET {folder}": 1 for folder in ("articles", "figures", "panels", "samples")}
    shards = {"GET material": 1, "GET samples": 1}
    written = {"PUT material": 2, "PUT samples": 1, "PUT serialize": 1}
    of_units = {what: n for what, n in found["serialize"].items() if not what.endswith(("shards", "attribution"))}
    assert of_units == sum(map(Counter, (chosen, gathered, shards, written)), Counter())
    assert [key for key in left if "/material/" in key] == []
