from __future__ import annotations

import base64
import io
import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from PIL import Image

from biomedica_ray.labelling import label_studio
from biomedica_ray.labelling.answers import Fault, parse_answers
from biomedica_ray.labelling.html_sheet import Sheet, ShownCluster, ShownMember
from biomedica_ray.labelling.taxonomy import papers_taxonomy
from tests.synthetic import encoded

TAXONOMY = papers_taxonomy()


def downloaded(**values: Any) -> dict[str, Any]:
    """What the HTML sheet downloads."""
    answer = {
        "cluster": 5,
        "exemplars": ["PMC1.1_001"],
        "panel_type": "single",
        "panel_subtype": "single panel",
        "primary": ["Maps"],
        "secondary": ["map"],
        "note": "",
        "answered": "2026-01-02T03:04:05.678Z",
    }
    head = {"format": "biomedica answers 1", "annotator": "A", "taxonomy": "biomedica-1", "clustering": "f"}
    return {**head, "round": 1, "sheet": "sheet-001", "answers": [answer], **values}


def parse(document: Any) -> Any:
    found = parse_answers(json.dumps(document).encode(), "a.json", TAXONOMY)
    assert found.rows == len(found.answers) + sum(fault.entity == "answer" for fault in found.faults)
    return found.answers, found.faults


def test_a_file_of_the_html_sheet() -> None:
    (answer,), faults = parse(downloaded())
    assert faults == []
    assert (answer.annotator, answer.of, answer.round) == ("A", ("f", 5), 1)
    assert (answer.primary, answer.secondary, answer.panel_subtype) == (["Maps"], ["map"], "single panel")


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b'{"a": "\xff"}', "not-answers", "'utf-8' codec can't decode"),
        (b"{", "not-answers", "Expecting property name"),
        (b"3", "not-answers", "Input should be a valid dictionary"),
        (b'{"format": 1}', "not-answers", "format: Input should be a valid string"),
        (
            json.dumps(downloaded(format="other")).encode(),
            "not-answers",
            "format: expected biomedica answers 1, got other",
        ),
        (
            json.dumps(downloaded(taxonomy="t")).encode(),
            "other-taxonomy",
            "made with taxonomy t, this one is biomedica-1",
        ),
        (b"[]", "not-answers", "expected tasks of one taxonomy, got 0"),
        (b'[{"data": {}}]', "not-answers", "not a JSON export of Label Studio: KeyError('taxonomy')"),
    ],
)
def test_a_file_of_anything_else_is_a_fault(data: bytes, kind: str, message: str) -> None:
    found = parse_answers(data, "a.json", TAXONOMY)
    (fault,) = found.faults
    assert (found.rows, found.answers) == (0, ())
    assert (fault.what, fault.entity, fault.kind) == ("a.json", "file", kind)
    assert fault.message.startswith(message)
    assert "\n" not in fault.message


def test_a_bad_answer_is_a_fault_and_the_others_count() -> None:
    document = downloaded()
    good = document["answers"][0]
    document["answers"] = [
        {**good, "cluster": 1, "primary": ["Cartography"], "secondary": []},
        {**good, "cluster": 2, "answered": "yesterday"},
        {**good, "cluster": 3, "secondary": ["bar plot"]},
        good,
    ]
    answers, faults = parse(document)
    assert [answer.cluster for answer in answers] == [5]
    assert faults[0] == Fault(
        "a.json: cluster 1", "answer", "bad-answer", "primary Cartography: not a global concept of taxonomy biomedica-1"
    )
    assert faults[1].message.startswith("answered: Input should be a valid datetime")
    assert faults[2].message == "secondary bar plot: belongs to Plots and Charts, which is not among primary"


RED = "data:image/jpeg;base64," + base64.b64encode(encoded(Image.new("RGB", (300, 100), "red"), "JPEG")).decode()
HOSTILE = '<img src=x onerror="alert(1)"> & more'


def shown() -> Sheet:
    members = [
        ShownMember("PMC1.1_001", "nearest", HOSTILE, "", RED, 300, 100),
        ShownMember("PMC1.1_002", "random", "Caption", problem="not-an-image"),
    ]
    return Sheet("sheet-001", 1, "f", TAXONOMY, [ShownCluster(5, 2, ["PMC1.1_001"], members, "primary: 1 × Maps")])


def test_tasks_of_label_studio_hold_the_sheet() -> None:
    (task,) = label_studio.tasks(shown())
    data = task["data"]
    captions, image = data.pop("captions"), data.pop("image")
    expected = {"cluster": 5, "exemplars": ["PMC1.1_001"], "clustering": "f", "round": 1, "taxonomy": "biomedica-1"}
    expected["random"] = False
    assert data == expected
    assert "<li>&lt;img src=x" in captions
    assert HOSTILE not in captions
    assert "primary: 1 × Maps" in captions

    picture = Image.open(io.BytesIO(base64.b64decode(image.removeprefix("data:image/jpeg;base64,"))))
    assert picture.size == (220, 408)  # two rows of one picture
    red, green, blue = picture.getpixel((110, 24 + 85))
    assert (red > 200, green < 60, blue < 60) == (True, True, True)  # in the middle of the first row
    assert min(picture.getpixel((110, 24 + 10))) > 200  # and above it, as it is wide, nothing


def test_the_config_of_label_studio_has_the_whole_taxonomy() -> None:
    root = ET.fromstring(label_studio.config(TAXONOMY))
    tree = {choice.get("value"): [each.get("value") for each in choice] for choice in root.findall("Taxonomy/Choice")}
    assert tree == TAXONOMY.concepts
    panels = [choice.get("value") for choice in root.findall("Choices/Choice")]
    assert len(panels) == 5
    assert "multiple / multiple panels: images & plots" in panels


def exported(results: list[dict[str, Any]], **annotation: Any) -> list[dict[str, Any]]:
    """What Label Studio 1.23 exports as JSON, but for the keys that nobody reads."""
    made = {"completed_by": 1, "was_cancelled": False, "created_at": "2026-01-02T03:04:05.678901Z", "result": results}
    return [{"id": 1, "data": label_studio.tasks(shown())[0]["data"], "annotations": [{**made, **annotation}]}]


RESULTS = [
    {"from_name": "panels", "to_name": "sheet", "type": "choices", "value": {"choices": ["single / single panel"]}},
    {
        "from_name": "concepts",
        "to_name": "sheet",
        "type": "taxonomy",
        "value": {"taxonomy": [["Plots and Charts", "bar plot"], ["Plots and Charts", "list"], ["Maps"]]},
    },
    {"from_name": "note", "to_name": "sheet", "type": "textarea", "value": {"text": ["unsure"]}},
]


def test_an_export_of_label_studio() -> None:
    (answer,), faults = parse(exported(RESULTS, updated_at="2026-01-03T00:00:00Z"))
    assert faults == []
    assert (answer.annotator, answer.of, answer.exemplars, answer.round) == ("1", ("f", 5), ["PMC1.1_001"], 1)
    assert (answer.panel_type, answer.panel_subtype) == ("single", "single panel")
    assert (answer.primary, answer.secondary) == (["Plots and Charts", "Maps"], ["bar plot", "list"])
    assert (answer.note, answer.answered.day) == ("unsure", 3)


def test_annotators_and_empty_and_cancelled_annotations_of_label_studio() -> None:
    (answer,), _ = parse(exported([], completed_by={"id": 7, "email": "a@example.org"}))
    assert (answer.annotator, answer.primary, answer.panel_type) == ("a@example.org", [], None)
    assert parse(exported(RESULTS, was_cancelled=True)) == ([], [])
