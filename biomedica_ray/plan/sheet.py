"""The sheet that ``biomedica plan`` prints: what is measured, what follows from it, and what is assumed."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from biomedica_ray.plan.estimate import ENTITIES, REQUESTS, Estimate, Size
from biomedica_ray.units import ARTICLES_PER_UNIT, unit_count

_WIDTH = 200
"""Of tables, where it is not a terminal that is written to."""
_TEXT_WIDTH = 110


def print_sheet(estimates: Sequence[Estimate], size: Size, wanted: Iterable[str], files: Sequence[str]) -> None:
    """Print it.

    Args:
        estimates: Stages that the trial has.
        size: What was planned for.
        wanted: Stages that were asked for.
        files: Those that name the nodes and the prices.
    """
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    console.print(_work(estimates))
    print()
    if any(any(each.bytes.values()) for each in estimates):
        console.print(_storage(estimates))
        print()
    for line in (_sum(estimates), _measured(estimates), _assumed(estimates, size, files), *_notes(estimates, wanted)):
        print(textwrap.fill(line, _TEXT_WIDTH))


def _work(estimates: Sequence[Estimate]) -> Table:
    table = _table("rows", "CPU-hours", "computing", "GPU-hours", "hours", "limit", "dollars", "with spot")
    for each in estimates:
        table.add_row(
            f"{each.run.stage}{' *' if each.short else ''}",
            f"{each.rows:,}",
            f"{each.hours['CPU']:,.0f}",
            _share(each),
            f"{each.hours['GPU']:,.0f}{' †' if each.assumed_gpu else ''}",
            f"{each.wall:,.1f}",
            each.bound,
            f"{each.dollars:,.0f}",
            f"{each.spot:,.0f}",
        )
    cpus, gpus = (sum(each.hours[kind] for each in estimates) for kind in ("CPU", "GPU"))
    walls, dollars, spot = (
        sum(values) for values in zip(*((e.wall, e.dollars, e.spot) for e in estimates), strict=True)
    )
    table.add_row("all", "", f"{cpus:,.0f}", "", f"{gpus:,.0f}", f"{walls:,.1f}", "", f"{dollars:,.0f}", f"{spot:,.0f}")
    return table


def _share(each: Estimate) -> str:
    """Part of the CPU-hours of the run in which its workers computed."""
    return f"{each.run.cpu_hours / each.run.hours['CPU']:.0%}" if each.run.cpu_hours and each.run.hours["CPU"] else ""


def _storage(estimates: Sequence[Estimate]) -> Table:
    kinds = [f"{kind}, M" for kind in REQUESTS]
    table = _table("TB fetched", "TB read", "TB written", *kinds, "requests, $", "$ a month")
    rows = [
        (
            [each.bytes[what] / 1e12 for what in ("fetched", "read", "written")],
            [each.requests.get(kind, 0) / 1e6 for kind in REQUESTS],
            [each.request_dollars, each.month_dollars],
        )
        for each in estimates
    ]
    sums = tuple([sum(values) for values in zip(*column, strict=True)] for column in zip(*rows, strict=True))
    for name, (terabytes, millions, dollars) in zip(
        [*(each.run.stage for each in estimates), "all"], [*rows, sums], strict=True
    ):
        table.add_row(
            name,
            *(f"{value:,.2f}" for value in (*terabytes, *millions)),
            *(f"{value:,.0f}" for value in dollars),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("stage", no_wrap=True)
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _sum(estimates: Sequence[Estimate]) -> str:
    nodes, spot = sum(each.dollars for each in estimates), sum(each.spot for each in estimates)
    once = sum(each.request_dollars for each in estimates)
    month = sum(each.month_dollars for each in estimates)
    walls = sum(each.wall for each in estimates) / 24
    return (
        f"In all: {nodes + once:,.0f} dollars ({spot + once:,.0f} with spot nodes) and {walls:,.1f} days, one stage "
        f"after the other; then {month:,.0f} dollars a month for what is stored."
    )


def _measured(estimates: Sequence[Estimate]) -> str:
    runs = ", ".join(f"{each.run.stage} {each.run.rows:,} in {each.run.seconds:,.0f} s" for each in estimates)
    what = ["hours"]
    if any(each.run.cpu_hours for each in estimates):
        what += ["processor seconds", "bytes"]
    if any(each.requests for each in estimates):
        what += ["requests"]
    return f"Measured: {', '.join(what)} of a trial ({runs})."


def _assumed(estimates: Sequence[Estimate], size: Size, files: Sequence[str]) -> str:
    parts = ["hours and bytes grow with rows"]
    if any(each.requests for each in estimates):
        parts.append(f"requests with units ({unit_count(size.articles):,} of {ARTICLES_PER_UNIT} articles)")
    if size.busy:
        parts.append(f"CPUs compute {size.busy:.0%} of the time")
    if any(each.assumed_gpu for each in estimates):
        parts.append(f"† a GPU embeds {size.gpu_figures_s:g} figures a second")
    parts.append(f"the most nodes, and prices, of {' and '.join(files)}")
    return f"Assumed: {'; '.join(parts)}. Without traffic and the head."


def _notes(estimates: Sequence[Estimate], wanted: Iterable[str]) -> list[str]:
    notes = []
    if missing := [stage for stage in wanted if stage not in {each.run.stage for each in estimates}]:
        notes.append(f"Not measured: {', '.join(missing)}; no run of the trial.")
    if any(each.short for each in estimates):
        notes.append("* from a run of less than ten minutes, of which starting was a good part: more than it would be.")
    of_a_unit = [
        each.run.rows / each.run.units
        for each in estimates
        if ENTITIES[each.run.stage] == "articles" and each.run.units
    ]
    if of_a_unit and any(each.requests for each in estimates) and of_a_unit[0] < ARTICLES_PER_UNIT / 2:
        notes.append(
            f"Requests are of units of {of_a_unit[0]:,.0f} articles, not {ARTICLES_PER_UNIT}: larger ones take more "
            "for their images; a trial of 4,000 articles and more has units of full size."
        )
    return notes
