"""Extraction of what lies on many disks: PMC's legacy archives with their list, and folders of nothing but XML."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from biomedica_ray import cli
from biomedica_ray.runs import read_runs
from biomedica_ray.store import Store
from tests.extract.extracting import ids, jats, table, write_archive

LIST = """\
File,Article Citation,Accession ID,Last Updated (YYYY-MM-DD HH:MM:SS),PMID,License,Retracted
oa_package/00/01/PMC1.tar.gz,"Breast Cancer Res. 2001; 3(1):55",PMC1,2024-03-05 10:11:12,11250746,CC BY,no
oa_package/00/02/PMC2.tar.gz,J Tests. 2002,PMC2,2024-03-06 00:00:00,,CC BY-NC,no
oa_package/00/03/PMC3.tar.gz,J Tests. 2003,PMC3,2024-03-07 00:00:00,,CC BY,yes
oa_package/00/04/PMC4.tar.gz,J Tests. 2004,PMC4,2024-03-08 00:00:00,,CC BY,no
oa_package/00/05/PMC5.tar.gz,J Tests. 2005,PMC5,2024-03-09 00:00:00,,NO-CC CODE,no
oa_package/00/06/PMC6.tar.gz,J Tests. 2006,PMC6,2024-03-10 00:00:00,,CC BY,no
"""


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """PMC1 is whole; PMC2, PMC3 and PMC5 are no archives, which only who opens them can tell; PMC4 is not there.

    PMC6 ends early, and PMC7 is not on the list. Beside them lie two articles of nothing but XML.
    """
    root = tmp_path / "disk"
    for number in (1, 6, 7):
        write_archive(root / f"oa_package/00/0{number}/PMC{number}.tar.gz")
    for number in (2, 3, 5):
        path = root / f"oa_package/00/0{number}/PMC{number}.tar.gz"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"no archive")
    half = root / "oa_package/00/06/PMC6.tar.gz"
    half.write_bytes(half.read_bytes()[: half.stat().st_size // 2])
    (root / "oa_file_list.csv").write_text(LIST)
    (root / "plain").mkdir()
    (root / "plain" / "PMC8.xml").write_bytes(jats(figures=1))
    (root / "plain" / "paper.nxml").write_bytes(jats(figures=0))
    return root


@pytest.mark.cluster
def test_legacy_archives_with_their_list_and_plain_xml(ray_cluster: None, disk: Path, tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    arguments = ["extract", "--store", store.root, "--source", "packages", "--packages", str(disk)]
    assert cli.main([*arguments, "--keep_retracted", "false", "--licenses", "[commercial]"]) == 0
    assert ids(store) == {"PMC1.1", "PMC7.1", "PMC8.1", "paper.1"}
    catalog = {row["article_id"]: row for row in table(store, "catalog")}
    assert {article_id: row["skipped"] for article_id, row in catalog.items() if row["skipped"]} == {
        "PMC2.1": "license",
        "PMC3.1": "retracted",
        "PMC5.1": "license",
    }
    assert catalog["PMC1.1"]["last_modified"] == datetime(2024, 3, 5, 10, 11, 12, tzinfo=UTC)
    facts = {i: tuple(r[c] for c in ("license_code", "is_retracted", "is_open_access")) for i, r in catalog.items()}
    assert facts["PMC3.1"] == ("CC BY", True, True)
    assert facts["PMC5.1"] == ("NO-CC CODE", False, True)
    assert facts["PMC7.1"] == (None, None, None)
    figures = [(row["figure_id"], row["file_name"]) for row in table(store, "figures", without=("image",))]
    assert figures == [(f"PMC{n}.1_00{f}", f"f{f}.jpg") for n in (1, 7) for f in (1, 2)]
    errors = {row["what"]: row for row in table(store, "errors")}
    assert {what: (row["kind"], row["retryable"]) for what, row in errors.items()} == {
        "PMC4.1": ("missing-file", False),
        "PMC6.1": ("bad-archive", False),
        "PMC8.1_001": ("missing-image", False),
    }
    assert errors["PMC4.1"]["where"] == f"{disk}/oa_package/00/04/PMC4.tar.gz"
    assert errors["PMC8.1_001"]["file"] == "f1"
    (run,) = read_runs(store)
    assert run["counts"]["articles"] == {"rows_in": 9, "rows_out": 4, "errors": 2, "skipped": 3}
    assert run["counts"]["figures"] == {"rows_in": 5, "rows_out": 4, "errors": 1, "skipped": 0}

    write_archive(disk / "oa_package/00/04/PMC4.tar.gz")
    commits = store.commits("extract")
    assert cli.main([*arguments, "--keep_retracted", "false", "--licenses", "[commercial]"]) == 0
    assert ids(store) == {"PMC1.1", "PMC4.1", "PMC7.1", "PMC8.1", "paper.1"}
    after = store.commits("extract")
    assert sum(after[unit] != commit for unit, commit in commits.items()) == 1
