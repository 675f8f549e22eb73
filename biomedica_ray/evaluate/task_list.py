"""``biomedica tasks``: the tasks on published sets, and with a folder of sets, which of them are there."""

from __future__ import annotations

from collections.abc import Sequence

from biomedica_ray.config import ConfigError
from biomedica_ray.config.wording import suggest
from biomedica_ray.evaluate.preparing import Prepared, prepare
from biomedica_ray.evaluate.questions import PAPER
from biomedica_ray.evaluate.task_files import ALL, Tasks, TaskSpec, packaged, suites
from biomedica_ray.store import StoreError
from biomedica_ray.store.root import Root

_KEYS = ("suite", "tasks", "data", "endpoint_url")
USAGE = f"""usage: biomedica tasks [--suite NAME] [--tasks a,b,FILE.yaml] [--data DIR_OR_URI] [--endpoint_url URL]
  --suite         one of {", ".join([*suites(), ALL])}; default: {ALL}
  --tasks         tasks by id, or files of your own
  --data          folder of the sets, as for `biomedica evaluate`: the last column then says what is there
  --endpoint_url  S3 server of the sets, if it is not AWS
"""


def task_list(arguments: Sequence[str]) -> str:
    """A table of tasks: id, kind, classes, images, licence, and their state or where to get the set.

    Raises:
        ConfigError: An argument, a suite or a task is not right, or the folder cannot be read.
    """
    given = _parse(arguments)
    tasks = packaged()
    names = [name for name in given.get("tasks", "").split(",") if name]
    chosen = tasks.chosen(given.get("suite") or (None if names else ALL), names)
    prepared = None
    if "data" in given:
        try:
            prepared = prepare(Root(given["data"], given.get("endpoint_url")), tasks, chosen, PAPER)
        except (StoreError, OSError) as error:
            raise ConfigError(f"data: {given['data']}: {' '.join(str(error).split())}") from None
    header = ["task", "domain", "kind", "classes", "images", "licence", "from" if prepared is None else "state"]
    rows = [header, *(_row(tasks, task, prepared) for task in chosen)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header) - 1)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]]) for row in rows]
    there = "" if prepared is None else f", {len(prepared.ready)} of them can be evaluated"
    return "\n".join([*lines, f"{len(chosen)} tasks{there}"])


def _row(tasks: Tasks, task: TaskSpec, prepared: Prepared | None) -> list[str]:
    images = tasks.set_of(task)
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


def _parse(arguments: Sequence[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    rest = iter(arguments)
    for argument in rest:
        key, equals, text = argument.removeprefix("--").partition("=")
        key = key.replace("-", "_")
        if not argument.startswith("--") or key not in _KEYS:
            raise ConfigError(f"{argument}: unknown key; {suggest(key, _KEYS)}")
        value = text if equals else next(rest, "")
        if not value:
            raise ConfigError(f"{key}: expected a value after it")
        given[key] = value
    return given
