"""The worker of the stage sheets, without a cluster."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biomedica_ray import schema
from biomedica_ray.annotate.members import Wanted, choose_members
from biomedica_ray.labelling.config import SheetsConfig
from biomedica_ray.labelling.proposals_file import Proposals
from biomedica_ray.labelling.sheets import Asked, Plan, SheetWorker
from biomedica_ray.labelling.taxonomy import papers_taxonomy
from biomedica_ray.runs import LostRowsError, Run
from biomedica_ray.store import Store
from biomedica_ray.units import Flow
from tests.synthetic import article, encoded, figure, picture, write_extracted


@pytest.mark.parametrize("lost", [0, 1])
def test_a_picture_that_gets_lost(tmp_path: Path, lost: int) -> None:
    """The members table has a figure less than were chosen for the sheet."""
    store = Store(str(tmp_path))
    figures = [figure(f"PMC{n}.1", 1, encoded(picture(n))) for n in range(4)]
    write_extracted(store, [article(f"PMC{n}") for n in range(4)], figures)
    columns = [[row["figure_id"] for row in figures], [0] * 4, [1.0, 2.0, 3.0, 4.0]]
    labels = pa.table(
        [pa.array(columns[0]), pa.array(columns[1], pa.int32()), pa.array(columns[2], pa.float32())],
        names=["figure_id", "cluster_id", "distance"],
    )
    members = choose_members([labels], Wanted(2, 1, 1)).select(schema.MEMBERS.names)
    store.write_bytes("sheets/members.parquet", b"")
    pq.write_table(members[lost:], store.path("sheets/members.parquet"))
    config = SheetsConfig(store=store.root)
    plan = Plan(config, papers_taxonomy(), Asked("f", "sheets/members.parquet", {0: 4}, {}, Proposals()), [[0]], False)
    if lost:
        with pytest.raises(LostRowsError, match=r"rows lost: pictures: 4 in .* 3 out"), Run("sheets", config) as record:
            record.add(SheetWorker(store, record.run_id, plan)(0, "m"))
    else:
        assert SheetWorker(store, "run", plan)(0, "m")["pictures"] == Flow(4, 4)
    assert any(commit.complete for commit in store.commits(plan.stage).values()) == (not lost)
