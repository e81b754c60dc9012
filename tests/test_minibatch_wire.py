"""Mini-batches whose gradients go as pairs: the bits of those that go dense, and fewer bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import naive
import numpy as np
import pytest
import support
from support import OPTIMAL, ROUNDS, simulated
from test_wire import FEATURES, FOLDING, PEGASOS, PLAIN, total_bytes, wide

from wpsgd.errors import ConfigError
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.keeping import TailLearner
from wpsgd.learners.node import InNode, make_learner
from wpsgd.learners.sgd import Objective, SGDLearner
from wpsgd.runtimes.costs import Link
from wpsgd.runtimes.job import Job, Outcome, Runtime
from wpsgd.runtimes.local import Local
from wpsgd.strategies.minibatch import MiniBatch, pairs_pay
from wpsgd.strategies.patterns import Looks
from wpsgd.strategies.sequential import Sequential
from wpsgd.strategies.wire import Wire

BATCHES = (3, 9, 1, 5)
some_rows = cache(wide)
# what ranks run too
GRADIENTS: dict[str, dict[str, Any]] = {
    "gradients, folding, float32": {"step": FOLDING, "dtype": "float32"},
    "gradients, weighted, with an intercept": {"loss": "log_loss", "weighted": True, "intercept": True},
    "gradients, a node without rows, and threads": {"inside": InNode(threads=2), "empty": (1,)},
}


def stepped(
    ranks: int,
    wire: Wire,
    *,
    batches: Sequence[int] = BATCHES,
    updates: int = 12,
    step: StepSize = OPTIMAL,
    loss: str = "hinge",
    dtype: str = "float64",
    weighted: bool = False,
    intercept: bool = False,
    inside: InNode = PLAIN,
    empty: Sequence[int] = (),
    nonzeros: float = 8.0,
    looks: int = 0,
    **settings: Any,
) -> Job:
    """Mini-batches on rows of a model that is too wide for them."""
    rows, shards = some_rows(dtype, nonzeros), support.shards(ranks, empty)
    if weighted:
        rows = replace(rows, weights=np.random.default_rng(2).uniform(0.2, 3.0, 600).astype(dtype))
    objective = Objective(loss, step, w0=-0.25, intercept=intercept)

    def learner(rank: int) -> SGDLearner:
        return make_learner(rows.take(shards[rank]), objective, inside, seed=7, rank=rank)

    seen = Looks(looks, ROUNDS)
    return Job(MiniBatch(ROUNDS, updates, tuple(batches[:ranks]), seen, wire), learner, **settings)


def same(ranks: int, runtime: Runtime, **settings: Any) -> None:
    dense = simulated(ranks).run(stepped(ranks, "dense", **settings))
    sparse = runtime.run(stepped(ranks, "sparse", **settings))
    assert np.isfinite(dense.model).all()
    assert {bits(outcome, rank) for outcome in (dense, sparse) for rank in range(ranks)} == {bits(dense)}
    assert sparse.model.dtype == dense.model.dtype
    assert total_bytes(sparse) < total_bytes(dense) / 5


def bits(outcome: Outcome, rank: int = 0) -> bytes:
    weights = outcome.states[rank].shared["weights"]
    assert isinstance(weights, np.ndarray)
    return weights.tobytes()


# the same bits


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("loss", naive.LOSSES)
def test_gradients_by_pairs_have_the_bits_of_dense_ones_under_every_loss(loss: str, dtype: str) -> None:
    same(4, simulated(4), loss=loss, dtype=dtype, weighted=True, intercept=True)


@pytest.mark.parametrize("runtime", [simulated(3), Local(3)], ids=repr)
@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients_by_pairs_have_the_bits_of_dense_ones_everywhere(case: str, runtime: Runtime) -> None:
    same(3, runtime, **GRADIENTS[case])


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("step", [FOLDING, PEGASOS], ids=["small scales", "a wiped start"])
def test_scales_are_multiplied_in_alike(step: StepSize, ranks: int) -> None:
    same(ranks, simulated(ranks), step=step, updates=60)


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_give_the_pairs_of_one(threads: int) -> None:
    same(2, simulated(2), inside=InNode(threads=threads), loss="log_loss", intercept=True)


def test_a_run_goes_on_with_another_wire(tmp_path: Path) -> None:
    ways: list[Wire] = ["sparse", "dense", "auto"]
    whole = simulated(3).run(stepped(3, "dense", intercept=True))
    for first, then in zip(ways, ways[1:] + ways[:1], strict=True):
        folder = tmp_path / first
        half = stepped(3, first, intercept=True, keeper=support.keeper(folder, stop_after=2))
        assert simulated(3).run(half).states[0].round == 2
        rest = simulated(3).run(stepped(3, then, intercept=True, state=support.resumed(folder)))
        assert bits(rest) == bits(whole), (first, then)


@pytest.mark.parametrize("step", [OPTIMAL, FOLDING], ids=lambda step: step.schedule)
def test_batches_of_one_row_on_one_node_have_the_bits_of_sequential_sgd(step: StepSize) -> None:
    # of hinge: a pull of 1 is multiplied in without rounding, wherever it is
    for wire in ("dense", "sparse"):
        made = stepped(1, wire, batches=(1,), updates=90, step=step)
        sequential = replace(made, program=Sequential(ROUNDS, 90, Looks(0, ROUNDS)))
        assert bits(simulated(1).run(made)) == bits(simulated(1).run(sequential))


# what a step goes through


def test_a_step_by_pairs_goes_through_the_columns_of_its_rows_alone() -> None:
    learner = stepped(1, "sparse", loss="log_loss", intercept=True).learner(0)
    assert isinstance(learner, SGDLearner)
    touched: set[int] = set()
    for _ in range(5):
        taken: list[Any] = []
        learner.order.tell(taken)
        learner.accumulate(4)
        places, values = learner.pairs()
        columns = {*learner.shard.take(np.concatenate(taken)).indices.tolist()}
        assert sorted(places) == [*sorted(columns), FEATURES, FEATURES + 1]
        assert values[-1] == 4.0
        learner.descend_at([places, places[-2:]], [values, np.zeros(2)])
        touched |= columns
    # the scale apart, what no row touched is as it was, and no gradient is left behind
    changed = {*np.flatnonzero(learner.weights[:FEATURES] != -0.25).tolist()}
    assert changed == touched
    assert len(touched) < FEATURES / 20
    assert not learner.gradient().any()
    model = learner.contribution()[:FEATURES]
    decay = np.prod(1.0 - OPTIMAL.etas(0, 5) * OPTIMAL.alpha)
    np.testing.assert_allclose(np.delete(model, [*touched]), -0.25 * decay, rtol=1e-12)


def test_pairs_that_are_put_back_are_the_gradient_they_were() -> None:
    for inside in (PLAIN, InNode(threads=3)):
        learner, other = (stepped(1, "auto", inside=inside).learner(0) for _ in range(2))
        assert isinstance(learner, SGDLearner)
        for each in (learner, other):
            each.accumulate(7)
        learner.put_back(*learner.pairs())
        assert learner.gradient().tobytes() == other.gradient().tobytes()
        assert np.count_nonzero(other.gradient()) > 2


# fewer bytes


def test_nodes_are_charged_for_their_own_pairs_and_wait_for_those_of_all_others() -> None:
    job = stepped(3, "sparse", loss="log_loss", empty=(2,))
    outcome = simulated(3, link=Link(bandwidth=1e6)).run(job)
    totals = support.of_kind(outcome, "totals")
    pairs = []
    for rank in range(3):
        learner, columns = job.learner(rank), 0
        assert isinstance(learner, SGDLearner)
        for _ in range(12 * ROUNDS if learner.rows else 0):
            taken = np.concatenate([*learner.order.take(BATCHES[rank])])
            columns += len({*learner.shard.take(taken).indices.tolist()})
        pairs.append(columns + 2 * 12 * ROUNDS)
    verdicts = ROUNDS
    assert [total["bytes"] for total in totals] == [12 * count + verdicts for count in pairs]
    for total in totals:
        assert total["communication"] == pytest.approx(2 * 12 * np.mean(pairs) / 1e6, rel=0.01)


@pytest.mark.parametrize(("batch", "nonzeros", "pairs"), [(2, 8.0, True), (200, 100.0, False)])
def test_auto_takes_what_takes_less_time(batch: int, nonzeros: float, pairs: bool) -> None:
    more: dict[str, Any] = {"batches": (batch,) * 3, "nonzeros": nonzeros, "loss": "log_loss"}
    auto, dense, sparse = (
        simulated(3, link=Link(bandwidth=1e6)).run(stepped(3, wire, **more))
        for wire in ("auto", "dense", "sparse")
    )
    assert bits(auto) == bits(dense) == bits(sparse)
    asked = total_bytes(auto) - total_bytes(sparse if pairs else dense)
    assert 0 < asked < 20 * 3 * ROUNDS  # a number a round, not a step
    assert (seconds_sending(sparse) < seconds_sending(dense)) is pairs


def seconds_sending(outcome: Outcome) -> float:
    return sum(event["communication"] for event in support.of_kind(outcome, "totals"))


def test_one_node_alone_takes_pairs_where_they_are_few() -> None:
    auto, dense = (simulated(1).run(stepped(1, wire)) for wire in ("auto", "dense"))
    assert bits(auto) == bits(dense)
    assert total_bytes(auto) < total_bytes(dense) / 5


def test_pairs_pay_below_two_gradients_of_bytes() -> None:
    assert pairs_pay(1333, 1000)  # 12 bytes each, and 2 x 8 a coordinate
    assert not pairs_pay(1334, 1000)


# what cannot


def test_learners_that_tell_no_pairs_are_refused_and_go_dense_by_themselves() -> None:
    made = {wire: stepped(2, wire) for wire in ("sparse", "auto", "dense")}

    def learner(rank: int) -> SGDLearner:
        plain = made["dense"].learner(rank)
        assert isinstance(plain, SGDLearner)
        return make_learner(plain.shard, plain.objective, seed=7, rank=rank, kind=TailLearner)

    runs = {wire: replace(job, learner=learner) for wire, job in made.items()}
    with pytest.raises(ConfigError, match='rank 0: wire = "sparse": TailLearner tells no gradients by pairs'):
        simulated(2).run(runs["sparse"])
    auto, dense = (simulated(2).run(runs[wire]) for wire in ("auto", "dense"))
    assert total_bytes(auto) == total_bytes(dense)


@pytest.mark.parametrize(
    ("step", "inside"),
    [(support.ADAGRAD, PLAIN), (support.CONSTANT, InNode(delay=2, stale_decay=True))],
    ids=["adagrad", "late decay"],
)
def test_learners_without_a_decay_in_common_are_refused(step: StepSize, inside: InNode) -> None:
    with pytest.raises(ConfigError, match=r"^rank 0: .*: its nodes take no gradient step in common\n"):
        simulated(2).run(stepped(2, "dense", step=step, inside=inside))
