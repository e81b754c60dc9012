"""The rule that minimises the bound which WP-SGD bounds: squared bias and variance of the combination."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from wpsgd.reducers.facts import Combination, Moments, RoundFacts, average, needing


@needing("contraction", "start", "moments")
def inverse_variance(facts: RoundFacts) -> Combination:
    """omega ~ C^-1 1 with C = D2 b b' + diag(v / T_i), b_i = prod (1 - eta_s lambda) over the node's steps.

    D2 and v are the moments of the round before; in the first round, and where they say nothing, the bias
    counts for nothing, and what remains are the weights of `steps`. Negative weights are clipped to 0.
    """
    counts = np.array(facts.counts, dtype=np.float64)
    if facts.moments is None or not np.isfinite(facts.moments).all():
        return average(facts, counts)
    logs = [facts.step.log_contraction(facts.age, facts.age + count) for count in facts.counts]
    b = np.exp(logs)
    moved, noise = facts.moments
    if moved <= 0.0:
        return average(facts, counts)
    # Sherman and Morrison's formula; v is a common factor of the weights, and may be 0
    below = noise / moved + float((counts * b * b).sum())
    pull = float((counts * b).sum()) / below if below > 0.0 else 0.0
    weights = np.maximum(counts * (1.0 - b * pull), 0.0)
    return average(facts, weights if weights.any() else counts)


def moments_of(moved: float, spreads: Sequence[float], counts: Sequence[int]) -> Moments | None:
    """The moments of a round, None where fewer than two nodes applied rows.

    moved: ||x0 - v||^2; spreads: ||w_i - v||^2 of each node; counts: its rows
    """
    scaled = [count * spread for count, spread in zip(counts, spreads, strict=True) if count]
    if len(scaled) < 2:
        return None
    # one degree of freedom went into v
    return Moments(moved, sum(scaled) / (len(scaled) - 1))
