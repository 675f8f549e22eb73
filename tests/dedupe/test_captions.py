from __future__ import annotations

from biomedica_ray.dedupe.captions import other_captions


def test_each_other_caption_once_and_in_order() -> None:
    captions = {
        "a": "A kidney.",
        "b": "A  Kidney.\n",
        "c": "A kidney of a mouse.",
        "d": "Mouse kidney.",
        "e": "a kidney of a mouse.",
        "f": None,
        "x": None,
        "y": "A liver.",
    }
    groups = [("a", "b"), ("a", "d"), ("a", "c"), ("a", "e"), ("a", "f"), ("x", "y")]
    assert [tuple(row.values()) for row in other_captions(groups, captions)] == [
        ("a", "Mouse kidney.", "d"),
        ("a", "A kidney of a mouse.", "c"),
        ("x", "A liver.", "y"),
    ]


def test_the_same_caption_of_other_figures_is_not_lost() -> None:
    captions = {"a": "One.", "b": "Two.", "x": "Three.", "y": "Two."}
    rows = other_captions([("a", "b"), ("x", "y")], captions)
    assert [(row["figure_id"], row["caption"]) for row in rows] == [("a", "Two."), ("x", "Two.")]
