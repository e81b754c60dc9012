"""Writes the figures of a trace, each as PNG, each as SVG."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from wpsgd.errors import WPSGDError
from wpsgd.report.summaries import by_strategy, summarise
from wpsgd.trace import Event


def figures(
    events: Iterable[Event],
    folder: Path,
    *,
    header: Mapping[str, Any] | None = None,
    target: float | None = None,
) -> list[Path]:
    """Draws what the trace holds: objective_seconds, objective_rows, timeline, weights, counterfactual.

    A figure with nothing to show (no looks, no spans, no weights, no rules asked) is left out. `target` as in
    `summarise`.
    Returns the files written. Raises WPSGDError where the folder cannot be written.
    """
    # matplotlib takes a second to import, which only those who draw should pay
    from wpsgd.report import counterfactual, curves, style, timeline, weights

    events = list(events)
    groups, summaries = by_strategy(events), summarise(events, target=target)
    caption = style.caption(header or {}, summaries)
    with style.applied():
        drawn = {
            "objective_seconds": curves.against_seconds(groups, summaries, caption),
            "objective_rows": curves.against_rows(groups, summaries, caption),
            "timeline": timeline.draw(groups, summaries, caption),
            "weights": weights.draw(groups, summaries, caption),
            "counterfactual": counterfactual.draw(groups, caption),
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return [
                path for name, figure in drawn.items() if figure for path in style.save(figure, folder / name)
            ]
        except OSError as error:
            raise WPSGDError(f"{folder}: figures cannot be written there ({error.strerror})") from error
