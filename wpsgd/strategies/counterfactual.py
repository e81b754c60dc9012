"""What every combination rule would have made of the same node models: the counterfactual table.

Helper coroutines that run off the clock; nobody restarts from what they find. Each model is broadcast once,
and each node takes its margins on the rows that it scores. Margins are linear in the model, and the square of
a combination follows from inner products, so that any number of rules costs no further pass over models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wpsgd.evaluate import Scorer
from wpsgd.learners.delay import StaleDecayLearner
from wpsgd.reducers import RULES, Combination, RoundFacts, Rule, SampledModels, wp_with
from wpsgd.reducers.contraction import VALIDATED
from wpsgd.requests import AllReduce, Broadcast, Node, Vector
from wpsgd.strategies.gram import gram_of
from wpsgd.strategies.line_search import Line, lowest

AS_RUN = "as run"  # the combination that the run goes on from, whatever became of it besides
CANDIDATES: Mapping[str, Rule] = {**RULES, "wp, validated": wp_with(VALIDATED)}


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """The models of a round on this node's part of the rows: x0, those of all nodes, the combination.

    train, test: margins, float64 of shape (k + 2, n); fixed: intercepts; gram: inner products without them
    sampled: margins on the sample, or None
    """

    train: NDArray[np.float64]
    test: NDArray[np.float64]
    fixed: NDArray[np.float64]
    gram: NDArray[np.float64]
    sampled: SampledModels | None


async def counterfactual(
    node: Node, facts: RoundFacts, x0: Vector, v: Vector, round: float, chosen: Combination
) -> None:
    """Reports F, F after a line search, accuracy and effective nodes of every rule, a rule an event.

    x0: the model that the round started from; v: its combination `chosen`, which may lie in the buffer that
    models are contributed in; round: rounds complete, a fraction inside one
    """
    if node.scorer is None or not any(facts.counts):
        return
    models = await gathered(node, node.scorer, x0, v)
    reasons = {name: left_out(rule, node, facts) for name, rule in CANDIDATES.items()}
    asked = {name: CANDIDATES[name](facts_with(facts, models)) for name, why in reasons.items() if not why}
    names, effective = [AS_RUN, *asked], [chosen, *asked.values()]
    weights = np.zeros((len(names), len(facts.counts) + 2))
    weights[0, -1] = 1.0
    for number, combination in enumerate(asked.values(), 1):
        weights[number] = combination.start, *combination.omega, 0.0
    scores = await scored(node, node.scorer, models, weights)
    if node.rank == node.ranks[0]:
        rows = facts.age + max(facts.counts)
        for name, combination, score in zip(names, effective, scores, strict=True):
            nodes = combination.effective_nodes
            node.report("counterfactual", round=round, rows=rows, rule=name, **score, effective_nodes=nodes)
        for name, why in reasons.items():
            if why:
                node.report("counterfactual", round=round, rows=rows, rule=name, left_out=why)


def left_out(rule: Rule, node: Node, facts: RoundFacts) -> str:
    """Why a rule cannot be asked about the models that are there, else an empty string."""
    if "squares" in rule.needs:
        return "needs squared gradients and combines each coordinate by itself"
    if "average" in rule.needs:
        return "needs averages of each node's iterates, which are other models"
    if "moments" in rule.needs:
        return "needs the moments of the round before"
    if "sample" in rule.needs and node.sample is None:
        return "needs a sample of rows"
    if "contraction" in rule.needs and facts.step.schedule == "adagrad":
        return "needs one step size for all coordinates"
    if "contraction" in rule.needs and isinstance(node.learner, StaleDecayLearner):
        return "knows the contraction of fresh decay only"
    return ""


def facts_with(facts: RoundFacts, models: Models) -> RoundFacts:
    """The facts of a round with the models on the sample."""
    step, shards = facts.step, facts.shards
    return RoundFacts(facts.counts, facts.age, step, shards, sampled=models.sampled)


async def gathered(node: Node, scorer: Scorer, x0: Vector, v: Vector) -> Models:
    """All models on this node's part of the rows; v keeps its bits."""
    kept = v.copy()
    mine = node.learner.contribution().copy()
    v[:] = kept
    train: list[NDArray[np.float64]] = []
    test: list[NDArray[np.float64]] = []
    sampled: list[NDArray[np.float64]] = []
    fixed: list[float] = []
    features = scorer.train.features
    buffer = np.empty_like(mine)
    products = np.zeros((len(node.ranks) + 2, 2))
    for number, root in enumerate((None, *node.ranks, None)):
        buffer[:] = x0 if number == 0 else kept if root is None else mine
        if root is not None:
            await Broadcast(buffer, root=root)
        for margins, part in zip((train, test), scorer.margins(buffer), strict=True):
            margins.append(part)
        fixed.append(float(buffer[features]) if len(buffer) > features else 0.0)
        if node.sample is not None and root is not None:
            sampled.append(node.sample.margins(buffer))
        # not np.dot: the threads that a BLAS wakes for it go on spinning, next to ranks that work
        for column, end in enumerate((x0, kept)):
            products[number, column] = product(buffer[:features], end[:features])
    gram = await bordered(node, mine[:features], products)
    known = None
    if node.sample is not None:
        known = SampledModels(node.sample, np.array(sampled), gram[1:-1, 1:-1])
    return Models(np.array(train), np.array(test), np.array(fixed), gram, known)


async def bordered(node: Node, mine: Vector, products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inner products of x0, all nodes' models and v, from those of all with x0 and with v."""
    gram = np.empty((len(products), len(products)))
    gram[1:-1, 1:-1] = await gram_of(node, mine)
    gram[:, 0], gram[:, -1] = products.T
    gram[0], gram[-1] = products.T
    return gram


def product(one: Vector, other: Vector) -> float:
    """<one, other>, added up in float64."""
    with np.errstate(over="ignore", invalid="ignore"):  # of models on their way out of range
        return float(np.einsum("i,i->", one, other, dtype=np.float64))


async def scored(
    node: Node, scorer: Scorer, models: Models, weights: NDArray[np.float64]
) -> list[dict[str, float | None]]:
    """Of each combination, a row of `weights`, what is reported of it."""
    with np.errstate(over="ignore", invalid="ignore"):
        squares = 0.5 * scorer.alpha * np.einsum("ri,ij,rj->r", weights, models.gram, weights)
        # nodes that round differently would score different combinations, and at different lengths
        for agreed in (weights.reshape(-1), squares):
            await Broadcast(agreed, root=node.ranks[0])
        train, test = (np.einsum("ri,in->rn", weights, part) for part in (models.train, models.test))
    sums = np.array([scorer.sums(m, t) for m, t in zip(train, test, strict=True)])
    await AllReduce(sums.reshape(-1))
    fixed = np.einsum("ri,i->r", weights, models.fixed)[:, np.newaxis]
    along = fixed * scorer.train.labels if models.fixed.any() else fixed
    found = await lowest(Line(scorer, train, along, squares))
    answers: list[dict[str, float | None]] = []
    for square, part, (length, best) in zip(squares, sums, found, strict=True):
        score = scorer.score(float(square), part)
        told = {"line_search_factor": length, "objective_after_line_search": min(best, score.objective)}
        answers.append({**score.fields(), **told})
    return answers
