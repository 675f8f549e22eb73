from __future__ import annotations

from biomedica_ray.evaluate.encode import primary_labels
from biomedica_ray.evaluate.held_out_tasks import TASKS
from biomedica_ray.evaluate.prompts import papers_prompts
from biomedica_ray.reading.held_out import article_of


def test_labels_of_a_sample_without_metadata() -> None:
    assert primary_labels(b"") == []
    assert primary_labels(b'{"image_primary_label": null}') == []


def test_article_of_a_sample() -> None:
    assert article_of("PMC123-1_004") == "PMC123-1"
    assert article_of("000017") == "000017"


def test_prompts_of_known_and_other_concepts() -> None:
    assert any("fundus photograph" in prompt for prompt in papers_prompts().sentences("Clinical Imaging"))
    assert any("some new concept" in prompt for prompt in papers_prompts().sentences("Some New Concept"))
    assert len(set(papers_prompts().sentences("Maps"))) == len(papers_prompts().sentences("Maps"))


def test_tasks() -> None:
    assert set(TASKS) == {"zero_shot_primary_label", "retrieval"}
