"""What learners keep for a rule where gradients are late or threads share weights, against dense twins."""

from __future__ import annotations

from typing import Any

import naive
import naive_delay
import numpy as np
import pytest
import support
from support import averaging, simulated
from test_rule_learners import average_of_iterates
from test_rule_learners import rows as some_rows
from test_threaded_learner import strangers

from wpsgd import evaluate
from wpsgd.data.rows import Rows
from wpsgd.kernels.stepsize import StepSize
from wpsgd.kernels.tail import share_left
from wpsgd.learners import late_keeping
from wpsgd.learners.keeping import KeepsSquares, SquaresLearner, TailLearner, learner_for, unfit
from wpsgd.learners.node import InNode, make_learner
from wpsgd.learners.sgd import Objective, SGDLearner
from wpsgd.reducers import RULES
from wpsgd.runtimes.job import Job
from wpsgd.strategies.patterns import ByRows

FRESH = [
    StepSize("constant", 1e-3, 0.5),
    StepSize("constant", 0.05, 1.9),  # scales are folded every few steps
    StepSize("pegasos", 1e-2),
]
LATE = [InNode(delay=5), InNode(delay=3, range_check=True)]
STALE = InNode(delay=4, stale_decay=True)
INSIDE = [*LATE, STALE, InNode(threads=2)]


def learner(
    kind: type[SGDLearner], inside: InNode, step: StepSize, data: Rows, loss: str = "hinge", bias: bool = True
) -> Any:
    objective = Objective(loss, step, 0.25, bias)
    return make_learner(data, objective, inside, seed=1, rank=0, kind=kind)


@pytest.mark.parametrize("step", FRESH, ids=str)
@pytest.mark.parametrize("inside", [*LATE, STALE], ids=repr)
@pytest.mark.parametrize("count", [1, 400])
def test_the_average_is_that_of_the_late_iterates(inside: InNode, step: StepSize, count: int) -> None:
    data, bias = some_rows(weighted=True), not inside.range_check
    if inside is STALE or inside.range_check:
        step = FRESH[0]  # late decay and range checks are not for steps as long as the others
    expected = average_of_iterates(learner(SGDLearner, inside, step, data, bias=bias), count)
    averaging = learner(TailLearner, inside, step, data, bias=bias)
    for part in (count // 3, count - count // 3):
        averaging.advance(part)
    np.testing.assert_allclose(averaging.contribution(), expected, rtol=1e-9, atol=1e-11)
    averaging.commit(averaging.contribution(), averaging.steps)
    assert averaging.contribution().tobytes() == averaging.weights.tobytes()


@pytest.mark.parametrize("loss", ["hinge", "log_loss"])
@pytest.mark.parametrize("inside", [InNode(delay=5), STALE], ids=repr)
def test_squared_gradients_are_those_of_late_margins(inside: InNode, loss: str) -> None:
    data, step, count = some_rows(weighted=True), FRESH[0], 200
    keeping = learner(SquaresLearner, inside, step, data, loss)
    order = np.concatenate([*learner(SGDLearner, inside, step, data).order.take(count)])
    dense, expected = naive.dense(data), np.zeros(41)
    past = naive_delay.delay_sgd(
        dense,
        order,
        np.full(count, 0.5),
        np.full(40, 0.25),
        inside.delay,
        loss=loss,
        alpha=1e-3,
        intercept=True,
        stale_decay=inside.stale_decay,
    )
    for i, m in zip(order, past.margins, strict=True):
        expected += (dense.s[i] * naive.slope_at(loss, m) * np.append(dense.x[i], 1.0)) ** 2
    keeping.advance(count)
    assert isinstance(keeping, KeepsSquares)
    np.testing.assert_allclose(keeping.squares(), expected, rtol=1e-9)
    keeping.commit(keeping.contribution(), keeping.steps)
    assert not keeping.squares().any()


@pytest.mark.parametrize("inside", INSIDE, ids=repr)
@pytest.mark.parametrize("kind", [TailLearner, SquaresLearner])
def test_keeping_more_leaves_late_iterates_their_bits(kind: type[SGDLearner], inside: InNode) -> None:
    data = strangers(300)  # threads repeat to the bit where rows share no feature
    plain, keeping = (learner(each, inside, FRESH[0], data, bias=False) for each in (SGDLearner, kind))
    for count in (1, 40, 400):
        plain.advance(count)
        keeping.advance(count)
    plain.commit(plain.contribution(), plain.steps)
    if kind is SquaresLearner:
        assert keeping.contribution().tobytes() == plain.weights.tobytes()
    else:
        weights = type(plain).contribution(keeping)
        assert weights.tobytes() == plain.weights.tobytes()


# threads


@pytest.mark.parametrize("step", FRESH, ids=str)
@pytest.mark.parametrize("threads", [2, 3])
def test_squares_of_threads_add_up_to_those_of_one(threads: int, step: StepSize) -> None:
    data = strangers(400)
    one, many = (
        learner(SquaresLearner, InNode(threads=count), step, data, "log_loss", bias=False)
        for count in (1, threads)
    )
    for count in (1, 90, 600):
        one.advance(count)
        many.advance(count)
    np.testing.assert_allclose(many.squares(), one.squares(), rtol=1e-12)
    assert one.squares().all()
    many.commit(many.contribution(), many.steps)
    assert not many.squares().any()


@pytest.mark.parametrize("step", FRESH, ids=str)
@pytest.mark.parametrize("count", [1, 31, 700])
def test_an_average_of_threads_is_that_of_the_weights_where_they_met(step: StepSize, count: int) -> None:
    data = strangers(300)
    plain = learner(SGDLearner, InNode(), step, data, bias=False)
    threads = learner(TailLearner, InNode(threads=2), step, data, bias=False)
    met: list[int] = []
    before, done = threads._met, 0

    def meeting(rows: int) -> None:
        before(rows)
        met.append(rows)

    threads._met = meeting
    threads.advance(count)
    gathered, expected = 0, np.zeros(data.features)
    for rows in met:
        # each iterate of a stretch is the last of it, once enough rows are between two
        done += rows
        plain.advance(rows)
        model = plain.contribution()
        found = expected.copy()
        for t in range(gathered + 1, done + 1):
            found += 4.0 / (t + 3.0) * (model - found)
        if done - gathered >= max(32, data.features // 3, gathered // 32):
            gathered, expected = done, found
    assert done == count
    np.testing.assert_allclose(threads.contribution(), found, rtol=1e-9, atol=1e-12)


def test_an_average_of_meetings_after_every_row_is_that_of_the_iterates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(late_keeping.ThreadedTailLearner, "_spacing", 1)
    data = some_rows(weighted=True)  # alone in its chunk, no row can be lost
    expected = average_of_iterates(learner(SGDLearner, InNode(), FRESH[1], data), 500)
    threads = learner(TailLearner, InNode(threads=2), FRESH[1], data)
    threads.advance(500)
    np.testing.assert_allclose(threads.contribution(), expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("before", "after"), [(0, 1), (0, 7), (1, 2), (3, 90), (500, 517)])
def test_what_is_left_of_an_average_is_a_product(before: int, after: int) -> None:
    left = np.prod([1.0 - 4.0 / (t + 3.0) for t in range(before + 1, after + 1)])
    assert share_left(before, after) == pytest.approx(left, rel=1e-12, abs=1e-15)


# in rounds


@pytest.mark.parametrize("inside", INSIDE, ids=repr)
@pytest.mark.parametrize("rule", ["tail", "diagonal"])
def test_rules_that_keep_more_come_as_far_as_steps_with_any_node(rule: str, inside: InNode) -> None:
    step, ends = StepSize("constant", 1e-3, 0.2), {}
    for name in (rule, "steps"):
        kind, found = learner_for(RULES[name]), support.rows()
        objective = Objective("hinge", step)
        parts = [found[:300], found[300:]]
        made = [make_learner(p, objective, inside, seed=2, rank=r, kind=kind) for r, p in enumerate(parts)]
        assert all(unfit(RULES[name], one) == "" for one in made)
        program = averaging(2, ByRows(300), name, step, rounds=5)
        model = simulated(2).run(Job(program, made.__getitem__)).model
        ends[name] = evaluate.objective(model, found, loss="hinge", alpha=1e-3)
    assert ends[rule] == pytest.approx(ends["steps"], rel=0.25)
    assert ends[rule] < 0.6
