"""The objective of each strategy as it falls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isnan, nan

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullLocator

from wpsgd.report import style
from wpsgd.report.summaries import Summary, first_at, is_number, of_kind
from wpsgd.report.words import decimal, short
from wpsgd.trace import Event

DECADE = 10.0


def against_seconds(
    groups: Mapping[str, Sequence[Event]], summaries: Sequence[Summary], caption: str
) -> Figure | None:
    """Objective over the seconds of the run; None where nobody looked."""
    figure = _draw(groups, summaries, "seconds", "seconds since the start (looks off the clock)")
    if figure:
        style.frame(figure, _seconds_title(summaries), caption)
    return figure


def against_rows(
    groups: Mapping[str, Sequence[Event]], summaries: Sequence[Summary], caption: str
) -> Figure | None:
    """Objective over the rows of the fastest rank; None where nobody looked."""
    figure = _draw(groups, summaries, "rows", "rows done by the fastest rank")
    if figure:
        figure.axes[0].xaxis.set_major_formatter(EngFormatter(sep=""))
        style.frame(figure, _rows_title(groups, summaries), caption)
    return figure


def _seconds_title(summaries: Sequence[Summary]) -> str:
    reached = {
        summary.name: summary.target_seconds for summary in summaries if summary.target_seconds is not None
    }
    if not reached:
        return "Objective over time: the target is not reached"
    best = min(reached, key=reached.__getitem__)
    verb = "is first at the target" if len(summaries) > 1 else "is at the target"
    return f"Objective over time: {best} {verb}, after {decimal(reached[best])} s"


def _rows_title(groups: Mapping[str, Sequence[Event]], summaries: Sequence[Summary]) -> str:
    looks = {
        summary.name: first_at(of_kind(groups[summary.name], "look"), summary.target) for summary in summaries
    }
    reached = {name: look["rows"] for name, look in looks.items() if look}
    if not reached:
        return "Objective by rows: the target is not reached"
    best = min(reached, key=reached.__getitem__)
    verb = "needs the fewest to the target" if len(summaries) > 1 else "is at the target"
    return f"Objective by rows: {best} {verb}, {short(reached[best])}"


def _draw(
    groups: Mapping[str, Sequence[Event]], summaries: Sequence[Summary], across: str, label: str
) -> Figure | None:
    looks = {name: looks for name, group in groups.items() if (looks := of_kind(group, "look"))}
    if not looks:
        return None
    figure = style.new_figure(4.5)
    axes = figure.subplots()
    for name, events in looks.items():
        _line(axes, list(groups).index(name), name, events, across)
    axes.set(xlabel=label, ylabel="objective")
    axes.set_xlim(left=0)
    _scale(axes, [look["objective"] for events in looks.values() for look in events])
    _target(axes, summaries[0].target)
    _legend(axes, {summary.name: summary.objective for summary in summaries})
    return figure


def _line(axes: Axes, number: int, name: str, looks: Sequence[Event], across: str) -> None:
    heights = [look["objective"] if is_number(look["objective"]) else nan for look in looks]
    axes.plot(
        [look[across] for look in looks],
        heights,
        label=name,
        color=style.PALETTE[number % len(style.PALETTE)],
        marker=style.MARKERS[number % len(style.MARKERS)],
        markersize=4.5,
        linewidth=1.5,
        markeredgewidth=0,
        clip_on=False,
    )


def _scale(axes: Axes, objectives: Sequence[float | None]) -> None:
    finite = [value for value in objectives if value is not None and is_number(value)]
    if not finite or min(finite) <= 0 or max(finite) <= DECADE * min(finite):
        return
    axes.set_yscale("log")
    if max(finite) < DECADE**3 * min(finite):
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _target(axes: Axes, target: float | None) -> None:
    if target is not None:
        label = f"target {decimal(target, 4)}"
        axes.axhline(target, color=style.GREY, linestyle=(0, (5, 3)), linewidth=1.1, zorder=1, label=label)


def _legend(axes: Axes, ends: Mapping[str, float | None]) -> None:
    """Lines in the order in which they end, the highest first, as the eye meets them; the target last."""
    handles, labels = axes.get_legend_handles_labels()
    lines = dict(zip(labels, handles, strict=True))
    order = sorted(lines, key=lambda label: _height(label, ends), reverse=True)
    axes.legend(
        [lines[label] for label in order],
        [label + _remark(label, ends) for label in order],
        loc="upper left",
        bbox_to_anchor=(1.02, 1),
        borderaxespad=0,
    )


def _height(label: str, ends: Mapping[str, float | None]) -> float:
    end = ends.get(label, -inf)
    return end if end is not None and not isnan(end) else inf


def _remark(label: str, ends: Mapping[str, float | None]) -> str:
    end = ends.get(label, 0.0)
    if end is None:
        return " (no objective)"
    return "" if is_number(end) else " (ends not finite)"
