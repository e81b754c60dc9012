"""Rules whose weights follow from row counts alone (DESIGN.md, "The mathematics", 4)."""

from __future__ import annotations

import numpy as np

from wpsgd.reducers.facts import Combination, RoundFacts, average, needing


@needing()
def uniform(facts: RoundFacts) -> Combination:
    """1/k (Zinkevich, Weimer, Smola, Li 2010)."""
    return average(facts, np.ones(len(facts.counts)))


@needing()
def steps(facts: RoundFacts) -> Combination:
    """T_i / sum T_j: weighting by work done."""
    return average(facts, np.array(facts.counts, dtype=np.float64))


@needing()
def shard(facts: RoundFacts) -> Combination:
    """n_i / n (FedAvg: McMahan, Moore, Ramage, Hampson, Agüera y Arcas 2017)."""
    return average(facts, np.array(facts.shards, dtype=np.float64))


@needing("contraction", "average")
def tail(facts: RoundFacts) -> Combination:
    """`steps` of models that are averages of each node's own iterates (Shamir, Zhang 2013).

    The averages are kept by learners/keeping.py.
    """
    return average(facts, np.array(facts.counts, dtype=np.float64))


@needing("squares")
def diagonal(facts: RoundFacts) -> Combination:
    """What a node's model counts for over all coordinates: its share of the squared gradients.

    The models themselves are combined coordinate by coordinate, v_j = sum_i G_ij w_ij / sum_i G_ij
    (Vowpal Wabbit's allreduce: Agarwal, Chapelle, Dudík, Langford 2014, section 3).
    """
    assert facts.squares is not None
    return average(facts, np.array(facts.squares))
