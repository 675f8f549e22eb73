"""Results as tables: models side by side, by task and by domain, in Markdown, LaTeX and CSV, and as pages have them."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import Any

from biomedica_ray.evaluate.comparisons import OVERALL
from biomedica_ray.evaluate.results import WITHOUT
from biomedica_ray.pages.formats import things

Row = list[str]


@dataclass(frozen=True)
class Table:
    """A table of texts.

    Attributes:
        header: Names of the columns.
        rows: The rows.
        best: Of each row, the columns of the best among our models.
    """

    header: Row
    rows: list[Row]
    best: list[set[int]]


def render(document: dict[str, Any]) -> dict[str, str]:
    """Name of a file -> its text."""
    return {
        "results.md": _markdown(document),
        "results.tex": _latex(document),
        "results.csv": _csv(document),
    }


def scores_table(document: dict[str, Any]) -> Table:
    """Models side by side: a row for each task, then the means; and the same without leaked images, if sought."""
    models, clean = document["models"], document["decontaminated"]
    header = ["domain", "task", "metric", "images", "chance", *models]
    header += ["leaked", *(f"{model}, without" for model in models)] if clean else []
    tasks = sorted(document["tasks"].items(), key=lambda item: (item[1]["domain"], item[0]))
    rows, best = [], []
    for name, task in tasks:
        found = [task["models"][model] for model in models]
        values = [each and each["scores"].get(task["metric"]) for each in found]
        chance = next((f"{each['chance']:.3f}" for each in found if each), "")
        mark = "*" if task["differs"] else ""
        rows.append([task["domain"], f"{name}{mark}", task["metric"], str(task["images"]), chance])
        rows[-1] += [_cell(each, task["metric"]) for each in found]
        best.append(_best(values))
        if clean:
            rest = [each and each[WITHOUT] for each in found]
            rows[-1] += [str(task["leaked"]["images"]), *(_cell(each, task["metric"]) for each in rest)]
            best[-1] |= _best([each and each["scores"].get(task["metric"]) for each in rest], len(rows[-1]) - len(rest))
    for name, over in sorted(document["means_over"].items(), key=lambda item: (item[0] == OVERALL, item[0])):
        values = [document["means"][model].get(name) for model in models]
        what = f"mean of {things(len(over), 'task')}"
        rows.append([name, what, "", "", "", *("" if value is None else f"{value:.3f}" for value in values)])
        best.append(_best(values))
        if clean:
            # Over other tasks, where nothing is left of one without its leaked images.
            left = clean["means_over"].get(name, [])
            rows[-1] += ["" if left == over else f"of {things(len(left), 'task')}"]
            values = [clean["means"][model].get(name) for model in models]
            rows[-1] += ["" if value is None else f"{value:.3f}" for value in values]
            best[-1] |= _best(values, len(rows[-1]) - len(values))
    return Table(header, rows, best)


def published_table(document: dict[str, Any]) -> Table | None:
    """Scores that others published beside ours, a row for each task that they have; None without such scores."""
    models = document["models"]
    others = {model: of_model for each in document["published"] for model, of_model in each["scores"].items()}
    names = sorted({name for of_model in others.values() for name in of_model})
    if not names:
        return None
    rows = []
    for name in names:
        task = document["tasks"][name]
        ours = [found and found["scores"].get(task["metric"]) for found in (task["models"][model] for model in models)]
        values = [*ours, *(of_model.get(name) for of_model in others.values())]
        rows.append([name, task["metric"], *("" if value is None else f"{value:.3f}" for value in values)])
    return Table(["task", "metric", *models, *(f"{model} (published)" for model in others)], rows, [set()] * len(rows))


def published_notes(document: dict[str, Any]) -> list[str]:
    """Where published scores are from, and means that others published."""
    notes = []
    for each in document["published"]:
        remarks = f"; {each['remarks']}" if each["remarks"] else ""
        means = "".join(f"; {model} {value:.3f}" for model, value in each["means"].items())
        notes.append(f"{each['source']} ({each['version']}, {each['url']}{remarks}){means}")
    return notes


def _best(values: list[float | None], first: int = 5) -> set[int]:
    """Columns of the best values; the values are in columns from ``first`` on."""
    known = [value for value in values if value is not None]
    return {first + n for n, value in enumerate(values) if value == max(known)} if len(known) > 1 else set()


def _cell(found: dict[str, Any] | None, metric: str) -> str:
    if found is None or metric not in found["scores"]:
        return ""
    interval = found["intervals"].get(metric)
    span = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    return f"{found['scores'][metric]:.3f}{span}"


def notes(document: dict[str, Any]) -> list[str]:
    """What a reader of the table has to know: marked tasks, images that do not count, what is missing."""
    notes = _leaked_notes(document) if document["decontaminated"] else []
    for name, task in document["tasks"].items():
        if task["differs"]:
            notes.append(f"{name}* differs from its description: {'; '.join(task['differs'])}")
        counts = {
            "missing": len(task["missing_images"]),
            "unreadable": len(task["unreadable_images"]),
            "named twice": len(task["repeated_rows"]),
            "equal to another (counted)": task["duplicate_images"],
        }
        lacking = [model for model, found in task["models"].items() if found is None]
        if lacking:
            averaged = name in document["means_over"].get(task["domain"], [])
            notes.append(f"{name}: no score of {', '.join(lacking)}" + ("" if averaged else "; the means leave it out"))
        counted = {found["images"] for found in task["models"].values() if found}
        if len(counted) > 1:
            notes.append(
                f"{name}: models read {min(counted):,} to {max(counted):,} images; {task['images']:,} are all's"
            )
        if any(counts.values()):
            notes.append(f"{name}: images {', '.join(f'{what} {n:,}' for what, n in counts.items() if n)}")
    for test in document["tests"]:
        if test["adjusted_p"] < 0.05:
            one, other = test["models"]
            notes.append(f"{test['task']}: {one} - {other} = {test['difference']:+.3f}, p = {test['adjusted_p']:.2g}")
    for name, each in document["missing"].items():
        licence = each["licence"] or "licence not known"
        notes.append(f"{name} was not evaluated: {each['looked_for']}; {each['set']} is from {each['get']} ({licence})")
    return [*notes, *(f"{name} was not evaluated: {why}" for name, why in document["errors"].items())]


def _leaked_notes(document: dict[str, Any]) -> list[str]:
    """What was searched, and of each task with leaked images how many they are and what is left without them."""
    clean = document["decontaminated"]
    notes = [
        f"without: without the images that are among the {clean['figures']:,} figures of {clean['store']} "
        f"({clean['list']} names them)"
    ]
    for name, task in document["tasks"].items():
        leaked = task["leaked"]
        if leaked["images"]:
            how = ", ".join(f"{what} {n:,}" for what, n in leaked["how"].items())
            note = f"{name}: {leaked['images']:,} of {leaked['of']:,} images are in the store ({how})"
            rest = [found[WITHOUT] for found in task["models"].values() if found]
            if any(not each["scores"] for each in rest):
                note += "; without them too little is left for a score"
            elif vanished := sorted({label for each in rest for label in each["vanished"]}):
                note += f"; without them there is no image of {', '.join(vanished)}"
            notes.append(note)
        if leaked["untrained"]:
            notes.append(
                f"{name}: {leaked['untrained']:,} of {leaked['of']:,} images are in figures of the store that its "
                "datasets have left out of training; they stay"
            )
    return notes


def _markdown(document: dict[str, Any]) -> str:
    lines = [f"# {document['title']}", "", *_markdown_table(scores_table(document)), ""]
    lines += [*(f"- {note}" for note in notes(document)), ""]
    if document["published"]:
        lines += ["## Published by others", ""]
        if table := published_table(document):
            lines += [*_markdown_table(table), ""]
        lines += [*(f"- {note}" for note in published_notes(document)), ""]
    return "\n".join(lines)


def _markdown_table(table: Table) -> list[str]:
    lines = [_line(table.header), _line(["---"] * len(table.header))]
    for row, bold in zip(table.rows, table.best, strict=True):
        lines.append(_line([f"**{cell}**" if n in bold else cell for n, cell in enumerate(row)]))
    return lines


def _line(cells: Row) -> str:
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


_TEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
)


def _latex(document: dict[str, Any]) -> str:
    tables = [table for table in (scores_table(document), published_table(document)) if table]
    sources = [f"% {note}" for note in published_notes(document)]
    return "\n".join([*(line for table in tables for line in _latex_table(table)), *sources, ""])


def _latex_table(table: Table) -> list[str]:
    lines = [rf"\begin{{tabular}}{{lll{'r' * (len(table.header) - 3)}}}", r"\hline"]
    lines += [" & ".join(cell.translate(_TEX) for cell in table.header) + r" \\", r"\hline"]
    for row, bold in zip(table.rows, table.best, strict=True):
        cells = [cell.translate(_TEX) for cell in row]
        lines.append(" & ".join(rf"\textbf{{{c}}}" if n in bold else c for n, c in enumerate(cells)) + r" \\")
    return [*lines, r"\hline", r"\end{tabular}"]


def _csv(document: dict[str, Any]) -> str:
    """A row for each model, task and score."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    clean = document["decontaminated"]
    header = ["model", "domain", "task", "score", "value", "low", "high", "images"]
    writer.writerow([*header, *(f"{name}_without_leaked" for name in header[4:] if clean)])
    for name, task in document["tasks"].items():
        for model, found in task["models"].items():
            if found is None:
                continue
            for score, value in found["scores"].items():
                low, high = found["intervals"].get(score) or ("", "")
                rest = _csv_cells(found[WITHOUT], score) if clean else []
                writer.writerow([model, task["domain"], name, score, value, low, high, found["images"], *rest])
            if found["calibration"]:
                ece = found["calibration"]["ece"]
                rest = [""] * 4 if clean else []
                writer.writerow([model, task["domain"], name, "ece", ece, "", "", found["images"], *rest])
    return file.getvalue()


def _csv_cells(found: dict[str, Any], score: str) -> list[Any]:
    """Value, interval and number of images; empty where there is no such score any more."""
    if score not in found["scores"]:
        return ["", "", "", found["images"]]
    return [found["scores"][score], *(found["intervals"].get(score) or ("", "")), found["images"]]
