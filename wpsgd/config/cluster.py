"""Cluster files for the simulator: a link, and nodes with their seconds per row."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from wpsgd.config.files import find, parse
from wpsgd.config.problems import Problem, checked, raise_all, unknown
from wpsgd.config.tables import Table, choice
from wpsgd.errors import ConfigError
from wpsgd.runtimes.costs import Cluster, Link, RowCost

DRAWN = (
    "fixed",
    "jittered",
    "exponential",
    "shifted_exponential",
)  # "replayed" comes from a trace, not a file


class LinkSettings(Table):
    """[link]."""

    latency: float = Field(default=0.0, ge=0.0, description="a number of seconds >= 0")
    bandwidth: Annotated[float, Field(allow_inf_nan=True)] = Field(
        default=math.inf, gt=0.0, description="a number of bytes per second > 0"
    )


class NodeSettings(Table):
    """[[node]]: `count` nodes that are alike."""

    count: int = Field(default=1, ge=1, description="an integer >= 1")
    seconds_per_row: float = Field(gt=0.0, description="a number of seconds > 0")
    service: Literal["fixed", "jittered", "exponential", "shifted_exponential"] = choice(DRAWN, "fixed")
    spread: float = Field(
        default=0.1, ge=0.0, le=1.0, description="a number from 0 to 1, a share of the mean"
    )

    def costs(self) -> tuple[RowCost, ...]:
        """The cost of a row on each of them."""
        return (RowCost(self.seconds_per_row, self.service, self.spread),) * self.count


def load_cluster(path_or_name: str | Path) -> Cluster:
    """The cluster of a file, or a shipped one by its name. Raises ConfigError, one line a problem."""
    path = find(path_or_name, clusters=True)
    raw = parse(path)
    problems = [
        Problem((name,), unknown("table", name, ["link", "node"]))
        for name in raw
        if name not in ("link", "node")
    ]
    link = checked(LinkSettings, raw.get("link", {}), ("link",), "[link]", problems)
    entries = _entries(raw, str(path))
    nodes = [
        checked(NodeSettings, e, ("node", i), f"[[node]] {i + 1}", problems) for i, e in enumerate(entries)
    ]
    raise_all(problems, {}, str(path))
    costs = tuple(cost for node in nodes if node for cost in node.costs())
    return Cluster(costs, Link() if link is None else Link(link.latency, link.bandwidth))


def _entries(raw: dict[str, Any], file: str) -> list[Any]:
    entries = raw.get("node", [])
    if not isinstance(entries, list):
        raise ConfigError(f"{file}: node: must be tables, each under a line [[node]]")
    if not entries:
        raise ConfigError(f"{file}: [[node]]: missing, must be at least one, with seconds_per_row")
    return entries
