"""WP-SGD's rule, with the contraction of theory or any other (Cheng, Li, Zhang 2020, section 4.2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from wpsgd.errors import ConfigError, nearest
from wpsgd.reducers.facts import Combination, RoundFacts, Rule, Weights, average
from wpsgd.reducers.validation import preferred

THEORY, VALIDATED = "theory", "validated"
ALLOWED = '"theory", "validated", a power of R such as "R^3", or a number above 0 and at most 1'
LARGEST_POWER = 1e9  # leaves nothing but the nodes without delay
# uniform, eight to the decade around theory (1), and the fastest nodes alone
POWERS = (0.0, *(10.0 ** (eighth / 8.0) for eighth in range(-16, 22)), LARGEST_POWER)


def log_weights(facts: RoundFacts) -> NDArray[np.float64]:
    """log R^Delta_i for any schedule: the contraction that each node missed, in logs.

    The sum over the steps s = a + T_i + 1 .. a + T of log(1 - eta_s lambda).
    """
    last = facts.age + max(facts.counts)
    return np.array([facts.step.log_contraction(facts.age + count, last) for count in facts.counts])


def powered(logs: NDArray[np.float64], power: float) -> Weights:
    """exp(power logs): kappa^Delta_i with log kappa = power log R."""
    if power == 0.0:
        return np.ones(len(logs))
    with np.errstate(over="ignore", invalid="ignore"):
        scaled = np.where(logs == 0.0, 0.0, power * logs)
    weights: Weights = np.exp(scaled)
    return weights


@cache
def wp_with(contraction: str | float) -> Rule:
    """The rule omega_i ~ kappa^Delta_i, in logs and for any schedule.

    contraction: "theory" is kappa = R = 1 - eta lambda, "R^p" its p-th power, a number is kappa itself, which
    under a schedule is to the R of the round's last step as it would be to a constant one. "validated" is the
    power of R, of some 40, whose combination has the smallest F on a sample of rows.
    Raises ConfigError for anything else.
    """
    if contraction == VALIDATED:
        return Rule(_validated, frozenset({"contraction", "sample"}), _candidates)
    power = _power_of(contraction)

    def wp(facts: RoundFacts) -> Combination:
        return average(facts, powered(log_weights(facts), power(facts)))

    return Rule(wp, frozenset({"contraction"}))


def _power_of(contraction: str | float) -> Callable[[RoundFacts], float]:
    if isinstance(contraction, str):
        power = _parsed(contraction)
        return lambda facts: power
    if not 0.0 < contraction <= 1.0:
        raise ConfigError(f"contraction = {contraction}: must be {ALLOWED}")
    log_kappa = math.log(contraction)

    def power_of(facts: RoundFacts) -> float:
        last = facts.age + max(facts.counts)
        log_r = facts.step.log_contraction(last - 1, last)
        # steps too small to contract at all weigh nodes alike, whatever the power
        return log_kappa / log_r if log_r else 0.0

    return power_of


def _parsed(contraction: str) -> float:
    if contraction == THEORY:
        return 1.0
    try:
        power = float(contraction.removeprefix("R^")) if contraction.startswith("R^") else math.nan
    except ValueError:
        power = math.nan
    if 0.0 <= power <= LARGEST_POWER:
        return power
    hint = nearest(contraction, (THEORY, VALIDATED))
    raise ConfigError(f'contraction = "{contraction}": must be {ALLOWED}{hint}')


def _candidates(facts: RoundFacts) -> list[Combination]:
    logs = log_weights(facts)
    return [average(facts, powered(logs, power), power) for power in POWERS]


def _validated(facts: RoundFacts) -> Combination:
    assert facts.sampled is not None
    candidates = _candidates(facts)
    return preferred(candidates, [facts.sampled.objective(one.omega) for one in candidates])


def late_wp(log_r: float) -> Rule:
    """The rule r(tau)^Delta_i for decay that is as late as the gradients.

    log_r: log of the contraction of a step, `theory.log_delayed_contraction`
    """

    def wp(facts: RoundFacts) -> Combination:
        delays = max(facts.counts) - np.array(facts.counts)
        return average(facts, np.exp(log_r * delays))

    return Rule(wp, frozenset({"contraction"}))


wp = wp_with(THEORY)
