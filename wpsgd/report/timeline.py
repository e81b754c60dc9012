"""Where each rank's time went: a bar row a rank, a panel a strategy, one scale for all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from wpsgd.report import style
from wpsgd.report.summaries import RankSummary, Summary, of_kind
from wpsgd.report.words import decimal, percent, rank_label
from wpsgd.trace import Event

# As light to dark as the three are unlike in hue: they stay apart in grey, and for colour-blind readers.
COLOURS = {"compute": style.BLUE, "wait": style.ORANGE, "communication": style.BLACK}
UNRECORDED = "no spans kept"
UNRECORDED_COLOUR = "#D9D9D9"
NARROW = 1 / 250  # of the width: spans below it are merged, being too few pixels to compare
MERGED = 1 / 50  # of the width: how long a stretch becomes one
PIXEL = 1 / 900  # of the width, about
BAR = 0.8  # of the height of a row
OVERLAP = 0.04  # of a row, about a pixel
LABELLED = 12  # ranks whose names fit beside a panel


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch of one activity, in seconds; of several at once, `share` is what this one had of it."""

    activity: str
    start: float
    length: float
    bottom: float = 0.0  # the shares of the activities below
    share: float = 1.0


def merged(spans: Iterable[Event], width: float) -> list[Bar]:
    """The spans of one rank as bars; neighbours too narrow to tell apart become a stack of layers.

    `width` is that of the picture, in seconds. The sum of length times share stays what it was, per activity.
    """
    bars: list[Bar] = []
    pending: list[Event] = []
    for span in sorted(spans, key=lambda span: float(span["start"])):
        wide = span["end"] - span["start"] >= NARROW * width
        if pending and (wide or span["end"] - pending[0]["start"] > MERGED * width):
            bars += _merge(pending)
            pending = []
        if wide:
            bars.append(Bar(span["activity"], span["start"], span["end"] - span["start"]))
        else:
            pending.append(span)
    return bars + _merge(pending)


def _merge(spans: Sequence[Event]) -> list[Bar]:
    bars: list[Bar] = []
    start = min((span["start"] for span in spans), default=0.0)
    length = max((span["end"] for span in spans), default=0.0) - start
    bottom = 0.0
    for activity in COLOURS:
        seconds = sum(span["end"] - span["start"] for span in spans if span["activity"] == activity)
        if seconds > 0:
            bars.append(Bar(activity, start, length, bottom, seconds / length))
            bottom += seconds / length
    return bars


def draw(groups: Mapping[str, Sequence[Event]], summaries: Sequence[Summary], caption: str) -> Figure | None:
    """The timeline of all strategies; None where no spans were recorded."""
    spans = {name: of_kind(group, "span") for name, group in groups.items()}
    shown = [summary for summary in summaries if spans[summary.name]]
    if not shown:
        return None
    width = max(span["end"] for group in spans.values() for span in group)
    width = max([width, *(summary.seconds for summary in shown if summary.seconds is not None)])
    heights = [_height(_rank_numbers(summary, spans[summary.name])) for summary in shown]
    figure = style.new_figure(1.4 + sum(heights) + 0.35 * len(shown))
    panels = figure.subplots(len(shown), sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for axes, summary in zip(panels, shown, strict=True):
        _panel(axes, summary, spans[summary.name], width)
    panels[-1].set_xlabel("seconds since the start (looks off the clock)")
    panels[-1].set_xlim(0, width)
    limit = decimal(NARROW * width, 2)
    merging = f"Spans below {limit} s are merged: a colour's height is its share of the stretch."
    foot = "\n".join(line for line in (caption, merging) if line)
    style.frame_with_legend(figure, _title(shown), foot, _handles(panels))
    return figure


def _rank_numbers(summary: Summary, spans: Iterable[Event]) -> list[int]:
    return sorted({rank.rank for rank in summary.per_rank} | {span["rank"] for span in spans})


def _height(ranks: Sequence[int]) -> float:
    return min(0.24 * len(ranks), 3.0)


def _panel(axes: Axes, summary: Summary, spans: Sequence[Event], width: float) -> None:
    known = {rank.rank: rank for rank in summary.per_rank}
    ranks = _rank_numbers(summary, spans)
    for row, rank in enumerate(ranks):
        own = [span for span in spans if span["rank"] == rank]
        _bars(axes, row, merged(own, width), PIXEL * width)
        if rank in known:
            _unrecorded(axes, row, own, known[rank])
    step = ceil(len(ranks) / LABELLED)
    names = [rank_label(known[rank]) if rank in known else f"rank {rank}" for rank in ranks]
    axes.set_yticks(range(0, len(ranks), step), names[::step], fontsize=9)
    axes.set_ylim(len(ranks) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_title(_panel_title(summary), loc="left", pad=3)


def _bars(axes: Axes, row: int, bars: Sequence[Bar], pixel: float) -> None:
    corners = [_corners(bar, row, pixel) for bar in bars]
    colours = [COLOURS[bar.activity] for bar in bars]
    # Not snapped to whole pixels: a share of half a pixel is to be half as dark, not there or gone.
    axes.add_collection(PolyCollection(corners, facecolors=colours, linewidth=0, snap=False))


def _corners(bar: Bar, row: int, pixel: float) -> list[tuple[float, float]]:
    # Each bar reaches a pixel under the next, which is painted over it: else a seam would show between them.
    left, right = bar.start, bar.start + bar.length + pixel
    bottom = row + BAR * (0.5 - bar.bottom)  # rows count downwards
    top = row + BAR * (0.5 - min(1.0, bar.bottom + bar.share + OVERLAP))
    return [(left, bottom), (left, top), (right, top), (right, bottom)]


def _unrecorded(axes: Axes, row: int, spans: Sequence[Event], rank: RankSummary) -> None:
    """Spans end at a limit while the totals go on: blank would read as idle."""
    missing = rank.seconds - sum(span["end"] - span["start"] for span in spans)
    if missing > 0.01 * rank.seconds:
        start = max((span["end"] for span in spans), default=0.0)
        axes.barh(row, missing, BAR, left=start, color=UNRECORDED_COLOUR, label=UNRECORDED)


def _panel_title(summary: Summary) -> str:
    parts = [f"{decimal(summary.seconds)} s"] if summary.seconds is not None else []
    if summary.waiting_share is not None:
        parts.append(f"{percent(summary.waiting_share)} of node time waiting")
    return f"{summary.name}: {', '.join(parts)}" if parts else summary.name


def _title(summaries: Sequence[Summary]) -> str:
    shares = {
        summary.name: summary.waiting_share for summary in summaries if summary.waiting_share is not None
    }
    if not shares:
        return "Where each rank's time went"
    most = max(shares, key=shares.__getitem__)
    seen = (
        f"{most} waits most, {percent(shares[most])}"
        if len(shares) > 1
        else f"{percent(shares[most])} waiting"
    )
    return f"Where each rank's time went: {seen}"


def _handles(panels: Iterable[Axes]) -> list[Patch]:
    handles = [Patch(color=colour, label=activity) for activity, colour in COLOURS.items()]
    if any(UNRECORDED in axes.get_legend_handles_labels()[1] for axes in panels):
        handles.append(Patch(color=UNRECORDED_COLOUR, label=UNRECORDED))
    return handles
