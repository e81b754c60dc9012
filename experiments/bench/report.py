"""bench.txt: the same results as tables for people."""

from __future__ import annotations

import io
from itertools import groupby

from rich import box
from rich.console import Console
from rich.table import Table

from experiments.bench.results import Figure, Measurement, Results, shown, with_unit

WIDTH = 150


def text_of(results: Results) -> str:
    """Where it was measured, all tables, what was left out; the last line names what falls short."""
    stream = io.StringIO()
    console = Console(file=stream, width=WIDTH, highlight=False, emoji=False, markup=False)
    for line in _about(results):
        console.print(line, soft_wrap=True)
    for task, figures in groupby(results.figures, key=lambda figure: figure.task):
        console.print(_figures(task, list(figures)))
    for task, measured in groupby(results.measurements, key=lambda one: one.task):
        console.print(_measurements(task, list(measured)))
    for one in results.skipped:
        console.print(f"not measured: {one.task}: {one.what}: {one.reason}", soft_wrap=True)
    console.print(last_line(results), soft_wrap=True)
    lines = stream.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


def last_line(results: Results) -> str:
    """Names every figure under its least."""
    return f"under 'at least': {'; '.join(results.under) or 'none'}"


def _about(results: Results) -> list[str]:
    about = [
        f"{results.command}   ({results.date}, {results.seconds:.0f} s)",
        f"commit {results.commit}",
        ", ".join(f"{name} {value}" for name, value in results.machine.items()),
        ", ".join(f"{name} {value}" for name, value in results.versions.items()),
        ", ".join(f"{name}={value}" for name, value in results.environment.items()) + " for everybody",
        "One-core tasks stay on one processor. Medians of interleaved runs; cpu: from processor times.",
    ]
    if results.scale == "small":
        about.append("SMALL SCALE: tries the bench; its figures say nothing")
    return about


def _figures(task: str, figures: list[Figure]) -> Table:
    table = Table(title=f"{task}: figures", box=box.ASCII2, title_justify="left")
    table.add_column("figure", no_wrap=True)
    for name in ("value", "cpu", "at least", "aim"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for figure in figures:
        bounds = (figure.cpu, figure.at_least, figure.aim)
        cells = ["" if value is None else with_unit(value, figure.unit) for value in bounds]
        table.add_row(figure.name, shown(figure), *cells, figure.verdict.replace("information", ""))
    return table


def _measurements(task: str, measured: list[Measurement]) -> Table:
    table = Table(title=f"{task}: measurements", box=box.ASCII2, title_justify="left")
    for name in ("data", "case", "competitor"):
        table.add_column(name, no_wrap=True)
    for name in ("wall", "cpu", "value", "off the optimum", "setting"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in measured:
        times = ["" if value is None else with_unit(value, "s") for value in (one.wall, one.cpu)]
        value = "" if one.value is None else with_unit(one.value, one.unit)
        reached = "" if one.reached is None else f"{100 * one.reached:.3f} %"
        table.add_row(one.data, one.case, one.competitor, *times, value, reached, one.setting)
    return table
