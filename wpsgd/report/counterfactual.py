"""What other combination rules would have given: a figure of their objectives beside the run's own.

As curves of their own they would lie on top of one another: the models are the same, and only weights differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from wpsgd.report import style
from wpsgd.report.summaries import AS_RUN, is_number, of_kind
from wpsgd.trace import Event

COLUMNS = {"objective": "objective", "objective_after_line_search": "after a line search each"}
LINEAR = 1.0  # per cent up to which the scale is linear
RUN = {"color": style.GREY, "linestyle": (0, (4, 3)), "linewidth": 1.1}


def draw(groups: Mapping[str, Sequence[Event]], caption: str) -> Figure | None:
    """A row of panels per strategy, before and after line searches; None where nobody asked."""
    scored = {name: found for name, group in groups.items() if (found := _scored(group))}
    if not scored:
        return None
    rules = list(dict.fromkeys(event["rule"] for events in scored.values() for event in events))
    figure = style.new_figure(1.3 + 2.4 * len(scored))
    panels = figure.subplots(len(scored), len(COLUMNS), sharey="row", squeeze=False)
    for row, (name, events) in zip(panels, scored.items(), strict=True):
        for axes, (score, words) in zip(row, COLUMNS.items(), strict=True):
            _panel(axes, events, rules, score)
            axes.set_title(f"{name}: {words}", loc="left")
        row[0].set_ylabel("above the run's")
    for axes in panels[-1]:
        axes.set_xlabel("round")
    style.frame_with_legend(figure, _title(scored), caption, [_handle(rule, rules) for rule in rules])
    return figure


def _scored(events: Sequence[Event]) -> list[Event]:
    return [event for event in of_kind(events, "counterfactual") if "left_out" not in event]


def above(events: Sequence[Event], rule: str, score: str) -> dict[float, float]:
    """How much a rule's score is above that of the run, in per cent, by round; NaN where not finite."""
    run, mine = (
        {event["round"]: event[score] for event in events if event["rule"] == name} for name in (AS_RUN, rule)
    )
    return {round: _above(value, run.get(round)) for round, value in mine.items()}


def _above(value: float | None, run: float | None) -> float:
    if value is None or not run or not is_number(value) or not is_number(run):
        return nan
    return 100.0 * (value / run - 1.0)


def _panel(axes: Axes, events: Sequence[Event], rules: Sequence[str], score: str) -> None:
    there = {event["rule"] for event in events}
    for rule in (rule for rule in rules if rule in there):
        heights = above(events, rule, score)
        look = {**_look(rule, rules), "markersize": 4, "clip_on": False}
        axes.plot([*heights], [*heights.values()], **look)
    axes.set_yscale("symlog", linthresh=LINEAR)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.set_xlim(left=0)


def _look(rule: str, rules: Sequence[str]) -> dict[str, Any]:
    if rule == AS_RUN:
        return RUN
    number = [name for name in rules if name != AS_RUN].index(rule)
    colour = style.PALETTE[number % len(style.PALETTE)]
    return {"color": colour, "marker": style.MARKERS[number % len(style.MARKERS)], "linewidth": 1.2}


def _handle(rule: str, rules: Sequence[str]) -> Line2D:
    return Line2D([], [], label=rule, markersize=4.5, **_look(rule, rules))


def _title(scored: Mapping[str, Sequence[Event]]) -> str:
    """With the rule that would have been the best at the last look, where there is one strategy."""
    what = "What each rule would have made of the same models"
    if len(scored) > 1:
        return what
    events = next(iter(scored.values()))
    last = [event for event in events if event["round"] == events[-1]["round"] and event["rule"] != AS_RUN]
    known = {event["rule"]: event["objective"] for event in last if is_number(event["objective"])}
    return f"{what}: at the end {min(known, key=known.__getitem__)} the best" if known else what
