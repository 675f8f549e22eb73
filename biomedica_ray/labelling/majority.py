"""Majority votes: what annotators of a cluster agree on, and what must be asked again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from biomedica_ray.labelling.answers import Answer, one_each
from biomedica_ray.labelling.taxonomy import Said

FIELDS = ("panel_type", "panel_subtype", "primary", "secondary")

State = Literal["decided", "disputed", "open"]
"""Open: too few have voted."""


@dataclass(frozen=True)
class Verdict:
    """What the annotators of a cluster say together.

    Attributes:
        clustering: Fingerprint of the clustering.
        cluster: The cluster.
        exemplars: figure_ids that name it.
        said: What is decided; other fields are empty.
        states: State of each field.
        tallies: Field -> value -> votes, most first; "" counts those who chose no local concept.
        votes: Annotators who said anything.
        random: Of an image by itself: it was drawn at random.
    """

    clustering: str
    cluster: int
    exemplars: Sequence[str]
    said: Said
    states: Mapping[str, State]
    tallies: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    votes: int = 0
    random: bool = False

    @property
    def of(self) -> tuple[str, int]:
        """The cluster, with its clustering."""
        return self.clustering, self.cluster

    def differs_from(self, concept: str) -> bool:
        """Whether global concepts are decided, and this is not one of them."""
        return bool(self.said.primary) and concept not in self.said.primary

    @property
    def state(self) -> State:
        """Disputed if a field is, else open if one is, else decided."""
        states = set(self.states.values())
        return "disputed" if "disputed" in states else "open" if "open" in states else "decided"


def field_votes(answer: Answer) -> dict[str, frozenset[str]]:
    """An answer's votes: the values it gives to each field; fields that it leaves out are no vote.

    Who names a global concept and no local one says that none fits, which is a vote.
    """
    votes = {
        "panel_type": frozenset({answer.panel_type or ""}) - {""},
        "panel_subtype": frozenset({answer.panel_subtype or ""}) - {""},
        "primary": frozenset(answer.primary),
    }
    given = {name: values for name, values in votes.items() if values}
    return {**given, "secondary": frozenset(answer.secondary)} if "primary" in given else given


def verdicts(answers: Iterable[Answer], min_votes: int, min_agreement: float) -> list[Verdict]:
    """The verdict on each cluster, from the last answer of each annotator.

    A value is decided when more than ``min_agreement`` of those who voted on its field chose it, and ruled out when
    more than ``min_agreement`` did not; what lies between is disputed, and so is a field of which no value is decided
    though most chose one. With 0.5 that is the plain majority: every tie is disputed.

    Args:
        answers: Any number of annotators' answers, of any rounds.
        min_votes: Fields with fewer votes stay open.
        min_agreement: From 0.5, below 1.
    """
    by_cluster: dict[tuple[str, int], list[Answer]] = defaultdict(list)
    for answer in one_each(answers, last=True):
        by_cluster[answer.of].append(answer)
    return [_verdict(group, min_votes, min_agreement) for group in by_cluster.values()]


def _verdict(answers: Sequence[Answer], min_votes: int, min_agreement: float) -> Verdict:
    votes = [field_votes(answer) for answer in answers]
    states: dict[str, State] = {}
    decided: dict[str, list[str]] = {}
    tallies: dict[str, dict[str, int]] = {}
    for name in FIELDS:
        given = [vote[name] for vote in votes if name in vote]
        tally = Counter(value for values in given for value in sorted(values))
        decided[name], states[name] = _decide(tally, given, min_agreement)
        if len(given) < min_votes:
            decided[name], states[name] = [], "open"
        if none := sum(not values for values in given):
            tally[""] = none
        tallies[name] = dict(sorted(tally.items(), key=lambda item: (-item[1], item[0])))
    said = Said(
        panel_type=next(iter(decided["panel_type"]), None),
        panel_subtype=next(iter(decided["panel_subtype"]), None),
        primary=decided["primary"],
        secondary=decided["secondary"] if decided["primary"] else [],
    )
    first, random = answers[0], any(answer.random for answer in answers)
    n_votes = sum(bool(vote) for vote in votes)
    return Verdict(first.clustering, first.cluster, first.exemplars, said, states, tallies, n_votes, random)


def _decide(tally: Counter[str], given: Sequence[frozenset[str]], min_agreement: float) -> tuple[list[str], State]:
    most = min_agreement * len(given)
    decided = sorted(value for value, count in tally.items() if count > most)
    undecided = any(count <= most and len(given) - count <= most for count in tally.values())
    nothing = not decided and sum(bool(values) for values in given) > len(given) / 2
    return decided, "disputed" if undecided or nothing else "decided"
