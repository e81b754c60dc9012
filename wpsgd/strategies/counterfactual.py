"""What every combination rule would have made of the same node models: the counterfactual table.

Helper coroutines that run off the clock; nobody restarts from what they find. Each model is broadcast once,
and each node takes its margins on the rows that it scores. Margins are linear in the model, and the square of
a combination follows from inner products, so that any number of rules costs no further pass over models.
Combinations that are not linear in the nodes' last iterates are made, and scored as models of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from wpsgd.evaluate import Scorer
from wpsgd.learners.delay import StaleDecayLearner
from wpsgd.learners.keeping import ContributesAverage, KeepsAverage, KeepsSquares
from wpsgd.reducers import RULES, Combination, RoundFacts, Rule, SampledModels, diagonal, tail, wp_with
from wpsgd.reducers.contraction import VALIDATED
from wpsgd.requests import AllGather, AllReduce, Broadcast, Node, Vector
from wpsgd.strategies.combining import by_coordinate, squares_of
from wpsgd.strategies.gram import gram_of
from wpsgd.strategies.line_search import Line, lowest

AS_RUN = "as run"  # the combination that the run goes on from, whatever became of it besides
CANDIDATES: Mapping[str, Rule] = {**RULES, "wp, validated": wp_with(VALIDATED)}


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """Models on this node's part of the rows: x0, those of all nodes, and those that stand alone.

    train, test: margins, float64 of shape (1 + k + alone, n); fixed: intercepts; gram: inner products of the
    first 1 + k without them; squares: of the others; sampled: of the nodes' on the sample, or None
    """

    train: NDArray[np.float64]
    test: NDArray[np.float64]
    fixed: NDArray[np.float64]
    gram: NDArray[np.float64]
    squares: NDArray[np.float64]
    sampled: SampledModels | None


async def counterfactual(
    node: Node, facts: RoundFacts, x0: Vector, v: Vector, round: float, chosen: Combination
) -> None:
    """Reports F, F after a line search, accuracy and effective nodes of every rule, a rule an event.

    Rules are asked about the nodes' last iterates, `tail` about averages of them, whatever the run combines.
    x0: the model that the round started from; v: its combination `chosen`, which may lie in the buffer that
    models are contributed in; round: rounds complete, a fraction inside one
    """
    if node.scorer is None or not any(facts.counts):
        return
    kept = v.copy()
    reasons = {name: left_out(rule, node, facts) for name, rule in CANDIDATES.items()}
    mine = iterate_of(node).copy()
    alone = {AS_RUN: (kept, chosen)}
    if not reasons["diagonal"]:
        alone["diagonal"] = await combined_by_coordinate(node, facts, mine)
    if not reasons["tail"]:
        alone["tail"] = await combined_averages(node, facts)
    v[:] = kept
    models = await gathered(node, node.scorer, mine, x0, [model for model, _ in alone.values()])
    facts = replace(facts, sampled=models.sampled)
    linear = {name: CANDIDATES[name](facts) for name, why in reasons.items() if not why and name not in alone}
    asked = {name: combination for name, (_, combination) in alone.items()} | linear
    weights = np.array([(one.start, *one.omega) for one in linear.values()])
    scores = await scored(node, node.scorer, models, weights)
    if node.rank == node.ranks[0]:
        rows = facts.age + max(facts.counts)
        found = dict(zip(asked, scores, strict=True))
        for name in (AS_RUN, *(name for name in CANDIDATES if name in found)):
            nodes = asked[name].effective_nodes
            told = {**found[name], "effective_nodes": nodes}
            node.report("counterfactual", round=round, rows=rows, rule=name, **told)
        for name, why in reasons.items():
            if why:
                node.report("counterfactual", round=round, rows=rows, rule=name, left_out=why)


def left_out(rule: Rule, node: Node, facts: RoundFacts) -> str:
    """Why a rule cannot be asked about the models that are there, else an empty string."""
    learner = node.learner
    if "squares" in rule.needs and not isinstance(learner, KeepsSquares):
        return "needs squared gradients, which only plain learners keep, under virtual clocks"
    if {"contraction", "average"} & rule.needs and facts.step.schedule == "adagrad":
        return "needs one step size for all coordinates"
    if "average" in rule.needs and not isinstance(learner, KeepsAverage):
        return "needs averages of each node's iterates, which only plain learners keep, under virtual clocks"
    if "moments" in rule.needs and isinstance(learner, ContributesAverage):
        return "needs the spread of iterates in the round before, which combined averages"
    if "sample" in rule.needs and node.sample is None:
        return "needs a sample of rows"
    if "contraction" in rule.needs and isinstance(learner, StaleDecayLearner):
        return "knows the contraction of fresh decay only"
    return ""


def iterate_of(node: Node) -> Vector:
    """This node's last iterate, in the buffer that models are contributed in."""
    learner = node.learner
    return learner.iterate() if isinstance(learner, KeepsAverage) else learner.contribution()


async def combined_by_coordinate(node: Node, facts: RoundFacts, mine: Vector) -> tuple[Vector, Combination]:
    """The model of the rule `diagonal`, and its weights over all coordinates."""
    totals = await AllGather(float(squares_of(node).sum()))
    combination = diagonal(replace(facts, squares=tuple(totals.values())))
    counts = dict(zip(node.ranks, facts.counts, strict=True))
    model = mine.copy()
    await by_coordinate(node, model, counts)
    return model, combination


async def combined_averages(node: Node, facts: RoundFacts) -> tuple[Vector, Combination]:
    """The model of the rule `tail`, and its weights."""
    assert isinstance(node.learner, KeepsAverage)
    model, combination = node.learner.average().copy(), tail(facts)
    await AllReduce(model, weight=float(combination.omega[node.ranks.index(node.rank)]))
    return model, combination


async def gathered(node: Node, scorer: Scorer, mine: Vector, x0: Vector, alone: Iterable[Vector]) -> Models:
    """All models on this node's part of the rows. mine: this node's; alone: what all hold, as x0"""
    margins: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    sampled: list[NDArray[np.float64]] = []
    fixed: list[float] = []
    features = scorer.train.features

    def score(model: Vector) -> float:
        margins.append(scorer.margins(model))
        fixed.append(float(model[features]) if len(model) > features else 0.0)
        return product(model[:features], x0[:features])

    with_x0 = [score(x0)]
    buffer = np.empty_like(mine)
    for root in node.ranks:
        buffer[:] = mine
        await Broadcast(buffer, root=root)
        with_x0.append(score(buffer))
        if node.sample is not None:
            sampled.append(node.sample.margins(buffer))
    squares = []
    for model in alone:
        score(model)
        squares.append(product(model[:features], model[:features]))
    gram = np.empty((len(with_x0), len(with_x0)))
    gram[1:, 1:] = await gram_of(node, mine[:features])
    gram[0] = gram[:, 0] = with_x0
    known = None
    if node.sample is not None:
        known = SampledModels(node.sample, np.array(sampled), gram[1:, 1:])
    train, test = (np.array(parts) for parts in zip(*margins, strict=True))
    return Models(train, test, np.array(fixed), gram, np.array(squares), known)


def product(one: Vector, other: Vector) -> float:
    """<one, other>, added up in float64."""
    # not np.dot: the threads that a BLAS wakes for it go on spinning, next to ranks that work
    with np.errstate(over="ignore", invalid="ignore"):  # of models on their way out of range
        return float(np.einsum("i,i->", one, other, dtype=np.float64))


async def scored(
    node: Node, scorer: Scorer, models: Models, weights: NDArray[np.float64]
) -> list[dict[str, float | None]]:
    """Of each model that stands alone and of each combination, a row of `weights`, what is reported of it."""

    def all_of(parts: NDArray[np.float64]) -> NDArray[np.float64]:
        first = weights.shape[1]  # one that stands alone, and may not be finite, is no part of combinations
        return np.concatenate((parts[first:], np.einsum("ri,i...->r...", weights, parts[:first])))

    with np.errstate(over="ignore", invalid="ignore"):
        combined = np.einsum("ri,ij,rj->r", weights, models.gram, weights)
        squares = 0.5 * scorer.alpha * np.concatenate((models.squares, combined))
        # nodes that round differently would score different combinations, and at different lengths
        for agreed in (weights.reshape(-1), squares):
            await Broadcast(agreed, root=node.ranks[0])
        train, test, fixed = map(all_of, (models.train, models.test, models.fixed))
    sums = np.array([scorer.sums(m, t) for m, t in zip(train, test, strict=True)])
    await AllReduce(sums.reshape(-1))
    along = fixed[:, np.newaxis]
    along = along * scorer.train.labels if models.fixed.any() else along
    found = await lowest(Line(scorer, train, along, squares))
    answers: list[dict[str, float | None]] = []
    for square, part, (length, best) in zip(squares, sums, found, strict=True):
        score = scorer.score(float(square), part)
        told = {"line_search_factor": length, "objective_after_line_search": min(best, score.objective)}
        answers.append({**score.fields(), **told})
    return answers
