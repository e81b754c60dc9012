"""What a combination rule may look at, and what it gives: how the models of a round become one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from wpsgd.kernels.stepsize import StepSize

if TYPE_CHECKING:
    from wpsgd.reducers.validation import SampledModels

Weights: TypeAlias = NDArray[np.float64]
# contraction: a scalar one, which adagrad has not; start: the model that the round started from; moments: of
# the round before; sample: the models' margins on rows that all nodes hold; average: of each node's iterates;
# squares: of each node's gradients, coordinate by coordinate
Need: TypeAlias = Literal["contraction", "start", "moments", "sample", "average", "squares"]


class Moments(NamedTuple):
    """How far a round moved the model, and how noisy the models of its nodes were.

    moved: D2 = ||x0 - v||^2; noise: v, such that v / T_i is the squared spread of a model of T_i rows
    """

    moved: float
    noise: float


@dataclass(frozen=True, slots=True, eq=False)
class RoundFacts:
    """What a rule may look at when a round ends.

    counts: rows T_i each node applied; age: steps a of the model that the round started from
    step: the step sizes; shards: rows n_i each node holds
    The rest only for rules that need it. moments: of the round before, None in the first; squares: of each
    node, its squared gradients added up; sampled: the models on a sample of rows
    """

    counts: tuple[int, ...]
    age: int
    step: StepSize
    shards: tuple[int, ...]
    moments: Moments | None = None
    squares: tuple[float, ...] | None = None
    sampled: SampledModels | None = None

    @property
    def active(self) -> NDArray[np.bool_]:
        """Which nodes applied rows."""
        return np.array(self.counts) > 0


@dataclass(frozen=True, slots=True, eq=False)
class Combination:
    """v = start x0 + sum_i omega_i w_i, with x0 the model that the round started from.

    omega: float64 of shape (k,); power: of R in the weights of the rule `wp` where it was validated
    """

    omega: Weights
    start: float = 0.0
    power: float | None = None

    @property
    def effective_nodes(self) -> float:
        """1 / sum omega_i^2: how many equally weighted nodes would average as much noise away."""
        return effective_nodes(self.omega)


@dataclass(frozen=True, slots=True)
class Rule:
    """A line of the table of rules: a pure function of a round's facts, and what it needs beside counts.

    candidates: what it takes the `preferred` of, by F on the sample (validation.py), or None; a run, whose
    nodes share that work, gives `sampled` to no rule but asks for these
    """

    combination: Callable[[RoundFacts], Combination]
    needs: frozenset[Need] = frozenset()
    candidates: Callable[[RoundFacts], list[Combination]] | None = None

    def __call__(self, facts: RoundFacts) -> Combination:
        """How the models become one.

        A node that applied no row has weight 0. Where none has, all still hold the start model, and the
        first node speaks for all: v = x0 to the bit.
        """
        if not any(facts.counts):
            return Combination(np.eye(1, len(facts.counts)).ravel())
        return self.combination(facts)


def needing(*needs: Need) -> Callable[[Callable[[RoundFacts], Combination]], Rule]:
    """Makes a rule of a function of facts."""
    return lambda combination: Rule(combination, frozenset(needs))


def average(facts: RoundFacts, weights: Weights, power: float | None = None) -> Combination:
    """The mean of the models of active nodes with weights in these proportions, all alike where all are 0."""
    omega: Weights = np.where(facts.active, weights, 0.0)
    if not omega.any():
        omega = facts.active.astype(np.float64)
    return Combination(omega / float(omega.sum()), power=power)


def moved(facts: RoundFacts, factors: Weights) -> Combination:
    """x0 + sum_i factors_i (w_i - x0) over the active nodes."""
    omega: Weights = np.where(facts.active, factors, 0.0)
    return Combination(omega, 1.0 - float(omega.sum()))


def effective_nodes(omega: Weights) -> float:
    """1 / sum omega_i^2."""
    return float(1.0 / np.square(omega).sum())
