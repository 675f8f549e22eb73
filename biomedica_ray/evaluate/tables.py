"""Results as tables: models side by side, by task and by domain, in Markdown, LaTeX, CSV and HTML."""

from __future__ import annotations

import csv
import html
import io
from typing import Any

from biomedica_ray.evaluate.comparisons import OVERALL
from biomedica_ray.pages.formats import things

Row = list[str]

_STYLE = "body{font:14px sans-serif}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:2px 8px}"


def render(document: dict[str, Any]) -> dict[str, str]:
    """Name of a file -> its text."""
    return {
        "results.md": _markdown(document),
        "results.tex": _latex(document),
        "results.csv": _csv(document),
        "results.html": _html(document),
    }


def _rows(document: dict[str, Any]) -> tuple[Row, list[Row], list[set[int]]]:
    """Header, rows, and of each row the columns of its best models."""
    models = document["models"]
    header = ["domain", "task", "metric", "images", "chance", *models]
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
    for name, over in sorted(document["means_over"].items(), key=lambda item: (item[0] == OVERALL, item[0])):
        values = [document["means"][model].get(name) for model in models]
        what = f"mean of {things(len(over), 'task')}"
        rows.append([name, what, "", "", "", *("" if value is None else f"{value:.3f}" for value in values)])
        best.append(_best(values))
    return header, rows, best


def _best(values: list[float | None]) -> set[int]:
    known = [value for value in values if value is not None]
    return {5 + n for n, value in enumerate(values) if value == max(known)} if len(known) > 1 else set()


def _cell(found: dict[str, Any] | None, metric: str) -> str:
    if found is None or metric not in found["scores"]:
        return ""
    interval = found["intervals"].get(metric)
    span = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    return f"{found['scores'][metric]:.3f}{span}"


def _notes(document: dict[str, Any]) -> list[str]:
    """What a reader of the table has to know: marked tasks, images that do not count, what is missing."""
    notes = []
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


def _markdown(document: dict[str, Any]) -> str:
    header, rows, best = _rows(document)
    lines = [f"# {document['title']}", "", _line(header), _line(["---"] * len(header))]
    for row, bold in zip(rows, best, strict=True):
        lines.append(_line([f"**{cell}**" if n in bold else cell for n, cell in enumerate(row)]))
    return "\n".join([*lines, "", *(f"- {note}" for note in _notes(document)), ""])


def _line(cells: Row) -> str:
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"


_TEX = str.maketrans(
    {c: f"\\{c}" for c in "&%$#_{}"}
    | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
)


def _latex(document: dict[str, Any]) -> str:
    header, rows, best = _rows(document)
    lines = [rf"\begin{{tabular}}{{lll{'r' * (len(header) - 3)}}}", r"\hline"]
    lines += [" & ".join(cell.translate(_TEX) for cell in header) + r" \\", r"\hline"]
    for row, bold in zip(rows, best, strict=True):
        cells = [cell.translate(_TEX) for cell in row]
        lines.append(" & ".join(rf"\textbf{{{c}}}" if n in bold else c for n, c in enumerate(cells)) + r" \\")
    return "\n".join([*lines, r"\hline", r"\end{tabular}", ""])


def _csv(document: dict[str, Any]) -> str:
    """A row for each model, task and score."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["model", "domain", "task", "score", "value", "low", "high", "images"])
    for name, task in document["tasks"].items():
        for model, found in task["models"].items():
            if found is None:
                continue
            for score, value in found["scores"].items():
                low, high = found["intervals"].get(score) or ("", "")
                writer.writerow([model, task["domain"], name, score, value, low, high, found["images"]])
    return file.getvalue()


def _html(document: dict[str, Any]) -> str:
    header, rows, best = _rows(document)
    title = html.escape(document["title"])
    lines = [f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style><h1>{title}</h1><table>"]
    lines.append(f"<tr>{''.join(f'<th>{html.escape(cell)}</th>' for cell in header)}</tr>")
    for row, bold in zip(rows, best, strict=True):
        cells = [f"<b>{html.escape(cell)}</b>" if n in bold else html.escape(cell) for n, cell in enumerate(row)]
        lines.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in _notes(document))
    return "\n".join([*lines, f"</table><ul>{notes}</ul>", ""])
