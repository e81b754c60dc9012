"""Combination rules: from what is known of a round to what each node's model counts for.

The table of DESIGN.md, "The mathematics", 4. A rule is a pure function of `RoundFacts` that gives a
`Combination`; strategies/combining.py gathers the facts and takes the sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from wpsgd.errors import ConfigError, nearest
from wpsgd.reducers.contraction import THEORY, late_wp, wp, wp_with
from wpsgd.reducers.facts import (
    Combination,
    Moments,
    RoundFacts,
    Rule,
    Weights,
    effective_nodes,
)
from wpsgd.reducers.normalised import TAU_EFFS, asum, fednova, fednova_with
from wpsgd.reducers.validation import SampledModels, preferred
from wpsgd.reducers.variance import inverse_variance, moments_of
from wpsgd.reducers.weights import diagonal, shard, steps, tail, uniform

__all__ = [
    "RULES",
    "TAU_EFFS",
    "THEORY",
    "Combination",
    "Moments",
    "RoundFacts",
    "Rule",
    "SampledModels",
    "Weights",
    "asum",
    "diagonal",
    "effective_nodes",
    "fednova",
    "fednova_with",
    "inverse_variance",
    "late_wp",
    "moments_of",
    "preferred",
    "rule_named",
    "shard",
    "steps",
    "tail",
    "uniform",
    "wp",
    "wp_with",
]

RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "uniform": uniform,
        "wp": wp,
        "steps": steps,
        "shard": shard,
        "fednova": fednova,
        "asum": asum,
        "diagonal": diagonal,
        "tail": tail,
        "inverse_variance": inverse_variance,
    }
)


def rule_named(name: str, *, contraction: str | float = THEORY, tau_eff: str = TAU_EFFS[0]) -> Rule:
    """The rule of that name; `contraction` is that of "wp", `tau_eff` of "fednova".

    Raises ConfigError with the choices.
    """
    if name not in RULES:
        raise ConfigError(f"rule {name!r}: must be one of {', '.join(RULES)}{nearest(name, RULES)}")
    if name == "wp":
        return wp_with(contraction)
    return fednova_with(tau_eff) if name == "fednova" else RULES[name]
