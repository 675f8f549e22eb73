"""The label sheet as a page: pictures of clusters and a form, in one HTML file that needs no network and no server."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from biomedica_ray.labelling.proposals_file import Proposal
from biomedica_ray.labelling.taxonomy import Taxonomy
from biomedica_ray.pages import page_environment

_KEYS = (
    (("1", "…", "9"), "choose the panels"),
    (("letters",), "find a concept; Enter takes it, ↑ ↓ move to another, Esc cancels"),
    (("/",), "find a concept whose name begins with a digit"),
    (("Enter",), "next unfinished cluster"),
    (("←", "→"), "previous, next cluster"),
    (("+",), "accept the proposed concept"),
    (("=",), "repeat the last answer"),
    (("Backspace",), "remove the last concept"),
    (("?",), "this help"),
)


@dataclass(frozen=True)
class ShownMember:
    """A figure on a sheet.

    Attributes:
        id: Its figure_id.
        place: nearest, random or farthest.
        caption: Label and caption, shortened.
        url: The article at PubMed Central; empty for articles from elsewhere.
        src: The picture as a data URI; empty where it could not be shown.
        width: Its pixels.
        height: Its pixels.
        problem: Why there is no picture.
    """

    id: str
    place: str
    caption: str = ""
    url: str = ""
    src: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""


@dataclass(frozen=True)
class ShownCluster:
    """A cluster on a sheet.

    Attributes:
        cluster: Its id.
        size: Figures in it.
        exemplars: figure_ids that name it, also after reclustering: the nearest of those shown.
        members: The figures shown, in order.
        earlier: The votes of earlier rounds, in words; empty in the first round.
        proposals: What a model proposes, best first; not an answer until an annotator accepts it.
        random: It is an image by itself that was drawn at random.
    """

    cluster: int
    size: int
    exemplars: Sequence[str]
    members: Sequence[ShownMember]
    earlier: str = ""
    proposals: Sequence[Proposal] = ()
    random: bool = False


@dataclass(frozen=True)
class Sheet:
    """Some clusters of one clustering, the words to label them with, and the model that made proposals, if any."""

    sheet: str
    round: int
    clustering: str
    taxonomy: Taxonomy
    clusters: Sequence[ShownCluster] = field(default_factory=list)
    proposer: str = ""


def html(sheet: Sheet) -> str:
    """The page; its policy allows only its own script, by its hash, and nothing to be fetched."""
    environment = page_environment("biomedica_ray.labelling", "sheet")
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # the taxonomy's order is the form's
    script = (Path(__file__).parent / "sheet" / "page.js").read_text()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("page.html.j2").render(
        sheet={**asdict(sheet), "taxonomy": sheet.taxonomy.model_dump()},
        script=script,
        script_hash=f"sha256-{digest}",
        key_help=_KEYS,
    )


def earlier_votes(tallies: Mapping[str, Mapping[str, int]]) -> str:
    """Votes of earlier rounds, a line for each field: ``primary: 2 × Maps, 1 × Tables``."""
    return "\n".join(
        f"{name}: " + ", ".join(f"{count} × {value or 'none'}" for value, count in tally.items())
        for name, tally in tallies.items()
        if tally
    )
