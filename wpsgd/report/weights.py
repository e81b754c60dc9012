"""What each rank's model counts for when models are combined, round by round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, nan
from textwrap import fill

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from wpsgd.report import style
from wpsgd.report.summaries import Summary, of_kind
from wpsgd.report.words import decimal
from wpsgd.trace import Event

COLUMNS = 3
PANEL_LETTERS = 102  # of panel titles, across the width
LAYERED = 8  # lines that fit on top of one another
NAMED = 6  # ranks that a legend can hold
DASHES = (0, (4, 3))


def draw(groups: Mapping[str, Sequence[Event]], summaries: Sequence[Summary], caption: str) -> Figure | None:
    """A panel per strategy that combines models; None where none does."""
    rounds = {name: weighted for name, group in groups.items() if (weighted := _weighted(group))}
    if not rounds:
        return None
    figure = style.new_figure(1.3 + 2.3 * ceil(len(rounds) / _columns(len(rounds))))
    effective = {summary.name: summary.effective_nodes for summary in summaries}
    _panels(figure, rounds, effective)
    count = max(len(event["weights"]) for events in rounds.values() for event in events)
    style.frame_with_legend(figure, _title(effective, count), caption, _handles(count))
    return figure


def _weighted(events: Sequence[Event]) -> list[Event]:
    return [event for event in of_kind(events, "round") if event.get("weights")]


def _title(effective: Mapping[str, float | None], count: int) -> str:
    known = {name: nodes for name, nodes in effective.items() if nodes is not None}
    least = min(known, key=known.__getitem__, default=None)
    if least is None or known[least] > 0.99 * count:
        return "Weights of the ranks' models: all count alike"
    nodes = f"{decimal(known[least])} effective nodes of {count}"
    return f"Weights of the ranks' models: in {least} they amount to {nodes}"


def _columns(panels: int) -> int:
    return 2 if panels == 4 else min(COLUMNS, panels)


def _panels(
    figure: Figure, rounds: Mapping[str, Sequence[Event]], effective: Mapping[str, float | None]
) -> None:
    columns = _columns(len(rounds))
    panels = list(figure.subplots(ceil(len(rounds) / columns), columns, sharey=True, squeeze=False).flat)
    for axes, name in zip(panels, rounds, strict=False):
        _panel(axes, rounds[name])
        title = f"{name}: {decimal(effective[name])} effective nodes"
        axes.set_title(fill(title, PANEL_LETTERS // columns), loc="left")
    for axes in panels[::columns]:
        axes.set_ylabel("weight")
    panels[0].set_ylim(bottom=min(0.0, panels[0].get_ylim()[0]))
    for axes in panels[len(rounds) :]:
        axes.remove()


def _panel(axes: Axes, rounds: Sequence[Event]) -> None:
    count = max(len(event["weights"]) for event in rounds)
    (_bars if len(rounds) == 1 else _lines)(axes, rounds, _colours(count))
    axes.axhline(1 / count, color=style.GREY, linestyle=DASHES, linewidth=1.1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def _bars(axes: Axes, rounds: Sequence[Event], colours: Sequence[str]) -> None:
    weights = rounds[0]["weights"]
    axes.bar(range(len(weights)), weights, color=colours, width=0.7)
    axes.set_xlabel("rank (one round)")


def _lines(axes: Axes, rounds: Sequence[Event], colours: Sequence[str]) -> None:
    numbers = [event["round"] for event in rounds]
    # Later ranks are drawn thinner, so that lines which coincide all remain visible.
    thin, step = (1.2, 2.6 / max(len(colours) - 1, 1)) if len(colours) <= LAYERED else (0.7, 0.0)
    for rank, colour in enumerate(colours):
        # A rank that was lost has no weight from then on.
        heights = [event["weights"][rank] if rank < len(event["weights"]) else nan for event in rounds]
        axes.plot(numbers, heights, color=colour, linewidth=thin + step * (len(colours) - 1 - rank))
    axes.set_xlabel("round")


def _colours(count: int) -> list[str]:
    """Dark to light by rank, ending before the yellow that white swallows."""
    return [to_hex(colormaps["viridis"](0.88 * rank / max(count - 1, 1))) for rank in range(count)]


def _handles(count: int) -> list[Line2D]:
    # Of many ranks a few stand for the order of the colours.
    named = list(enumerate(_colours(count)))[:: ceil(count / NAMED)]
    handles = [Line2D([], [], color=colour, linewidth=5, label=f"rank {rank}") for rank, colour in named]
    handles.append(Line2D([], [], color=style.GREY, linestyle=DASHES, linewidth=1.1, label="1 / ranks"))
    return handles
