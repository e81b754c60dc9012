"""The learner of one node, by what goes on inside it: one thread, one with late gradients, or several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from wpsgd.data.rows import Rows
from wpsgd.errors import ConfigError
from wpsgd.learners.adagrad import AdaGradLearner
from wpsgd.learners.delay import DelayLearner, StaleDecayLearner
from wpsgd.learners.late_keeping import KEEPING
from wpsgd.learners.row_order import RowOrder
from wpsgd.learners.sgd import Objective, SGDLearner
from wpsgd.learners.threaded import ThreadedLearner


@dataclass(frozen=True, slots=True)
class InNode:
    """What goes on inside a node.

    delay: steps by which gradients are late, in a ring buffer; range_check: see `DelayLearner`; stale_decay:
    whether the decay is late too; threads: how many share the weights, with a delay of 0
    """

    delay: int = 0
    threads: int = 1
    range_check: bool = False
    stale_decay: bool = False

    @property
    def extra_vectors(self) -> int:
        """Weight vectors in memory beside those of a plain learner."""
        return self.delay + 1 if self.stale_decay else 0


PLAIN = InNode()


def _late(inside: InNode) -> tuple[type[SGDLearner], dict[str, Any]]:
    """The kind of learner that does this, and its keys."""
    if inside.stale_decay:
        return StaleDecayLearner, {"delay": inside.delay}
    if inside.threads > 1:
        return ThreadedLearner, {"threads": inside.threads}
    return DelayLearner, {"delay": inside.delay, "range_check": inside.range_check}


def make_learner(
    shard: Rows,
    objective: Objective,
    inside: InNode = PLAIN,
    *,
    seed: int,
    rank: int,
    shuffle: bool = True,
    block: int = 1,
    kind: Callable[..., SGDLearner] = SGDLearner,
) -> SGDLearner:
    """The learner of one node. Raises ConfigError for an unfit w0, and for AdaGrad with delays or threads.

    kind: makes a plain learner whose coordinates have one step size (learners/keeping.py); where gradients
    are late or threads share weights, one that keeps as much takes its place
    """
    order, adagrad = RowOrder(len(shard), seed, rank, shuffle, block), objective.step.schedule == "adagrad"
    if inside == PLAIN:
        return (AdaGradLearner if adagrad else kind)(shard, objective, order)
    if adagrad:
        raise ConfigError(
            f"rank {rank}: adagrad has a step size for each coordinate: not with delays or threads in a node"
        )
    late, keys = _late(inside)
    return KEEPING.get((late, cast(type[SGDLearner], kind)), late)(shard, objective, order, **keys)
