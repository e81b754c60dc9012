"""One case with every rule: nodes that apply given numbers of rows, models combined, the result scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from experiments.rules.grid import ALPHA, COMPARED, Case, dealt, problem
from wpsgd import evaluate
from wpsgd.errors import Diverged
from wpsgd.learners.keeping import learner_for
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Objective, SGDLearner
from wpsgd.reducers import Rule
from wpsgd.requests import Vector
from wpsgd.runtimes.costs import Cluster, RowCost
from wpsgd.runtimes.job import Job
from wpsgd.runtimes.simulated import Simulated
from wpsgd.sample import Sample, draw
from wpsgd.strategies.averaging import Averaging
from wpsgd.strategies.patterns import Given, Looks

LOSS = "hinge"
WHOLE = 1 << 30  # rows of a chunk: given counts have no use for signals


def outcome(case: Case, folder: Path | None) -> list[dict[str, Any]]:
    """A record for each rule: held-out objective and accuracy, objective before and after a line search."""
    return [scored(case, name, rule, folder) for name, rule in COMPARED.items()]


def scored(case: Case, name: str, rule: Rule, folder: Path | None) -> dict[str, Any]:
    """What a rule gives in a case; None where its model is not finite."""
    data = problem(case.data, folder, case.seed)
    record: dict[str, Any] = {field: getattr(case, field) for field in Case.__slots__} | {"rule": name}
    try:
        w = trained(case, rule, folder)
    except Diverged:
        return {**record, "test_objective": None, "accuracy": None, "objective": None, "searched": None}
    assert data.test is not None
    _, searched = evaluate.line_search(w, data.train, loss=LOSS, alpha=ALPHA)
    return {
        **record,
        "test_objective": evaluate.objective(w, data.test, loss=LOSS, alpha=ALPHA),
        "accuracy": evaluate.accuracy(w, data.test),
        "objective": evaluate.objective(w, data.train, loss=LOSS, alpha=ALPHA),
        "searched": searched,
    }


def trained(case: Case, rule: Rule, folder: Path | None) -> Vector:
    """The model of a case with that rule. Raises Diverged."""
    train = problem(case.data, folder, case.seed).train
    shards, counts, objective = dealt(case, train), case.counts(), Objective(LOSS, case.step)
    sizes = tuple(len(shard) for shard in shards)
    program = Averaging(len(counts), Given(counts), rule, case.step, sizes, Looks(0, 1))

    def learner(rank: int) -> SGDLearner:
        held = train.take(shards[rank])
        return make_learner(held, objective, seed=case.seed, rank=rank, kind=learner_for(rule))

    cluster = Cluster((RowCost(1e-6),) * len(shards))
    sample = Sample(draw(train, case.seed), LOSS, ALPHA) if "sample" in rule.needs else None
    return Simulated(cluster, WHOLE).run(Job(program, learner, seed=case.seed, sample=sample)).model
