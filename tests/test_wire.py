"""Sparse rounds: the bits of dense ones, whatever the rule, the ending, the runtime; and fewer bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import support
from support import CONSTANT, OPTIMAL, PERIOD, ROUNDS, averaging, job, simulated

from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import Stream, kdd2010_shape, problem
from wpsgd.errors import ConfigError
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.changes import Changes
from wpsgd.learners.node import InNode, make_learner
from wpsgd.learners.sgd import Objective
from wpsgd.reducers import RULES, Rule, wp_with
from wpsgd.runtimes.costs import Link
from wpsgd.runtimes.job import Job, Outcome, Runtime
from wpsgd.runtimes.local import Local
from wpsgd.strategies import wire
from wpsgd.strategies.averaging import Averaging
from wpsgd.strategies.outer import Outer
from wpsgd.strategies.patterns import ByRows, Given, Looks

FEATURES = 9001  # more than two stretches of the kernel, and no multiple of one
SUMS: dict[str, Rule] = {
    **{name: rule for name, rule in RULES.items() if not {"squares", "average"} & rule.needs},
    "wp, validated": wp_with("validated"),
}
PEGASOS = StepSize("pegasos", 1e-3)
FOLDING = StepSize("constant", 0.2, eta0=2.0)  # every 41 steps
PLAIN, LATE = InNode(), InNode(delay=5)
# what ranks run too
PROGRAMS: dict[str, tuple[Averaging, dict[str, Any]]] = {
    "asum, refined": (averaging(3, support.given(3), "asum", line_search=True, outer=Outer(0.5)), {}),
    "folding, float32": (averaging(3, support.given(3), "wp", FOLDING), {"dtype": "float32"}),
    "a node without rows": (averaging(3, ByRows(PERIOD), "wp", empty=(1,)), {"empty": (1,)}),
    "late, with an intercept": (averaging(3, support.given(3)), {"inside": LATE, "intercept": True}),
}


def wide(dtype: str = "float64", nonzeros: float = 8.0) -> Rows:
    return problem(600, FEATURES, nonzeros, noise=0.05, seed=3, dtype=np.dtype(dtype)).rows


def widened(
    program: Averaging,
    ranks: int,
    dtype: str = "float64",
    empty: Sequence[int] = (),
    inside: InNode = PLAIN,
    intercept: bool = False,
    nonzeros: float = 8.0,
    **settings: Any,
) -> Job:
    """The jobs of the other tests with models too wide for the rows of a round."""
    rows, shards = wide(dtype, nonzeros), support.shards(ranks, empty)
    objective = Objective("hinge", program.step, w0=-0.25, intercept=intercept)
    sample = replace(support.sample_of(dtype), rows=rows[:50])

    def learner(rank: int) -> Any:
        return make_learner(rows.take(shards[rank]), objective, inside, seed=7, rank=rank)

    made = job(program, ranks, program.step, dtype, empty, scorer=lambda rank: None, **settings)
    return replace(made, learner=learner, sample=sample)


def both(program: Averaging, runtime: Runtime, **settings: Any) -> tuple[Outcome, Outcome]:
    """A run with dense sums and one with sparse ones."""
    dense, sparse = (
        runtime.run(widened(replace(program, wire=kind), runtime.ranks, **settings))
        for kind in ("dense", "sparse")
    )
    assert total_bytes(sparse) < total_bytes(dense)
    return dense, sparse


def total_bytes(outcome: Outcome) -> int:
    return sum(event["bytes"] for event in support.of_kind(outcome, "totals"))


def same(outcomes: tuple[Outcome, Outcome]) -> None:
    dense, sparse = outcomes
    assert np.isfinite(dense.model).all()
    assert sparse.model.dtype == dense.model.dtype
    assert sparse.model.tobytes() == dense.model.tobytes()
    models = {state.shared["weights"].tobytes() for state in sparse.states.values()}  # type: ignore[union-attr]
    assert len(models) == 1


# the same bits


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rule", SUMS)
def test_a_sparse_sum_has_the_bits_of_a_dense_one_under_every_rule(rule: str, dtype: str) -> None:
    same(both(averaging(4, support.given(4), SUMS[rule], OPTIMAL), simulated(4), dtype=dtype))


@pytest.mark.parametrize("runtime", [simulated(4, 1e-6, 2e-6, 3e-6, 9e-6, chunk=10), Local(4)], ids=repr)
@pytest.mark.parametrize("ending", ["rows", "race", "time box", "given"])
def test_a_sparse_sum_has_the_bits_of_a_dense_one_under_every_ending(ending: str, runtime: Runtime) -> None:
    program = averaging(4, support.endings(4)[ending], "wp", looks=Looks(2 * ROUNDS, ROUNDS))
    sparse = runtime.run(widened(replace(program, wire="sparse"), 4))
    counts = Given(tuple(map(tuple, support.counts(sparse))))  # a race on a real clock is never the same
    dense = simulated(4).run(widened(replace(program, ending=counts, wire="dense"), 4))
    same((dense, sparse))


@pytest.mark.parametrize("empty", [(0,), (1, 3), (0, 1, 2, 3)], ids=str)
@pytest.mark.parametrize("rule", ["wp", "asum"])
def test_nodes_without_rows_tell_nothing_and_count_for_nothing(rule: str, empty: tuple[int, ...]) -> None:
    program = averaging(4, ByRows(PERIOD), rule, CONSTANT, empty=empty)
    same(both(program, simulated(4), empty=empty))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("step", [FOLDING, PEGASOS], ids=["small scales", "a wiped start"])
def test_scales_that_were_multiplied_in_are_multiplied_in_by_everybody(step: StepSize, dtype: str) -> None:
    learner = widened(averaging(2, ByRows(PERIOD), "wp", step), 2).learner(0)
    changes = Changes.of(learner)  # type: ignore[arg-type]
    learner.advance(PERIOD)
    assert len(changes.factors(100)) == (3 if step is FOLDING else 2)
    same(both(averaging(3, support.given(3), "wp", step), simulated(3), dtype=dtype))


@pytest.mark.parametrize("inside", [LATE, InNode(delay=5, range_check=True), InNode(threads=2)], ids=repr)
def test_what_goes_on_inside_a_node_changes_no_bit(inside: InNode) -> None:
    shared = Given(((1, 1),) * ROUNDS) if inside.threads > 1 else support.given(2)  # threads by themselves
    same(both(averaging(2, shared, "wp", CONSTANT), simulated(2), inside=inside))


@pytest.mark.parametrize("intercept", [True, False])
def test_a_refined_combination_has_the_bits_of_a_dense_one(intercept: bool) -> None:
    program = averaging(3, support.given(3), "asum", line_search=True, outer=Outer(0.5, 0.9))
    same(both(program, simulated(3), intercept=intercept))


def test_a_sparse_run_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    program = replace(averaging(3, support.given(3), "inverse_variance"), wire="sparse")
    for inside in (InNode(), LATE):
        folder = tmp_path / repr(inside)
        whole = simulated(3).run(widened(program, 3, inside=inside))
        simulated(3).run(widened(program, 3, inside=inside, keeper=support.keeper(folder, stop_after=2)))
        rest = simulated(3).run(widened(program, 3, inside=inside, state=support.resumed(folder)))
        assert rest.model.tobytes() == whole.model.tobytes()
        # the boundary at which it stopped was not over yet when the accounts were saved
        assert 0 <= total_bytes(whole) - total_bytes(rest) <= 3


# fewer bytes


def test_a_round_of_1000_rows_of_kdd_is_under_2_percent_of_the_bytes() -> None:
    shape = replace(kdd2010_shape(), rows=2000)
    assert shape.features == 20_216_830
    stream = Stream(shape, 1, np.float32)
    rows = next(stream.blocks())
    objective = Objective("hinge", OPTIMAL, w0=4.0)
    outcomes = []
    for kind in ("dense", "auto"):
        program = Averaging(2, ByRows(1000), RULES["wp"], OPTIMAL, (1000,) * 2, Looks(0, 2), wire=kind)
        parts = [
            make_learner(part, objective, InNode(), seed=7, rank=0) for part in (rows[:1000], rows[1000:])
        ]
        outcomes.append(simulated(2).run(Job(program, parts.__getitem__)))
        del parts
    dense, auto = outcomes
    assert np.array_equal(auto.model.view(np.int32), dense.model.view(np.int32))
    assert total_bytes(auto) < 0.02 * total_bytes(dense)


@pytest.mark.parametrize(("rows", "nonzeros", "pairs"), [(1, 8, True), (5000, 8, True), (5000, 400, False)])
def test_auto_takes_what_is_smaller(
    monkeypatch: pytest.MonkeyPatch, rows: int, nonzeros: int, pairs: bool
) -> None:
    monkeypatch.setattr(wire, "SMALL", 0)
    program = averaging(3, ByRows(rows), "wp")
    auto, dense, sparse = (
        simulated(3).run(widened(replace(program, wire=kind), 3, nonzeros=nonzeros))
        for kind in ("auto", "dense", "sparse")
    )
    assert auto.model.tobytes() == dense.model.tobytes()
    model, notes = auto.model.nbytes, 1000  # row counts, decays, verdicts
    expected = total_bytes(sparse) if pairs else total_bytes(dense)
    assert abs(total_bytes(auto) - expected) < 3 * ROUNDS * notes < 3 * ROUNDS * model // 10


def test_auto_weighs_what_a_node_receives() -> None:
    model = np.zeros(1200)
    # a reduction is two models, of 1200 x 8 bytes, and a pass over a byte of k models a 32nd of sending it
    for count, pays in ((749, True), (750, False)):
        told = {rank: np.array([0.5, 0.0, count]) for rank in range(2)}
        assert wire.sparse(told, model, "auto") is pays
        assert wire.sparse(told, model, "sparse")
    told[0][2] = wire.UNKNOWN
    assert not wire.sparse(told, model, "auto")


@pytest.mark.parametrize("nodes", [2, 3, 20, 61, 63, 200])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_auto_weighs_the_sum_that_every_node_takes_of_all_models(nodes: int, dtype: Any) -> None:
    model = np.zeros(10_000, dtype)
    byte, columns = 1.0, np.arange(0, 10_001, 10)
    # seconds of a node, in units of a byte sent: what comes in, and the sum of what came
    dense = [2.0 * model.nbytes * (nodes - 1) / nodes * byte] * len(columns)
    pairs = nodes * columns * (4 + model.itemsize) * (nodes - 1) / nodes + nodes * model.nbytes / 32.0
    expected = pairs < dense
    told = [{rank: np.array([0.5, 0.0, count]) for rank in range(nodes)} for count in columns]
    assert [wire.sparse(each, model, "auto") for each in told] == expected.tolist()
    assert wire.asks(1 << 24, nodes) is bool(expected[0])
    assert expected.any() == (nodes < 63)


def test_auto_rests_for_ever_longer_after_rounds_that_went_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "SMALL", 0)
    asked: list[int] = []
    of = Changes.of

    def counted(learner: Any) -> Changes:
        asked.append(learner.steps)
        return of(learner)

    monkeypatch.setattr(Changes, "of", counted)
    many, few, rounds = (3000, 3000), (1, 1), 20
    counts = (many,) * 15 + (few,) * (rounds - 15)
    program = averaging(2, Given(counts), "wp", rounds=rounds)
    auto, dense = (
        simulated(2).run(widened(replace(program, wire=kind), 2, nonzeros=400)) for kind in ("auto", "dense")
    )
    assert auto.model.tobytes() == dense.model.tobytes()
    # rests of 1, 2, 4 and 8 rounds; of the last five it asks in all, for pairs pay there
    steps = [0, *np.cumsum([max(row) for row in counts])]
    assert asked == [steps[round] for round in (0, 2, 5, 10, 19) for _ in range(2)]


def test_a_small_model_goes_dense_without_asking() -> None:
    program = averaging(3, ByRows(1), "wp")
    auto, dense = (simulated(3).run(widened(replace(program, wire=kind), 3)) for kind in ("auto", "dense"))
    assert total_bytes(auto) == total_bytes(dense)


def test_nodes_are_charged_for_their_own_pairs_and_wait_for_those_of_all_others() -> None:
    link = Link(bandwidth=1e6)
    program = replace(averaging(3, Given(((400, 40, 0),)), "wp", rounds=1), wire="sparse")
    totals = support.of_kind(simulated(3, link=link).run(widened(program, 3)), "totals")
    sent = np.array([total["bytes"] for total in totals])
    columns = []
    for rank, count in enumerate((400, 40)):
        learner = widened(program, 3).learner(rank)
        taken = np.concatenate([*learner.order.take(count)])  # type: ignore[attr-defined]
        columns.append(len({*learner.shard.take(taken).indices}))  # type: ignore[attr-defined]
    notes = sent[2]  # counts, decays, the verdict: as many of each
    assert [*(sent - notes)] == [12 * columns[0], 12 * columns[1], 0]
    for total in totals:
        assert total["communication"] == pytest.approx(2 * sent.mean() / 1e6, rel=0.01)


# what cannot


@pytest.mark.parametrize("rule", ["diagonal", "tail"])
def test_what_is_no_sum_of_models_that_decay_alike_is_refused(rule: str) -> None:
    program = averaging(2, ByRows(9), rule)
    with pytest.raises(ConfigError, match='rank 0: wire = "sparse"'):
        simulated(2).run(job(replace(program, wire="sparse"), 2))
    dense, auto = (simulated(2).run(job(replace(program, wire=kind), 2)) for kind in ("dense", "auto"))
    assert auto.model.tobytes() == dense.model.tobytes()
