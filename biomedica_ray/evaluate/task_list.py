"""``biomedica tasks``: the tasks on published sets, and with a folder of sets, which of them are there."""

from __future__ import annotations

from collections.abc import Sequence

from biomedica_ray.config import ConfigError
from biomedica_ray.config.arguments import Arguments
from biomedica_ray.evaluate.preparing import Prepared, prepare
from biomedica_ray.evaluate.questions import PAPER
from biomedica_ray.evaluate.task_files import ALL, Tasks, TaskSpec, packaged, suites
from biomedica_ray.store import StoreError
from biomedica_ray.store.root import Root


def tasks(argv: Sequence[str]) -> int:
    """Print a table of tasks: id, kind, classes, images, licence, and their state or where to get the set.

    Raises:
        ConfigError: An argument, a suite or a task is not right, or the folder cannot be read.
    """
    arguments = Arguments("tasks", "List the tasks on published sets, and with --data which of them can be evaluated.")
    arguments.add_argument("--suite", metavar="NAME", help=f"one of {', '.join([*suites(), ALL])}; default: {ALL}")
    arguments.add_argument("--tasks", metavar="a,b,FILE.yaml", default="", help="tasks by id, or files of your own")
    arguments.add_argument("--data", metavar="DIR_OR_URI", help="folder of the sets, as for `biomedica evaluate`")
    arguments.add_argument("--endpoint_url", metavar="URL", help="S3 server of the sets, if it is not AWS")
    options = arguments.parse(argv)
    names = [name for name in options.tasks.split(",") if name]
    print(_table(options.suite, names, options.data and Root(options.data, options.endpoint_url)))
    return 0


def _table(suite: str | None, names: list[str], data: Root | None) -> str:
    known = packaged()
    chosen = known.chosen(suite or (None if names else ALL), names)
    prepared = None
    if data:
        try:
            prepared = prepare(data, known, chosen, PAPER)
        except (StoreError, OSError) as error:
            raise ConfigError(f"data: {data.root}: {' '.join(str(error).split())}") from None
    header = ["task", "domain", "kind", "classes", "images", "licence", "from" if prepared is None else "state"]
    rows = [header, *(_row(known, task, prepared) for task in chosen)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header) - 1)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]]) for row in rows]
    there = "" if prepared is None else f", {len(prepared.ready)} of them can be evaluated"
    return "\n".join([*lines, f"{len(chosen)} tasks{there}"])


def _row(known: Tasks, task: TaskSpec, prepared: Prepared | None) -> list[str]:
    images = known.set_of(task)
    n, classes = task.rows or (None if task.where else images.rows), task.count_of_classes()
    licence = images.licence or "not known"
    state = images.get if prepared is None else _state(task.id, prepared)
    return [task.id, task.domain, task.kind, str(classes or "-"), f"{n:,}" if n else "-", licence, state]


def _state(name: str, prepared: Prepared) -> str:
    if ready := prepared.ready.get(name):
        what = f"there: {len(ready.questions.rows):,} images"
        if ready.listing.missing:
            what += f", {len(ready.listing.missing):,} more are missing"
        return f"{what}; {'; '.join(ready.remarks)}" if ready.remarks else what
    return f"not there: {prepared.missing[name]}" if name in prepared.missing else f"wrong: {prepared.wrong[name]}"
