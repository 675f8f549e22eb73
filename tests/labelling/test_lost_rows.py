"""Sheets and votes in which something gets lost on the way: the run fails."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from biomedica_ray import schema
from biomedica_ray.annotate.members import Wanted, choose_members
from biomedica_ray.labelling import votes
from biomedica_ray.labelling.answers import Answer, one_each
from biomedica_ray.labelling.config import SheetsConfig, VotesConfig
from biomedica_ray.labelling.proposals_file import Proposals
from biomedica_ray.labelling.sheets import Plan, SheetWorker
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
    plan = Plan(config, papers_taxonomy(), "f", "sheets/members.parquet", [[0]], {0: 4}, {}, Proposals(), False)
    if lost:
        with pytest.raises(LostRowsError, match=r"rows lost: pictures: 4 in .* 3 out"), Run("sheets", config) as record:
            record.add(SheetWorker(store, record.run_id, plan)(0, "m"))
    else:
        assert SheetWorker(store, "run", plan)(0, "m")["pictures"] == Flow(4, 4)
    assert any(commit.complete for commit in store.commits(plan.stage).values()) == (not lost)


def test_an_answer_that_gets_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    store.open_or_create(1)
    said = [
        {"cluster": n, "exemplars": ["PMC1.1_001"], "primary": ["Maps"], "answered": "2026-01-02T03:04:05Z"}
        for n in range(3)
    ]
    head = {"format": "biomedica answers 1", "annotator": "A", "taxonomy": "biomedica-1", "clustering": "f"}
    document = {**head, "round": 1, "sheet": "sheet-001", "answers": said}
    store.write_bytes("answers/a.json", json.dumps(document).encode())
    config = VotesConfig(store=store.root, min_votes=1)
    with Run("votes", config) as record:
        votes.run(config, record)
    assert record.counts["answers"].rows_out == 3
    assert (tmp_path / "labels.yaml").exists()  # where label finds it

    def forgetful(answers: Iterable[Answer], *, last: bool) -> Iterator[Answer]:
        yield from list(one_each(answers, last=last))[1:]

    monkeypatch.setattr(votes, "one_each", forgetful)
    with pytest.raises(LostRowsError, match=r"rows lost: answers: 3 in .* 2 out"), Run("votes", config) as record:
        votes.run(config, record)
