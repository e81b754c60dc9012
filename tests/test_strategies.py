"""Strategies against naive loops, against one another where they coincide, and against themselves."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import support
from support import ADAGRAD, CONSTANT, OPTIMAL, PERIOD, ROUNDS, averaging, job, simulated

from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.sgd import SGDLearner
from wpsgd.requests import Program
from wpsgd.runtimes.costs import Link
from wpsgd.runtimes.job import Outcome, Runtime, restore
from wpsgd.runtimes.local import Local
from wpsgd.strategies.minibatch import MiniBatch
from wpsgd.strategies.patterns import ByRows, Ending, Given, Looks, Race, TimeBox
from wpsgd.strategies.sequential import Sequential
from wpsgd.trace import Recorder

RULES = ("uniform", "wp", "steps", "shard")
DTYPES = ("float64", "float32")
ENDINGS: dict[str, Ending] = {
    "rows": ByRows(PERIOD),
    "race": Race(PERIOD),
    "given": Given(((PERIOD,),) * ROUNDS),
}


def model(
    program: Program, ranks: int, runtime: Runtime | None = None, **settings: Any
) -> np.ndarray[Any, Any]:
    """The final model of a run, virtual where no runtime is given; all ranks hold it."""
    outcome = (runtime or simulated(ranks)).run(job(program, ranks, **settings))
    models = [state.shared["weights"] for state in outcome.states.values()]
    assert len(models) == ranks
    assert all(np.array_equal(found, models[0]) for found in models)
    return outcome.model


def naive(learner: SGDLearner, rows: int) -> None:
    """Rows and nothing else: no strategy, no runtime."""
    learner.advance(rows)
    learner.commit(learner.contribution(), learner.steps)


# one node


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("step", [CONSTANT, OPTIMAL, ADAGRAD], ids=lambda step: step.schedule)
def test_sequential_is_a_loop_over_the_rows(step: StepSize, dtype: str) -> None:
    learner = support.learner_of(0, 1, step, dtype)
    for _ in range(ROUNDS):
        naive(learner, PERIOD)
    found = model(Sequential(ROUNDS, PERIOD, support.NO_LOOKS), 1, step=step, dtype=dtype)
    assert found.dtype == dtype
    assert found.tobytes() == learner.weights.tobytes()


def test_sequential_agrees_with_the_formula_row_by_row() -> None:
    learner = support.learner_of(0, 1, CONSTANT)
    dense, labels = learner.shard.to_scipy().toarray(), learner.shard.labels
    w = learner.weights.copy()
    for row in np.concatenate(list(learner.order.take(ROUNDS * PERIOD))):
        inside = labels[row] * (w @ dense[row]) < 1.0
        w *= 1.0 - CONSTANT.eta0 * CONSTANT.alpha
        w += inside * CONSTANT.eta0 * labels[row] * dense[row]
    found = model(Sequential(ROUNDS, PERIOD, support.NO_LOOKS), 1, step=CONSTANT)
    np.testing.assert_allclose(found, w, rtol=1e-9)


def test_only_the_first_node_of_sequential_works_and_all_hold_its_model() -> None:
    outcome = simulated(3).run(job(Sequential(ROUNDS, PERIOD, Looks(2, ROUNDS)), 3))
    assert [event["rows"] for event in support.of_kind(outcome, "totals")] == [ROUNDS * PERIOD, 0, 0]
    learner = support.learner_of(0, 3)
    for _ in range(ROUNDS):
        naive(learner, PERIOD)
    for state in outcome.states.values():
        assert np.array_equal(state.shared["weights"], learner.weights)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("step", [CONSTANT, OPTIMAL], ids=lambda step: step.schedule)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("ending", ENDINGS)
def test_averaging_on_one_node_is_sequential(ending: str, rule: str, step: StepSize, dtype: str) -> None:
    sequential = model(Sequential(ROUNDS, PERIOD, support.NO_LOOKS), 1, step=step, dtype=dtype)
    averaged = model(averaging(1, ENDINGS[ending], rule, step), 1, step=step, dtype=dtype)
    assert averaged.tobytes() == sequential.tobytes()


@pytest.mark.parametrize("step", [CONSTANT, OPTIMAL], ids=lambda step: step.schedule)
def test_minibatch_of_one_row_on_one_node_is_sequential(step: StepSize) -> None:
    sequential = model(Sequential(ROUNDS, PERIOD, support.NO_LOOKS), 1, step=step)
    batched = model(MiniBatch(ROUNDS, PERIOD, (1,), support.NO_LOOKS), 1, step=step)
    np.testing.assert_allclose(batched, sequential, rtol=1e-12)


# several nodes


@pytest.mark.parametrize("step", [CONSTANT, OPTIMAL], ids=lambda step: step.schedule)
@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_rules_coincide_when_all_nodes_did_equal_rows(ranks: int, step: StepSize) -> None:
    equal = Given(((PERIOD,) * ranks,) * ROUNDS)
    models = {
        "simuparallel": model(averaging(ranks, ByRows(PERIOD), "uniform", step), ranks, step=step),
        "wp": model(averaging(ranks, equal, "wp", step), ranks, step=step),
        "average directly": model(averaging(ranks, equal, "uniform", step), ranks, step=step),
        "a race of equals": model(averaging(ranks, Race(PERIOD), "wp", step), ranks, step=step),
    }
    assert len({found.tobytes() for found in models.values()}) == 1


def test_rules_differ_when_nodes_did_unequal_rows() -> None:
    models = {rule: model(averaging(4, support.given(4), rule), 4).tobytes() for rule in RULES}
    assert len(set(models.values())) == len(RULES)


def test_wp_weighs_by_the_contraction_that_a_node_missed() -> None:
    counts, contraction = (90, 40, 1), 1.0 - CONSTANT.eta0 * CONSTANT.alpha
    omega = contraction ** (90.0 - np.array(counts))
    omega /= omega.sum()
    learners = [support.learner_of(rank, 3, CONSTANT) for rank in range(3)]
    for learner, count in zip(learners, counts, strict=True):
        naive(learner, count)
    expected = sum(weight * learner.weights for weight, learner in zip(omega, learners, strict=True))
    found = model(averaging(3, Given((counts,)), "wp", CONSTANT, rounds=1), 3, step=CONSTANT)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_wp_counts_the_missed_steps_from_the_age_of_the_round() -> None:
    outcome = simulated(4).run(job(averaging(4, support.given(4)), 4))
    age = 0
    for event in support.of_kind(outcome, "round"):
        done, last = np.array(event["counts"]), age + max(event["counts"])
        omega = (OPTIMAL.t0 + age + done - 1.0) / (OPTIMAL.t0 + last - 1.0)  # of the schedule "optimal"
        np.testing.assert_allclose(event["weights"], omega / omega.sum(), rtol=1e-12)
        age = last
    assert age == ROUNDS * PERIOD


def test_averaging_after_each_row_is_minibatch_of_one_row_a_node() -> None:
    averaged = model(averaging(4, ByRows(1), "uniform", CONSTANT, rounds=60), 4, step=CONSTANT)
    batched = model(MiniBatch(1, 60, (1,) * 4, support.NO_LOOKS), 4, step=CONSTANT)
    np.testing.assert_allclose(averaged, batched, rtol=1e-12, atol=1e-15)


def test_minibatch_takes_the_mean_over_all_rows_of_a_step() -> None:
    batches, step = (3, 1, 0, 5), CONSTANT
    learners = [support.learner_of(rank, 4, step) for rank in range(4)]
    w = learners[0].weights.copy()
    for _ in range(10):
        gradient = np.zeros_like(w)
        for learner, batch in zip(learners, batches, strict=True):
            for row in (row for piece in learner.order.take(batch) for row in piece):
                x, y = learner.shard.to_scipy()[[row]].toarray().ravel(), learner.shard.labels[row]
                gradient -= (y * (x @ w) < 1.0) * y * x
        w = (1.0 - step.eta0 * step.alpha) * w - step.eta0 * gradient / sum(batches)
    found = model(MiniBatch(2, 5, batches, support.NO_LOOKS), 4, step=step)
    np.testing.assert_allclose(found, w, rtol=1e-10)


# the same on every runtime, whatever it looks at and however it cuts the work


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("step", [OPTIMAL, ADAGRAD], ids=lambda step: step.schedule)
def test_threads_and_virtual_clocks_give_the_same_bits(step: StepSize, ranks: int, dtype: str) -> None:
    models = [
        {
            name: model(program, ranks, runtime, step=step, dtype=dtype)
            for name, program in support.strategies(ranks, step, looks=8).items()
        }
        for runtime in (simulated(ranks), Local(ranks, (1.0, 0.5, 0.25, 0.25)[:ranks], chunk=13))
    ]
    support.same_bits(*models)


@pytest.mark.parametrize("name", support.strategies(4))
def test_results_do_not_depend_on_the_chunk_size(name: str) -> None:
    program = support.strategies(4)[name]
    sizes = {model(program, 4, simulated(4, chunk=chunk)).tobytes() for chunk in (1, 7, 1000)}
    assert len(sizes) == 1


@pytest.mark.parametrize("looks", [1, ROUNDS, 5 * ROUNDS])
@pytest.mark.parametrize("name", support.strategies(4))
def test_looking_changes_no_bit_of_the_model(name: str, looks: int) -> None:
    unseen, seen = (simulated(4).run(job(support.strategies(4, looks=n)[name], 4)) for n in (0, looks))
    assert seen.model.tobytes() == unseen.model.tobytes()
    found = [event["round"] for event in support.of_kind(seen, "look")]
    inside = looks // ROUNDS if looks > ROUNDS and name not in ("minibatch", "sequential") else 1
    assert len(found) == (looks if looks <= ROUNDS else ROUNDS * inside)
    assert found[-1] == ROUNDS
    assert not support.of_kind(unseen, "look")


@pytest.mark.parametrize("name", support.strategies(4))
def test_looks_at_the_ends_of_rounds_cost_no_time(name: str) -> None:
    unseen, seen = (simulated(4).run(job(support.strategies(4, looks=n)[name], 4)) for n in (0, ROUNDS))
    totals = [
        [{**event, "host": ""} for event in support.of_kind(outcome, "totals")] for outcome in (unseen, seen)
    ]
    assert totals[0] == totals[1]


@pytest.mark.parametrize("ending", [Race(3000), TimeBox(0.004)], ids=["race", "time box"])
@pytest.mark.parametrize("looks", [0, 3 * ROUNDS])
def test_a_run_on_a_real_clock_is_replayed_from_its_counts(ending: Any, looks: int) -> None:
    runtime = Local(3, (1.0, 0.5, 0.25), chunk=50)
    first = runtime.run(job(averaging(3, ending, looks=Looks(looks, ROUNDS)), 3))
    replayed = Given(tuple(map(tuple, support.counts(first))))
    assert model(averaging(3, replayed), 3).tobytes() == first.model.tobytes()


# signals


@pytest.mark.parametrize("latency", [0.0, 1e-5, 1.0])
@pytest.mark.parametrize("seconds", [(1e-6,) * 4, (1e-6, 1e-6, 2e-6, 8e-6)], ids=["equal", "unequal"])
def test_a_late_signal_does_not_end_the_next_race(seconds: tuple[float, ...], latency: float) -> None:
    runtime = simulated(4, *seconds, link=Link(latency), chunk=10)
    outcome = runtime.run(job(averaging(4, Race(PERIOD), looks=Looks(3 * ROUNDS, ROUNDS)), 4))
    rounds = support.counts(outcome)
    assert len(rounds) == ROUNDS
    # the fast nodes never stop early, and no later round is shorter than the first
    assert all(counts[0] == counts[1] == PERIOD for counts in rounds)
    assert all(counts == rounds[0] for counts in rounds)


def test_a_period_smaller_than_the_chunk_is_kept_to() -> None:
    for runtime in (simulated(3, chunk=1000), Local(3, chunk=1000)):
        outcome = runtime.run(job(averaging(3, Race(7), rounds=20), 3))
        assert all(max(counts) == 7 for counts in support.counts(outcome))


def test_races_without_end_in_sight_do_not_pile_up_mail() -> None:
    for runtime in (simulated(4), Local(4, (1.0, 0.5, 0.25, 0.25))):
        outcome = runtime.run(job(averaging(4, Race(3), rounds=300), 4))
        assert len(support.counts(outcome)) == 300


# nodes without rows


@pytest.mark.parametrize("empty", [(0,), (2,), (1, 3)], ids=str)
@pytest.mark.parametrize("ending", support.endings(4))
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("runtime", ["simulated", "local"])
def test_a_node_without_rows_has_no_weight(
    runtime: str, rule: str, ending: str, empty: tuple[int, ...]
) -> None:
    place = simulated(4) if runtime == "simulated" else Local(4, chunk=50)
    program = averaging(4, support.endings(4)[ending], rule, empty=empty, looks=Looks(2 * ROUNDS, ROUNDS))
    outcome = place.run(job(program, 4, empty=empty))
    rounds = support.of_kind(outcome, "round")
    assert len(rounds) == ROUNDS
    for event in rounds:
        idle = {rank for rank in range(4) if event["counts"][rank] == 0}
        # a thread that the machine kept waiting for the whole of a race or a time box is idle too
        late = runtime == "local" and ending in ("race", "time box")
        assert idle == set(empty) or (late and idle > set(empty))
        # where nobody did anything the first node speaks for all
        silent = idle - {0} if len(idle) == 4 else idle
        assert silent == {rank for rank in range(4) if event["weights"][rank] == 0.0}
    assert np.isfinite(outcome.model).all()


def test_nodes_without_rows_do_not_change_the_average_of_the_others() -> None:
    shares = [rank for rank, size in enumerate(support.sizes(4, (1, 3))) if size]
    learners = [support.learner_of(rank, 4, CONSTANT, empty=(1, 3)) for rank in shares]
    for learner in learners:
        naive(learner, PERIOD)
    program = averaging(4, ByRows(PERIOD), "uniform", CONSTANT, rounds=1, empty=(1, 3))
    found = model(program, 4, step=CONSTANT, empty=(1, 3))
    np.testing.assert_allclose(found, (learners[0].weights + learners[1].weights) / 2.0, rtol=1e-12)


def test_minibatch_leaves_nodes_without_rows_out() -> None:
    with_empty = model(MiniBatch(ROUNDS, 10, (2, 2, 2), support.NO_LOOKS), 3, empty=(1,))
    without = model(MiniBatch(ROUNDS, 10, (2, 0, 2), support.NO_LOOKS), 3, empty=(1,))
    assert with_empty.tobytes() == without.tobytes()
    assert not np.array_equal(with_empty, np.full(80, 0.25))


def test_a_run_without_any_rows_gives_back_its_start() -> None:
    # a round of no rows is still a round; the model must not become 0/0
    for ending in (ByRows(PERIOD), Race(PERIOD), TimeBox(0.001)):
        program = averaging(2, ending, "wp", empty=(0, 1))
        assert np.array_equal(model(program, 2, empty=(0, 1)), np.full(80, 0.25))


# stop and resume


def program_of(name: str, step: StepSize) -> Program:
    race: Program = averaging(3, Race(PERIOD), "uniform", step)
    return {**support.strategies(3, step, looks=8), "race": race}[name]


NAMES = [(name, OPTIMAL) for name in support.strategies(3)] + [
    (name, ADAGRAD) for name in support.strategies(3, ADAGRAD)
]


# a race on a real clock has other counts each time
RACES = [("simulated", "race", OPTIMAL), ("simulated", "race", ADAGRAD)]


@pytest.mark.parametrize(
    ("runtime", "name", "step"),
    [*((runtime, *case) for runtime in ("simulated", "local") for case in NAMES), *RACES],
    ids=lambda value: getattr(value, "schedule", value),
)
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, runtime: str, name: str, step: StepSize
) -> None:
    place: Runtime = simulated(3, 1e-6, 2e-6, 3e-6, chunk=10) if runtime == "simulated" else Local(3)
    program = program_of(name, step)
    whole = place.run(job(program, 3, step))
    half = place.run(job(program, 3, step, keeper=support.keeper(tmp_path, stop_after=ROUNDS // 2)))
    assert {state.round for state in half.states.values()} == {ROUNDS // 2}
    rest = place.run(job(program, 3, step, state=support.resumed(tmp_path)))
    assert rest.model.tobytes() == whole.model.tobytes()
    assert rest.model.tobytes() != half.model.tobytes()
    check_trace_goes_on(whole, half, rest, to_the_second=runtime == "simulated")
    # a stopped run's own clock goes on until its threads have ended
    for rank, after in enumerate(support.of_kind(rest, "totals")):
        assert after["seconds"] >= restore(support.resumed(tmp_path)(rank), Recorder(rank)) > 0.0


def check_trace_goes_on(whole: Outcome, half: Outcome, rest: Outcome, to_the_second: bool) -> None:
    """The resumed run's trace tells the story of both parts, but for the boundary at which it was saved."""
    seconds = {"seconds", "start", "end", "compute", "judging", "wait", "communication", "cpu", "host"}

    def told(outcome: Outcome) -> list[dict[str, Any]]:
        hidden = {"host", "cpu", "bytes"} if to_the_second else {*seconds, "bytes"}
        kinds = ("round", "look", "totals") + (("span",) if to_the_second else ())
        return [
            {key: value for key, value in event.items() if key not in hidden}
            for event in outcome.events
            if event["kind"] in kinds and event.get("bytes") != 1
        ]

    assert told(rest) == told(whole)
    for before, after in zip(support.of_kind(half, "totals"), support.of_kind(rest, "totals"), strict=True):
        assert not to_the_second or after["seconds"] >= before["seconds"] > 0.0
        assert after["rows"] >= before["rows"]
    totals = zip(support.of_kind(whole, "totals"), support.of_kind(rest, "totals"), strict=True)
    assert all(0 <= one["bytes"] - other["bytes"] <= 1 for one, other in totals)


# the rules of the requests


def test_importing_needs_neither_mpi_nor_figures() -> None:
    names = ("wpsgd", "wpsgd.strategies.averaging", "wpsgd.runtimes.simulated", "wpsgd.runtimes.local")
    code = f"import sys, {', '.join(names)}; print([m for m in ('mpi4py', 'matplotlib') if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=support.environment()
    )
    assert found.stdout.strip() == "[]"


def test_reports_reach_the_observer_of_the_first_rank_as_they_come() -> None:
    seen: list[dict[str, Any]] = []
    outcome = simulated(3).run(
        job(averaging(3, ByRows(5), looks=Looks(ROUNDS, ROUNDS)), 3, observer=seen.append)
    )
    kinds = [event["kind"] for event in seen]
    assert kinds == ["round", "look"] * ROUNDS + ["totals"]
    assert [event for event in outcome.events if event in seen] == seen
