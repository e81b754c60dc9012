"""Delay SGD inside nodes, WP-SGD in rounds between them: "D&M" (Cheng, Li, Zhang, JPDC 2020, Algorithm 5).

What goes on inside a node is the learner's (learners/delay.py, learners/threaded.py); a round ends as a race.
With no delay and one thread this is WP-SGD in rounds, bit for bit.
A strategy is the paper's pseudocode run by every node; `await` means "this takes time, whoever runs me
decides how" (see requests.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wpsgd.learners.delay import DelayLearner
from wpsgd.requests import AllGather, Node
from wpsgd.strategies.averaging import Averaging, report_round
from wpsgd.strategies.combining import Combined


@dataclass(frozen=True, slots=True)
class Hybrid(Averaging):
    """Averaging whose learners are late.

    range_check: whether learners abandon rows, which the trace is then told
    """

    range_check: bool = False

    async def report(self, node: Node, complete: int, counts: Mapping[int, int], combined: Combined) -> None:
        """Records the round, with the rows that each node has abandoned so far."""
        fields = {}
        if self.range_check:
            abandoned = await AllGather(rows_abandoned(node))
            fields["abandoned"] = list(abandoned.values())
        report_round(node, complete, counts, combined, **fields)


def rows_abandoned(node: Node) -> int:
    """By the range checks of this node so far."""
    return node.learner.abandoned if isinstance(node.learner, DelayLearner) else 0
