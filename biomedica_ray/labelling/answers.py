"""What annotators answered, as the HTML sheet and Label Studio give it back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from biomedica_ray.labelling import label_studio
from biomedica_ray.labelling.taxonomy import Said, Taxonomy
from biomedica_ray.messages import one_line

FORMAT = "biomedica answers 1"


class Answer(Said):
    """What one annotator said of one cluster; a field that is left empty is not a vote."""

    annotator: str = Field(min_length=1, description="who")
    clustering: str = Field(description="fingerprint of the clustering")
    cluster: int = Field(ge=0, description="the cluster, in that clustering")
    exemplars: list[str] = Field(min_length=1, description="figure_ids of its members that were shown")
    round: int = Field(ge=1, description="round of the sheet")
    answered: AwareDatetime = Field(description="when")
    note: str = Field("", description="anything else")
    random: bool = Field(False, description="of an image by itself: it was drawn at random")

    @model_validator(mode="after")
    def _panels_together(self) -> Self:
        if (self.panel_type is None) != (self.panel_subtype is None):
            raise ValueError("expected panel_type and panel_subtype together")
        return self

    @property
    def of(self) -> tuple[str, int]:
        """The cluster, with its clustering."""
        return self.clustering, self.cluster

    @property
    def when(self) -> tuple[int, datetime]:
        """Answers of a later round take precedence over earlier ones, and so do later ones of the same round."""
        return self.round, self.answered


class _AnswersFile(BaseModel):
    """What the HTML sheet downloads."""

    model_config = ConfigDict(extra="forbid")

    format: str
    annotator: str = Field(min_length=1)
    taxonomy: str
    clustering: str
    round: int = Field(ge=1)
    sheet: str
    answers: list[dict[str, Any]]


@dataclass(frozen=True)
class Fault:
    """An answer, or a whole file of them, that is invalid.

    Attributes:
        what: The file, and the cluster where only one answer is meant.
        entity: file or answer.
        kind: not-answers, other-taxonomy or bad-answer.
        message: What is wrong, in one line.
    """

    what: str
    entity: str
    kind: str
    message: str


@dataclass(frozen=True)
class Parsed:
    """What a file of answers holds.

    Attributes:
        rows: Answers in the file, good and bad; 0 where it is not an answers file.
        answers: The good ones.
        faults: What is wrong with the others, or with the file.
    """

    rows: int = 0
    answers: Sequence[Answer] = ()
    faults: Sequence[Fault] = ()


def parse_answers(data: bytes, name: str, taxonomy: Taxonomy) -> Parsed:
    """The answers of a file of the HTML sheet, or of a JSON export of Label Studio.

    Args:
        data: The file's bytes.
        name: The file's name, for faults.
        taxonomy: The words that answers must be made of.
    """
    try:
        document = json.loads(data)
        if isinstance(document, list):
            version, rows = label_studio.read_export(document)
        else:
            file = _AnswersFile.model_validate(document)
            if file.format != FORMAT:
                raise ValueError(f"format: expected {FORMAT}, got {file.format}")
            shared = file.model_dump(include={"annotator", "clustering", "round"})
            version, rows = file.taxonomy, [{**shared, **answer} for answer in file.answers]
    except ValidationError as error:
        return Parsed(faults=[Fault(name, "file", "not-answers", _first(error))])
    except (ValueError, UnicodeDecodeError) as error:
        return Parsed(faults=[Fault(name, "file", "not-answers", one_line(error))])
    if version != taxonomy.version:
        message = f"made with taxonomy {version}, this one is {taxonomy.version}"
        return Parsed(faults=[Fault(name, "file", "other-taxonomy", message)])
    answers: list[Answer] = []
    faults: list[Fault] = []
    for row in rows:
        found = _answer(row, taxonomy)
        if isinstance(found, Answer):
            answers.append(found)
        else:
            faults.append(Fault(f"{name}: cluster {row.get('cluster')}", "answer", "bad-answer", found))
    return Parsed(len(rows), answers, faults)


def _answer(row: dict[str, Any], taxonomy: Taxonomy) -> Answer | str:
    try:
        answer = Answer.model_validate(row)
    except ValidationError as error:
        return _first(error)
    return answer.fault(taxonomy) or answer


def _first(error: ValidationError) -> str:
    found = error.errors()[0]
    place = ".".join(map(str, found["loc"]))
    return f"{place}: {found['msg']}" if place else found["msg"]


def one_each(answers: Iterable[Answer], *, last: bool) -> Iterator[Answer]:
    """Of each annotator and cluster the last answer, or the first one, ordered by cluster and annotator."""
    kept: dict[tuple[str, int, str], Answer] = {}
    for answer in answers:
        key = (*answer.of, answer.annotator)
        if key not in kept or (answer.when > kept[key].when) == last:
            kept[key] = answer
    for key in sorted(kept):
        yield kept[key]
