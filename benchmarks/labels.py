"""Judge rights, panels, mentions and licences against what was labelled by reading.

    python -m benchmarks.labels

Prints precision and recall of ``third_party``, of the labels of panels, of the figures that sentences mention and of
the panels that they name of these, the share of captions whose panels are right in label and span, and that of the
licences read right. What was labelled is in tests/jats/labelled; see the README there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from biomedica_ray.jats import Figure, parse_article
from biomedica_ray.jats.lean import Hint
from biomedica_ray.jats.panels import split_panels

LABELLED = Path(__file__).parents[1] / "tests" / "jats" / "labelled"
_URLS = {
    "CC0": "https://creativecommons.org/publicdomain/zero/1.0/",
    **{
        code: f"https://creativecommons.org/licenses/{code.lower().removeprefix('cc ')}/4.0/"
        for code in ("CC BY", "CC BY-SA", "CC BY-ND", "CC BY-NC", "CC BY-NC-SA", "CC BY-NC-ND")
    },
}


@dataclass(frozen=True)
class Score:
    """What was found of what is there."""

    right: int
    found: int
    there: int

    @property
    def precision(self) -> float:
        """Share of what was found that is right."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of what is there that was found."""
        return self.right / self.there if self.there else 1.0


@dataclass(frozen=True)
class PanelScore:
    """Panels of captions, those of which all are right in label and span, and captions in which there are none."""

    captions: int
    whole: int
    labels: Score
    unmarked: int
    false: int


# The article that captions written for the purpose are taken to be in.
_ARTICLE = {
    "authors": [["Marchetti", "Elena"], ["Okafor", "Chidi"], ["Lindqvist", "Jonas"]],
    "groups": [],
    "holders": ["\u00a9 2020 Marchetti et al."],
    "publisher": "Frontiers Media S.A.",
    "license": "CC BY",
    "attributions": [],
    "copyrights": [],
}


def read(name: str) -> list[dict[str, Any]]:
    with (LABELLED / f"{name}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def written(name: str) -> list[dict[str, Any]]:
    """Captions or sentences that were written for the purpose, of all sets."""
    return [{**_ARTICLE, **row} for row in read(f"written_{name}")]


def figure_of(row: dict[str, Any]) -> Figure:
    """The figure of a labelled caption, within as much of its article as says whose it is."""
    names = "".join(
        f"<contrib><name><surname>{escape(last)}</surname><given-names>{escape(first)}</given-names></name></contrib>"
        for last, first in row["authors"]
    )
    groups = "".join(f"<contrib><collab>{escape(name)}</collab></contrib>" for name in row["groups"])
    holders = "".join(f"<copyright-statement>{escape(text)}</copyright-statement>" for text in row["holders"])
    url = _URLS.get(row["license"], "")
    own = "".join(f"<copyright-statement>{escape(text)}</copyright-statement>" for text in row["copyrights"])
    attributions = "".join(f"<attrib>{escape(text)}</attrib>" for text in row["attributions"])
    paragraphs = "".join(f"<p>{escape(line)}</p>" for line in row["caption"].split("\n"))
    xml = (
        '<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><journal-meta><publisher><publisher-name>'
        f"{escape(row['publisher'] or '')}</publisher-name></publisher></journal-meta><article-meta>"
        f"<contrib-group>{names}{groups}</contrib-group>"
        f"<permissions>{holders}<license xlink:href='{url}'/></permissions>"
        f"</article-meta></front><body><fig><caption>{paragraphs}</caption>{attributions}"
        f"{f'<permissions>{own}</permissions>' if own else ''}<graphic xlink:href='a'/></fig></body></article>"
    )
    return parse_article(xml.encode()).figures[0]


def score_rights(rows: Sequence[dict[str, Any]]) -> Score:
    found = [figure_of(row).third_party for row in rows]
    right = sum(is_found and row["third_party"] for is_found, row in zip(found, rows, strict=True))
    return Score(right, sum(found), sum(row["third_party"] for row in rows))


def score_panels(rows: Sequence[dict[str, Any]]) -> PanelScore:
    whole = false = right = found = there = 0
    for row in rows:
        hints = [Hint(*hint) for hint in row["hints"]]
        panels = [[panel.label, panel.start, panel.end] for panel in split_panels(row["caption"], hints)]
        labels = {letter for label, *_ in panels for letter in label.split(", ")}
        wanted = {letter for label, *_ in row["panels"] for letter in label.split(", ")}
        right, found, there = right + len(labels & wanted), found + len(labels), there + len(wanted)
        whole += bool(row["panels"]) and panels == row["panels"]
        false += not row["panels"] and bool(panels)
    marked = sum(bool(row["panels"]) for row in rows)
    return PanelScore(marked, whole, Score(right, found, there), len(rows) - marked, false)


def score_mentions(rows: Sequence[dict[str, Any]]) -> tuple[Score, Score]:
    """The figures that sentences mention, and the panels that they name."""
    numbers = sorted({number for row in rows for number in row["named"]} | {str(number) for number in range(1, 15)})
    counts = [[0, 0, 0], [0, 0, 0]]
    for row in rows:
        named = _mentioned(row["text"], numbers)
        lettered = [{(number, panel) for number in each for panel in each[number]} for each in (named, row["named"])]
        for count, found, there in ((counts[0], set(named), set(row["named"])), (counts[1], *lettered)):
            count[0] += len(found & there)
            count[1] += len(found)
            count[2] += len(there)
    return Score(*counts[0]), Score(*counts[1])


def _mentioned(text: str, numbers: Sequence[str]) -> dict[str, list[str]]:
    """The figures that a sentence mentions in an article that has all figures of these numbers, and their panels."""
    labels = (number.replace("-FS", "\u2014figure supplement ") for number in numbers)
    figs = "".join(f"<fig><label>Figure {label}</label><graphic xlink:href='a'/></fig>" for label in labels)
    xml = (
        '<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><article-meta/></front>'
        f"<body><p>{escape(text)}</p>{figs}</body></article>"
    )
    figures = parse_article(xml.encode()).figures
    return {
        number: figure.mentions[0].panels for number, figure in zip(numbers, figures, strict=True) if figure.mentions
    }


def score_licenses(rows: Sequence[dict[str, Any]]) -> Score:
    """The licences whose code, group and URL are right."""
    right = 0
    for row in rows:
        xml = (
            '<article xmlns:xlink="http://www.w3.org/1999/xlink"><front><article-meta><permissions>'
            f"<license xlink:href={quoteattr(row['href'])}><license-p>{escape(row['text'])}</license-p></license>"
            "</permissions></article-meta></front></article>"
        )
        article = parse_article(xml.encode())
        found = (article.license_code, article.license_group, article.license_url)
        right += found == (row["code"], row["group"], row["url"])
    return Score(right, len(rows), len(rows))


def main() -> None:
    rights, panels = score_rights(read("rights")), score_panels(read("panels"))
    figures, lettered = score_mentions(read("mentions"))
    licenses = score_licenses(read("licenses"))
    labels = panels.labels
    print("| what | captions or sentences | precision | recall |")
    print("|---|---|---|---|")
    print(f"| third_party | {len(read('rights'))} | {rights.precision:.3f} | {rights.recall:.3f} |")
    print(f"| labels of panels | {panels.captions} | {labels.precision:.3f} | {labels.recall:.3f} |")
    print(f"| figures mentioned | {len(read('mentions'))} | {figures.precision:.3f} | {figures.recall:.3f} |")
    print(
        f"| panels of figures mentioned | {len(read('mentions'))} | {lettered.precision:.3f} | {lettered.recall:.3f} |"
    )
    print(f"\nPanels right in label and span: {panels.whole} of {panels.captions} captions.")
    print(f"Panels in captions without any: {panels.false} of {panels.unmarked} captions.")
    print(f"Licences right in code, group and URL: {licenses.right} of {licenses.there} statements.")
    print("\n| written set | what | captions or sentences | precision | recall |\n|---|---|---|---|---|")
    rows = written("rights")
    for number in sorted({row["set"] for row in rows}):
        score = score_rights(of_set := [row for row in rows if row["set"] == number])
        print(f"| {number} | third_party | {len(of_set)} | {score.precision:.3f} | {score.recall:.3f} |")
    rows = written("mentions")
    score, _ = score_mentions(rows)
    print(f"| all | figures mentioned | {len(rows)} | {score.precision:.3f} | {score.recall:.3f} |")
    panels = score_panels(written("panels"))
    print(f"\nPanels right in label and span: {panels.whole} of {panels.captions} captions that were written.")
    print(f"Panels in captions without any: {panels.false} of {panels.unmarked} captions that were written.")


if __name__ == "__main__":
    main()
