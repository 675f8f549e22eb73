"""The stage votes: where its files are, and an answer that gets lost; it needs no cluster."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from biomedica_ray.config import ConfigError
from biomedica_ray.labelling import votes
from biomedica_ray.labelling.answers import Answer, one_each
from biomedica_ray.labelling.config import VotesConfig
from biomedica_ray.labelling.labels_file import load_labels
from biomedica_ray.labelling.taxonomy import papers_taxonomy
from biomedica_ray.runs import LostRowsError, Run
from biomedica_ray.store import Store
from tests.fakes.s3 import client, s3_server

ANSWERS = {
    "format": "biomedica answers 1",
    "annotator": "A",
    "taxonomy": "biomedica-1",
    "clustering": "f",
    "round": 1,
    "sheet": "sheet-001",
    "answers": [
        {"cluster": n, "exemplars": ["PMC1.1_001"], "primary": ["Maps"], "answered": "2026-01-02T03:04:05Z"}
        for n in range(3)
    ],
}


def count(store: Store, **keys: Any) -> Run:
    config = VotesConfig(store=store.root, endpoint_url=store.endpoint_url, min_votes=1, **keys)
    with Run("votes", config) as record:
        votes.run(config, record)
    return record


def test_answers_and_labels_are_in_the_store_unless_other_places_are_named(tmp_path: Path) -> None:
    with s3_server() as url:
        client(url).create_bucket(Bucket="stores")
        local, remote = Store(str(tmp_path / "store"), url), Store("s3://stores/one", url)
        for store in (local, remote):
            store.open_or_create(1)
            with pytest.raises(ConfigError, match=r"answers: .*/answers: no such file or folder"):
                count(store)
        remote.write_bytes("answers/round-1/a.json", json.dumps(ANSWERS).encode())
        assert count(remote).results["labels"] == "s3://stores/one/labels.yaml"
        said = load_labels(remote, None, papers_taxonomy())
        assert said
        assert len(said.clusters) == 3
        count(local, answers="s3://stores/one/answers", output="s3://stores/one/other.yaml")
        assert load_labels(local, "s3://stores/one/other.yaml", papers_taxonomy()) == said
        assert load_labels(local, None, papers_taxonomy()) is None


def test_an_answer_that_gets_lost_fails_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    store.open_or_create(1)
    store.write_bytes("answers/a.json", json.dumps(ANSWERS).encode())
    assert count(store).counts["answers"].rows_out == 3

    def forgetful(answers: Iterable[Answer], *, last: bool) -> Iterator[Answer]:
        yield from list(one_each(answers, last=last))[1:]

    monkeypatch.setattr(votes, "one_each", forgetful)
    with pytest.raises(LostRowsError, match=r"rows lost: answers: 3 in .* 2 out"):
        count(store)
