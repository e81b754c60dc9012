"""Rules that divide updates by how far their steps could take them (Wang, Liu, Liang, Joshi, Poor 2020)."""

from __future__ import annotations

from functools import cache
from typing import Literal, TypeAlias

import numpy as np

from wpsgd.errors import ConfigError, nearest
from wpsgd.reducers.facts import Combination, RoundFacts, Rule, Weights, moved, needing

TauEff: TypeAlias = Literal["mean", "max"]
TAU_EFFS: tuple[TauEff, ...] = ("mean", "max")


def effective_steps(facts: RoundFacts) -> Weights:
    """a_i = (1 - prod_s (1 - eta_s lambda)) / lambda over the steps s = a + 1 .. a + T_i of node i.

    In units of eta: T_i eta without regulariser; the regulariser shrinks early steps, so that a_i stays below
    1 / lambda however long a node works. The plain a_i = T_i diverges where eta lambda T is large.
    """
    logs = [facts.step.log_contraction(facts.age, facts.age + count) for count in facts.counts]
    a: Weights = -np.expm1(logs) / facts.step.alpha
    # what they are in proportion to as steps become too small to contract at all
    return a if a.any() else np.array(facts.counts, dtype=np.float64)


@cache
def fednova_with(tau_eff: str) -> Rule:
    """x0 + tau_eff sum_i p_i (w_i - x0) / a_i with p_i = n_i / n and the a_i of `effective_steps`.

    tau_eff: "mean", sum_i p_i a_i, or "max", max_i a_i. Raises ConfigError for anything else.
    """
    if tau_eff not in TAU_EFFS:
        choices = ", ".join(f'"{name}"' for name in TAU_EFFS)
        raise ConfigError(f'tau_eff = "{tau_eff}": must be one of {choices}{nearest(tau_eff, TAU_EFFS)}')

    def fednova(facts: RoundFacts) -> Combination:
        held = np.where(facts.active, facts.shards, 0).astype(np.float64)
        p, a = held / held.sum(), effective_steps(facts)
        tau = float(a.max()) if tau_eff == "max" else float((p * a).sum())
        return moved(facts, tau * p / np.where(facts.active, a, 1.0))

    return Rule(fednova, frozenset({"contraction", "start"}))


@needing("contraction", "start")
def asum(facts: RoundFacts) -> Combination:
    """x0 + (max_j a_j / sum_j a_j) sum_i (w_i - x0), ours.

    Contracts like the fastest node, averages like SimuParallel, and waits for nobody.
    """
    a = effective_steps(facts)
    return moved(facts, np.full(len(a), a.max() / a.sum()))


fednova = fednova_with("mean")
