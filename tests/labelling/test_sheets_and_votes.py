"""The stages sheets and votes, on Ray, from clusters made by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lxml.html
import pytest

from biomedica_ray import cli, schema
from biomedica_ray.labelling.labels_file import LabelsFile, load_labels
from biomedica_ray.labelling.taxonomy import papers_taxonomy
from biomedica_ray.runs import read_runs
from biomedica_ray.store import Store
from biomedica_ray.units import Flow, unit_of
from tests.synthetic import N_UNITS, Row, article, encoded, figure, picture, write_extracted

pytestmark = pytest.mark.cluster

N_ARTICLES = 8
BROKEN = "PMC3.1_002"
ANSWERS = {
    "single": {"panel_type": "single", "panel_subtype": "single panel"},
    "maps": {"primary": ["Maps"], "secondary": ["map"]},
    "tables": {"primary": ["Tables"], "secondary": ["table"]},
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three clusters of two figures an article; one image has been damaged since it was embedded."""
    store = Store(str(tmp_path / "store"))
    rows = [
        figure(f"PMC{number}.1", position, encoded(picture(10 * number + position)))
        for number in range(N_ARTICLES)
        for position in (1, 2)
    ]
    next(row for row in rows if row["figure_id"] == BROKEN)["image"] = b"not an image"
    write_extracted(store, [article(f"PMC{number}") for number in range(N_ARTICLES)], rows)
    write_labels(store, [row["figure_id"] for row in rows])
    for clustering, concepts in (("f", ("Maps", "Tables")), ("of another model", ("Tables", "Tables"))):
        maps, tables = ([{"concept": each, "score": 0.75}, {"concept": "none such", "score": 0.2}] for each in concepts)
        document = {"clustering": clustering, "model": "open_clip/x", "clusters": {"0": maps, "2": tables}}
        store.write_json(f"clusters/{clustering}.proposals.json", document)
    return store


def write_labels(
    store: Store, figure_ids: list[str], clusterings: Mapping[int, str] | None = None, clusters: int = 3
) -> None:
    """Commit labels as label would, with the clustering of each unit."""
    for unit in range(N_UNITS):
        rows: list[Row] = [
            {
                "figure_id": figure_id,
                "cluster_id": index % clusters,
                "distance": float(index),
                "confidence": 0.5,
                "uncertain": False,
                "primary_label": [],
                "secondary_label": [],
                "how": "none",
            }
            for index, figure_id in enumerate(figure_ids)
            if unit_of(figure_id.partition(".")[0], N_UNITS) == unit
        ]
        clustering = (clusterings or {}).get(unit, "f")
        with store.write_unit("label", unit, f"aa{clustering}{clusters}") as writer:
            writer.table("labels", schema.LABELS.with_metadata({"clustering": clustering})).write(rows)
            writer.commit({"labels": Flow(len(rows), len(rows))})


def read_labels(path: Path) -> LabelsFile:
    found = load_labels(Store(str(path.parent)), str(path), papers_taxonomy())
    assert found
    return found


def last_run(store: Store) -> dict[str, Any]:
    return read_runs(store)[-1]


def read_sheet(store: Store, name: str) -> dict[str, Any]:
    page = lxml.html.parse(str(Path(store.root) / "sheets" / name)).getroot()
    data: dict[str, Any] = json.loads(page.xpath("//script[@id='data']/text()")[0])
    return data


def answer(sheet: dict[str, Any], annotator: str, said: Mapping[int, str], folder: Path) -> None:
    """Write the file that an annotator would download."""
    shown = {each["cluster"]: each["exemplars"] for each in sheet["clusters"]}
    answers = [
        {"cluster": cluster, "exemplars": shown[cluster], "answered": "2026-01-02T03:04:05Z"}
        | {key: value for word in words.split() for key, value in ANSWERS[word].items()}
        for cluster, words in said.items()
    ]
    head = {"format": "biomedica answers 1", "annotator": annotator, "taxonomy": sheet["taxonomy"]["version"]}
    document = {**head, "clustering": sheet["clustering"], "round": sheet["round"], "sheet": sheet["sheet"]}
    path = folder / f"{annotator}-{sheet['round']}-{sheet['sheet']}.json"
    path.write_text(json.dumps({**document, "answers": answers}))


def test_from_sheets_to_labels_in_two_rounds(ray_cluster: None, store: Store, tmp_path: Path) -> None:
    command = ["sheets", "--store", store.root, "--clusters_per_sheet", "2", "--members", "2"]
    assert cli.main(command) == 0
    run = last_run(store)
    assert run["counts"]["clusters"] == {"rows_in": 3, "rows_out": 3, "errors": 0, "skipped": 0}
    assert run["counts"]["pictures"] == {"rows_in": 16, "rows_out": 15, "errors": 1, "skipped": 0}
    (error,) = store.dataset("sheets/html/round-1", "errors").to_table().to_pylist()
    assert (error["what"], error["kind"]) == (BROKEN, "not-an-image")
    first, second = (read_sheet(store, f"round-1/sheet-00{number}.html") for number in (1, 2))
    assert [each["cluster"] for each in first["clusters"]] == [0, 1]
    cluster = first["clusters"][0]
    assert (cluster["size"], cluster["exemplars"]) == (6, ["PMC0.1_001", "PMC1.1_002"])
    members = [(each["id"], each["place"]) for each in cluster["members"]]
    assert members[:2] == [("PMC0.1_001", "nearest"), ("PMC1.1_002", "nearest")]
    assert members[4:] == [("PMC7.1_002", "farthest"), ("PMC6.1_001", "farthest")]
    proposals = [each["proposals"] for page in (first, second) for each in page["clusters"]]
    assert proposals == [[{"concept": "Maps", "score": 0.75}], [], [{"concept": "Tables", "score": 0.75}]]
    assert cluster["members"][0]["caption"] == "Figure 1 Caption 1 of PMC0.1."
    assert cluster["members"][0]["src"].startswith("data:image/jpeg;base64,")
    before = store.commits("sheets/html/round-1")
    assert cli.main(command) == 0
    assert store.commits("sheets/html/round-1") == before

    folder, labels = tmp_path / "answers", tmp_path / "labels.yaml"
    folder.mkdir()
    for annotator, said in (("A", "single maps"), ("B", "single tables")):
        answer(first, annotator, {0: "single maps", 1: said}, folder)
        answer(second, annotator, {2: "single tables"}, folder)
    (folder / "broken.json").write_text("{")
    count = ["votes", "--store", store.root, "--answers", str(folder), "--output", str(labels)]
    assert cli.main(count) == 0
    run = last_run(store)
    assert run["counts"]["files"] == {"rows_in": 5, "rows_out": 4, "errors": 1, "skipped": 0}
    assert run["counts"]["answers"] == {"rows_in": 6, "rows_out": 6, "errors": 0, "skipped": 0}
    assert {key: run["results"][key] for key in ("decided", "disputed", "open")} == {
        "decided": 2,
        "disputed": 1,
        "open": 0,
    }
    (error,) = store.dataset("votes", "errors").to_table().to_pylist()
    assert (error["what"], error["kind"]) == ("broken.json", "not-answers")
    said_ = read_labels(labels)
    assert [(each.exemplars, each.primary) for each in said_.clusters] == [
        (["PMC0.1_001", "PMC1.1_002"], ["Maps"]),
        (second["clusters"][0]["exemplars"], ["Tables"]),
    ]

    assert cli.main([*command, "--round", "2"]) == 0
    again = read_sheet(store, "round-2/sheet-001.html")
    assert [each["cluster"] for each in again["clusters"]] == [1]
    assert "primary: 1 × Maps, 1 × Tables" in again["clusters"][0]["earlier"]
    answer(again, "B", {1: "single maps"}, folder)
    assert cli.main(count) == 0
    run = last_run(store)
    assert run["counts"]["answers"] == {"rows_in": 7, "rows_out": 6, "errors": 0, "skipped": 1}
    assert run["results"]["decided"] == 3
    assert len(read_labels(labels).clusters) == 3
    votes = store.read_json("votes.json")
    primary = next(each for each in votes["agreement"] if (each["field"], each["concept"]) == ("primary", None))
    assert (primary["clusters"], primary["votes"]) == (3, 6)
    assert primary["observed"] == pytest.approx(2 / 3)  # of the first round


def test_tasks_for_label_studio_come_back_as_votes(ray_cluster: None, store: Store, tmp_path: Path) -> None:
    assert cli.main(["sheets", "--store", store.root, "--form", "label-studio", "--picture_side", "64"]) == 0
    folder = Path(store.root) / "sheets" / "round-1"
    assert sorted(path.name for path in folder.iterdir()) == ["label_studio.xml", "sheet-001.json"]
    tasks = json.loads((folder / "sheet-001.json").read_text())
    result = [
        {"from_name": "panels", "type": "choices", "value": {"choices": ["single / single panel"]}},
        {"from_name": "concepts", "type": "taxonomy", "value": {"taxonomy": [["Maps", "map"]]}},
    ]
    proposed = [[each["result"][0]["value"] for each in task["predictions"]] for task in tasks]
    assert proposed == [[{"taxonomy": [["Maps"]]}], [], [{"taxonomy": [["Tables"]]}]]
    made = {"result": result, "created_at": "2026-01-02T03:04:05Z"}
    for task in tasks:
        task["annotations"] = [{**made, "completed_by": who} for who in (1, 2)]
    export, labels = tmp_path / "export.json", tmp_path / "labels.yaml"
    export.write_text(json.dumps(tasks))
    assert cli.main(["votes", "--store", store.root, "--answers", str(export), "--output", str(labels)]) == 0
    assert [each.secondary for each in read_labels(labels).clusters] == [["map"]] * 3
    assert last_run(store)["results"]["against_proposal"] == 1
    flags = [(each["proposed"], each["against_proposal"]) for each in store.read_json("votes.json")["clusters"]]
    assert flags == [("Maps", False), (None, False), ("Tables", True)]


def test_a_run_that_was_stopped_half_way_is_resumed(ray_cluster: None, store: Store, tmp_path: Path) -> None:
    """The rerun writes the sheets that are missing, also one whose page is there without its commit, and no others."""
    write_labels(store, [f"PMC{number}.1_00{n}" for number in range(N_ARTICLES) for n in (1, 2)], clusters=16)
    options, stage = ["--clusters_per_sheet", "1"], "sheets/html/round-1"
    assert cli.main(["sheets", "--store", store.root, *options]) == 0
    half = Store(str(shutil.copytree(store.root, tmp_path / "half")))
    for unit, commit in half.commits(stage).items():
        if unit == 0:
            half.delete(f"commits/{stage}/{unit:06d}.json")
        elif unit % 2:
            half.drop(commit)
    done = {unit: commit.run_id for unit, commit in half.commits(stage).items()}
    assert list(done) == [2, 4, 6, 8, 10, 12, 14]
    assert cli.main(["sheets", "--store", half.root, *options]) == 0
    assert last_run(half)["counts"]["clusters"] == {"rows_in": 16, "rows_out": 16, "errors": 0, "skipped": 0}
    assert last_run(half)["before"]["clusters"]["rows_in"] == len(done)
    assert {unit: half.commit(stage, unit).run_id for unit in done} == done
    pages = [{path.name: path.read_bytes() for path in Path(each.root).glob("sheets/*/*")} for each in (store, half)]
    assert len(pages[0]) == 16
    assert pages[0] == pages[1]


def test_what_cannot_be_done_is_one_line(
    ray_cluster: None, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "none").mkdir()
    output = ["--output", str(tmp_path / "labels.yaml")]
    empty = str(tmp_path / "empty")
    Store(empty).open_or_create(N_UNITS)
    for arguments, code, message in (
        (["sheets", "--store", empty], 1, f"{empty}: no labels yet; run `biomedica label` first"),
        (
            ["sheets", "--store", store.root, "--round", "2"],
            2,
            "round: no votes yet; run `biomedica votes` first",
        ),
        (
            ["votes", "--store", store.root, "--answers", "/no/such", *output],
            2,
            "answers: /no/such: no such file or folder",
        ),
        (["votes", "--store", store.root, "--answers", str(tmp_path / "none"), *output], 2, "no answers in 0 files"),
    ):
        assert cli.main(arguments) == code
        assert message in capsys.readouterr().err.splitlines()[-1]
    ids = [row["figure_id"] for row in store.dataset("label", "labels").to_table().to_pylist()]
    write_labels(store, ids, {0: "g"})
    assert cli.main(["sheets", "--store", store.root]) == 1
    assert "some units have the clusters of an earlier clustering" in capsys.readouterr().err.splitlines()[-1]
