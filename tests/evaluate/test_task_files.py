from __future__ import annotations

from pathlib import Path

import pytest

from biomedica_ray.config import ConfigError
from biomedica_ray.evaluate.task_files import ALL, packaged, suites


def test_the_forty_tasks() -> None:
    tasks = packaged()
    forty = tasks.chosen("biomedica-40", [])
    assert len(forty) == len({task.id for task in forty}) == 40
    domains = [task.domain for task in forty]
    counts = {"pathology": 11, "biology": 9, "radiology": 3, "ophthalmology": 1, "dermatology": 1, "surgery": 10}
    assert {domain: domains.count(domain) for domain in counts} == counts
    assert [task.id for task in forty if task.lacks(tasks.set_of(task))] == []


def test_suites_name_tasks_that_there_are() -> None:
    tasks = packaged()
    sizes = {suite: len(tasks.chosen(suite, [])) for suite in [*suites(), ALL]}
    assert sizes["medpmc-26"] == 26
    assert sizes["openpmc-19"] == 19
    assert sizes["medmnist"] == 12
    assert sizes["unimed"] == 23
    assert sizes[ALL] == len(tasks.tasks)
    assert {task.set for task in tasks.tasks.values()} == set(tasks.sets)


def test_every_file_says_where_its_facts_come_from() -> None:
    tasks = packaged()
    assert [name for name, each in [*tasks.tasks.items(), *tasks.sets.items()] if not each.sources] == []
    silent = [name for name, images in tasks.sets.items() if not images.licence and "the licence" not in images.unknown]
    assert silent == []


OWN = """
title: Mine
domain: pathology
kind: multiclass
set:
  title: My images
  get: my disk
  folders: [mine]
  layouts: [{kind: folders, path: "{split}"}]
classes:
- {name: a, paper: [an a]}
- {name: b, paper: [a b]}
"""


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(OWN)
    tasks = packaged()
    (task,) = tasks.chosen(None, [str(path)])
    assert (task.id, tasks.set_of(task).folders) == ("mine", ["mine"])
    path.write_text(OWN.replace(OWN[OWN.index("set:") : OWN.index("classes:")], "set: pcam\n"))
    tasks = packaged()
    (task,) = tasks.chosen(None, [str(path)])
    assert tasks.set_of(task).rows == 32768


def test_a_file_never_takes_the_place_of_another_task(tmp_path: Path) -> None:
    same = [tmp_path / folder / "mine.yaml" for folder in ("a", "b")]
    for path in [*same, tmp_path / "a" / "pcam.yaml"]:
        path.parent.mkdir(exist_ok=True)
        path.write_text(OWN)
    with pytest.raises(
        ConfigError, match=r"b/mine\.yaml: there is a task or a set mine already; give the file another"
    ):
        packaged().chosen(None, list(map(str, same)))
    with pytest.raises(ConfigError, match=r"pcam\.yaml: there is a task or a set pcam already"):
        packaged().chosen("biomedica-40", [str(tmp_path / "a" / "pcam.yaml")])


@pytest.mark.parametrize(
    ("was", "becomes", "message"),
    [
        ("kind: multiclass", "kind: guessing", r"mine\.yaml: kind: expected one of 'multiclass'"),
        ("domain: pathology\n", "", r"mine\.yaml: domain: missing; expected field"),
        ("title: Mine", "titel: Mine", r"mine\.yaml: (title: missing|titel: unknown key; did you mean title)"),
        ("name: b,", "name: b, labels: [a],", r"mine\.yaml: classes: label a belongs to a and to b"),
        ("folders: [mine]", "folders: []", r"mine\.yaml: set\.folders: expected at least 1"),
        ("kind: folders", "kind: cupboard", r"mine\.yaml: set\.layouts"),
        ("  get: my disk", "  get: [", r"mine\.yaml: not YAML"),
        ("title: Mine", "title: Mine\ntemplates: [an image]", r"mine\.yaml: templates: expected {}"),
    ],
)
def test_a_file_that_is_not_right_is_one_line(tmp_path: Path, was: str, becomes: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(OWN.replace(was, becomes))
    with pytest.raises(ConfigError, match=message) as caught:
        packaged().chosen(None, [str(path)])
    assert "\n" not in str(caught.value)


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tasks: pcan: unknown task; .*did you mean pcam\?"):
        packaged().chosen(None, ["pcan"])
    with pytest.raises(ConfigError, match="suite: biomedica40: unknown suite; did you mean biomedica-40"):
        packaged().chosen("biomedica40", [])
    with pytest.raises(ConfigError, match=r"tasks: .*No such file"):
        packaged().chosen(None, [str(tmp_path / "none.yaml")])
