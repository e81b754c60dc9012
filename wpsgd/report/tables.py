"""Summaries as a table for the terminal, with a sentence on the slow rank of each strategy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from wpsgd.report.summaries import RankSummary, Summary, ranks_of, slowest_of
from wpsgd.report.words import LISTED, NOTHING, decimal, emulation_note, percent, short
from wpsgd.trace import Event

if TYPE_CHECKING:
    from rich.table import Table

NEGLIGIBLE = 0.01  # share of all node time


def table(summaries: Sequence[Summary]) -> Table:
    """One line per strategy; target and emulated speeds are in the caption."""
    from rich.text import Text

    result = _empty_table(_caption(summaries))
    result.add_column("strategy", overflow="fold", min_width=8)
    for column in ("seconds", "to\ntarget", "objective", "accuracy"):
        result.add_column(column, justify="right", no_wrap=True)
    result.add_column("rows/s\nper\nrank", min_width=6)
    for column in ("waiting", "effective\nnodes"):
        result.add_column(column, justify="right", no_wrap=True)
    for summary in summaries:
        # Text, because a label may hold square brackets, which rich would read as a style
        result.add_row(*(Text(cell) for cell in _cells(summary)))
    return result


def _empty_table(caption: str | None) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        padding=(0, 1, 0, 0),
        caption=caption,
        caption_justify="left",
        caption_style="dim",
    )


def _cells(summary: Summary) -> tuple[str, ...]:
    return (
        summary.name,
        decimal(summary.seconds),
        decimal(summary.target_seconds),
        decimal(summary.objective, 5),
        _accuracy(summary.accuracy),
        _rates(summary.per_rank),
        percent(summary.waiting_share),
        decimal(summary.effective_nodes),
    )


def counterfactual_table(summaries: Sequence[Summary]) -> Table | None:
    """What each rule would have given at the last look, a line each; None where nobody asked."""
    from rich.text import Text

    asked = [(summary.name, event) for summary in summaries for event in summary.counterfactual]
    if not asked:
        return None
    result = _empty_table(_left_out_lines(asked))
    result.add_column("strategy", overflow="fold", min_width=8)
    result.add_column("rule", no_wrap=True)
    for column in ("objective", "after line\nsearch", "accuracy", "effective\nnodes"):
        result.add_column(column, justify="right", no_wrap=True)
    for name, event in asked:
        if "left_out" not in event:
            result.add_row(*(Text(cell) for cell in (name, *_counterfactual_cells(event))))
    return result


def _counterfactual_cells(event: Event) -> tuple[str, ...]:
    return (
        event["rule"],
        decimal(event["objective"], 5),
        decimal(event["objective_after_line_search"], 5),
        _accuracy(event["accuracy"]),
        decimal(event["effective_nodes"]),
    )


def _left_out_lines(asked: Sequence[tuple[str, Event]]) -> str | None:
    reasons = {(event["rule"], event["left_out"]) for _, event in asked if "left_out" in event}
    return "\n".join(f"{rule}: {reason}" for rule, reason in sorted(reasons)) or None


def _accuracy(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.2f} %"


def _rates(ranks: Sequence[RankSummary]) -> str:
    if len(ranks) <= LISTED:
        return " ".join(short(rank.rows_per_second) for rank in ranks) or NOTHING
    rates = [rank.rows_per_second for rank in ranks if rank.rows_per_second is not None]
    return f"{short(min(rates))} to {short(max(rates))} ({len(rates)} ranks)" if rates else NOTHING


def _caption(summaries: Sequence[Summary]) -> str | None:
    target = next((summary.target for summary in summaries if summary.target is not None), None)
    lines = [f"Target: objective {decimal(target, 5)}"] if target is not None else []
    note = emulation_note(ranks_of(summaries))
    return "\n".join([*lines, note] if note else lines) or None


def slow_rank_lines(summaries: Iterable[Summary]) -> list[str]:
    """One sentence per strategy: which rank was slow, and what the others' waiting cost in node-seconds."""
    return [f"{summary.name}: {_sentence(summary)}." for summary in summaries]


def _sentence(summary: Summary) -> str:
    ranks = summary.per_rank
    rates = {rank.rank: rank.rows_per_second for rank in ranks if rank.rows_per_second is not None}
    slowest = slowest_of(ranks)
    if slowest is None:
        return "no rank did any rows" if ranks else "the trace has no totals of its ranks"
    place = f"rank {slowest.rank} ({slowest.host})"
    if len(rates) == 1:
        return f"{place} alone did rows; {_idle(summary)}"
    share = percent(rates[slowest.rank] / max(rates.values()))
    speed = "" if slowest.speed in (None, 1) else f" (emulated speed {slowest.speed:g})"
    slow = f"{place} was slowest at {share} of the fastest rank's rows per second{speed}"
    return f"{slow}; {_waited(summary, slowest)}"


def _idle(summary: Summary) -> str:
    others = len(summary.per_rank) - 1
    if others == 0:
        return "there is no other rank to wait for it"
    if summary.waited == 0:
        return "nobody waited for it"
    who = "the other rank was" if others == 1 else f"the other {others} ranks were"
    return f"{who} idle for {_node_seconds(summary)}"


def _waited(summary: Summary, slowest: RankSummary) -> str:
    if summary.waited == 0:
        return "nobody waited for it"
    if summary.waited < NEGLIGIBLE * _all_seconds(summary):
        return f"the others waited next to nothing, {_node_seconds(summary)}"
    mean = summary.waited / (len(summary.per_rank) - 1)
    if slowest.wait < mean:
        return f"the others waited {_node_seconds(summary, ' for it')}"
    # A rank that waits as long as the others is not the one they wait for.
    return f"the others waited {_node_seconds(summary)}, but it waited as well: {decimal(slowest.wait)} s"


def _node_seconds(summary: Summary, purpose: str = "") -> str:
    share = percent(summary.waited / _all_seconds(summary))
    return f"{decimal(summary.waited)} node-seconds{purpose} ({share} of all node time)"


def _all_seconds(summary: Summary) -> float:
    return sum(rank.seconds for rank in summary.per_rank)
