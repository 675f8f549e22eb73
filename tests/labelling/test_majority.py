from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biomedica_ray.labelling.answers import Answer, one_each
from biomedica_ray.labelling.majority import Verdict, verdicts
from biomedica_ray.labelling.taxonomy import papers_taxonomy
from biomedica_ray.labelling.votes import agreement_on, labels_file

TAXONOMY = papers_taxonomy()
BARS = {"primary": ["Plots and Charts"], "secondary": ["bar plot"]}
MAPS = {"primary": ["Maps"], "secondary": ["map"]}
SINGLE = {"panel_type": "single", "panel_subtype": "single panel"}
IMAGES = {"panel_type": "multiple", "panel_subtype": "multiple panels: images"}


def answer(annotator: str, cluster: int = 0, round_: int = 1, minute: int = 0, **said: Any) -> Answer:
    return Answer(
        annotator=annotator,
        clustering="f",
        cluster=cluster,
        exemplars=[f"PMC{cluster}.1_001"],
        round=round_,
        answered=datetime(2026, 1, 1, 12, minute, tzinfo=UTC),
        **said,
    )


def verdict(*said: dict[str, Any], min_votes: int = 1, min_agreement: float = 0.5) -> Verdict:
    (found,) = verdicts([answer(str(n), **each) for n, each in enumerate(said)], min_votes, min_agreement)
    return found


def test_the_majority_decides_each_field() -> None:
    found = verdict({**SINGLE, **BARS}, {**SINGLE, **MAPS}, {**IMAGES, **BARS})
    assert found.state == "decided"
    assert found.said.model_dump() == {**SINGLE, **BARS}
    assert found.tallies["primary"] == {"Plots and Charts": 2, "Maps": 1}
    assert found.votes == 3


def test_several_concepts_may_each_have_a_majority() -> None:
    both = {"primary": ["Maps", "Plots and Charts"], "secondary": ["map", "bar plot"]}
    assert verdict(both, both, MAPS).said.primary == ["Maps", "Plots and Charts"]


def test_ties_and_scattered_votes_are_disputed() -> None:
    tie = verdict({**SINGLE, **BARS}, {**SINGLE, **MAPS})
    assert tie.states == {
        "panel_type": "decided",
        "panel_subtype": "decided",
        "primary": "disputed",
        "secondary": "disputed",
    }
    assert (tie.state, tie.said.primary, tie.said.panel_type) == ("disputed", [], "single")
    scattered = verdict(BARS, MAPS, {"primary": ["Tables"]})
    assert scattered.states["primary"] == "disputed"  # each concept is ruled out, and yet all chose one


def test_low_agreement_is_disputed() -> None:
    said = [BARS, BARS, MAPS]
    assert verdict(*said, min_agreement=0.6).states["primary"] == "decided"
    assert verdict(*said, min_agreement=0.7).states["primary"] == "disputed"


def test_no_local_concept_is_a_vote() -> None:
    found = verdict(BARS, {"primary": ["Plots and Charts"]}, {"primary": ["Plots and Charts"]})
    assert (found.states["secondary"], found.said.secondary) == ("decided", [])
    assert found.tallies["secondary"] == {"": 2, "bar plot": 1}


def test_fields_with_too_few_votes_stay_open() -> None:
    found = verdict({**SINGLE, **BARS}, BARS, min_votes=2)
    assert found.states == {"panel_type": "open", "panel_subtype": "open", "primary": "decided", "secondary": "decided"}
    assert (found.state, found.said.panel_type, found.said.primary) == ("open", None, ["Plots and Charts"])


def test_the_last_answer_of_each_annotator_counts_and_the_first_is_independent() -> None:
    answers = [answer("A", **BARS), answer("A", minute=5, **MAPS), answer("A", round_=2, **SINGLE), answer("B", **MAPS)]
    assert [each.panel_type for each in one_each(answers, last=True)] == ["single", None]
    assert [each.primary for each in one_each(reversed(answers), last=False)] == [["Plots and Charts"], ["Maps"]]
    (primary,) = (each for each in agreement_on(answers, TAXONOMY) if (each.field, each.concept) == ("primary", None))
    assert (primary.clusters, primary.observed) == (1, 0)


LOCALS = [(global_, local) for global_, locals_ in TAXONOMY.concepts.items() for local in locals_][::20]
PANELS = [(type_, subtype) for type_, subtypes in TAXONOMY.panels.items() for subtype in subtypes]


@st.composite
def said(draw: st.DrawFn) -> dict[str, Any]:
    chosen = draw(st.lists(st.sampled_from(LOCALS), unique=True, max_size=3))
    alone = draw(st.lists(st.sampled_from(list(TAXONOMY.concepts)), unique=True, max_size=1))
    panel = draw(st.sampled_from([None, *PANELS]))
    return {
        "primary": list(dict.fromkeys([*alone, *(global_ for global_, _ in chosen)])),
        "secondary": [local for _, local in chosen],
        "panel_type": panel and panel[0],
        "panel_subtype": panel and panel[1],
    }


@given(st.lists(said(), min_size=1, max_size=7), st.sampled_from([0.5, 0.6, 0.8]), st.integers(1, 3))
def test_what_is_decided_is_what_the_taxonomy_allows(
    answers: list[dict[str, Any]], min_agreement: float, min_votes: int
) -> None:
    found = verdict(*answers, min_agreement=min_agreement, min_votes=min_votes)
    assert found.said.fault(TAXONOMY) is None
    assert len(labels_file([found], TAXONOMY).clusters) == bool(found.said.primary)
    assert verdict(*reversed(answers), min_agreement=min_agreement, min_votes=min_votes).said == found.said
    same = verdict(answers[0], answers[0], answers[0], min_agreement=min_agreement)
    assert sorted(same.said.primary) == sorted(answers[0]["primary"])
    assert "disputed" not in same.states.values()


@pytest.mark.parametrize("missing", ["panel_type", "panel_subtype"])
def test_panel_type_and_subtype_go_together(missing: str) -> None:
    with pytest.raises(ValueError, match="expected panel_type and panel_subtype together"):
        answer("A", **{name: value for name, value in SINGLE.items() if name != missing})
