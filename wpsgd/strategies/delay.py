"""Delay SGD on one node (Langford, Smola, Zinkevich 2009; Cheng, Li, Zhang, JPDC 2020, Algorithms 3 and 4).

Sequential SGD whose learner is late (learners/delay.py). A period's end is a meeting here too: what is in
flight then is computed again on the model of that moment.
"""

from __future__ import annotations

from dataclasses import dataclass

from wpsgd.requests import Node
from wpsgd.strategies.hybrid import rows_abandoned
from wpsgd.strategies.sequential import Sequential


@dataclass(frozen=True, slots=True)
class Delay(Sequential):
    """Sequential SGD that tells the trace which rows its learner has abandoned.

    range_check: whether it does abandon rows
    """

    range_check: bool = False

    def report(self, node: Node, complete: int) -> None:
        """Records the period, with the rows abandoned so far."""
        if self.range_check and node.rank == node.ranks[0]:
            idle = [0] * (len(node.ranks) - 1)
            fields = {"counts": [self.period, *idle], "weights": [1.0, *idle], "effective_nodes": 1.0}
            abandoned = [rows_abandoned(node), *idle]
            node.report("round", round=complete, seconds=node.now(), **fields, abandoned=abandoned)
