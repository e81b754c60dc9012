"""Rounds under every rule: against dense twins, one node, empty shards, and what is done to a combination."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import support
from support import CONSTANT, OPTIMAL, PERIOD, ROUNDS, UNEQUAL, averaging, job, simulated

from wpsgd.data.synthetic import problem
from wpsgd.errors import ConfigError
from wpsgd.evaluate import objective
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.keeping import KeepsSquares, SquaresLearner, TailLearner, learner_for
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Objective, SGDLearner
from wpsgd.reducers import RULES, Combination, RoundFacts, Rule, wp_with
from wpsgd.reducers.facts import moved, needing
from wpsgd.requests import Node, State
from wpsgd.runtimes.job import Job, Outcome
from wpsgd.runtimes.local import Local
from wpsgd.strategies.averaging import Averaging
from wpsgd.strategies.gram import gram_of
from wpsgd.strategies.outer import Outer
from wpsgd.strategies.patterns import ByRows, Given, Looks
from wpsgd.strategies.sequential import Sequential

EVERY_RULE: dict[str, Rule] = {**RULES, "wp, validated": wp_with("validated")}
ONCE = Given((UNEQUAL[:4],))
REFINED = {"line_search": True, "outer": Outer(0.5, 0.9)}


def run(program: Averaging, ranks: int, **settings: Any) -> Outcome:
    return simulated(ranks).run(job(program, ranks, step=program.step, **settings))


def advanced(kind: type[SGDLearner] = SGDLearner, counts: tuple[int, ...] = UNEQUAL[:4]) -> list[SGDLearner]:
    """The learners of four nodes at the end of a first round."""
    learners = [support.learner_of(rank, 4, CONSTANT, kind=kind) for rank in range(4)]
    for learner, count in zip(learners, counts, strict=True):
        learner.advance(count)
    return learners


def models(learners: list[SGDLearner]) -> np.ndarray[Any, Any]:
    return np.array([learner.contribution() for learner in learners], dtype=np.float64)


# one round by hand


@pytest.mark.parametrize("name", [name for name in RULES if name not in ("diagonal", "wp")])
def test_a_round_is_the_rule_of_its_facts(name: str) -> None:
    rule = RULES[name]
    found = run(averaging(4, ONCE, rule, CONSTANT, rounds=1), 4).model
    combination = rule(RoundFacts(UNEQUAL[:4], 0, CONSTANT, support.sizes(4)))
    nodes = models(advanced(learner_for(rule)))
    expected = combination.start * np.full(80, 0.25) + combination.omega @ nodes
    np.testing.assert_allclose(found, expected, rtol=1e-11)


def test_a_tail_is_the_average_of_iterates_weighed_by_steps() -> None:
    averages = []
    for learner, count in zip(advanced(), UNEQUAL, strict=False):
        again = support.learner_of(learner.order.rank, 4, CONSTANT)
        average = np.zeros(80)
        for t in range(1, count + 1):
            again.advance(1)
            average += (again.contribution() - average) * 4.0 / (t + 3.0)
        averages.append(average)
    share = np.array(UNEQUAL[:4]) / sum(UNEQUAL[:4])
    found = run(averaging(4, ONCE, "tail", CONSTANT, rounds=1), 4).model
    np.testing.assert_allclose(found, share @ np.array(averages), rtol=1e-10)


def test_diagonal_weighs_each_coordinate_by_its_squared_gradients() -> None:
    few = (3, 0, 1, 2)
    learners = advanced(SquaresLearner, few)
    squares = np.array([learner.squares() for learner in learners if isinstance(learner, KeepsSquares)])
    touched = squares.sum(axis=0) > 0.0
    assert not touched.all()  # or else the floor decides nothing
    weights = np.where(touched, squares, (np.array(few) > 0)[:, np.newaxis])
    expected = (weights * models(learners)).sum(axis=0) / weights.sum(axis=0)
    outcome = run(averaging(4, Given((few,)), "diagonal", CONSTANT, rounds=1), 4)
    np.testing.assert_allclose(outcome.model, expected, rtol=1e-8)
    (event,) = support.of_kind(outcome, "round")
    np.testing.assert_allclose(event["weights"], squares.sum(axis=1) / squares.sum(), rtol=1e-8)


def test_inverse_variance_looks_at_the_round_before() -> None:
    given = (UNEQUAL[:4], (40, 60, 80, 20))
    one, two = (
        run(averaging(4, Given(given[:n]), "inverse_variance", CONSTANT, rounds=n), 4) for n in (1, 2)
    )
    v, nodes, counts = one.model, models(advanced()), np.array(UNEQUAL[:4])
    d2 = float(((0.25 - v) ** 2).sum())
    noise = float((counts * ((nodes - v) ** 2).sum(axis=1)).sum()) / 3.0
    counts = np.array(given[1])
    b = (1.0 - CONSTANT.eta0 * CONSTANT.alpha) ** counts
    expected = np.maximum(np.linalg.solve(d2 * np.outer(b, b) + np.diag(noise / counts), np.ones(4)), 0.0)
    events = support.of_kind(two, "round")
    np.testing.assert_allclose(events[0]["weights"], np.array(UNEQUAL[:4]) / sum(UNEQUAL[:4]), rtol=1e-12)
    np.testing.assert_allclose(events[1]["weights"], expected / expected.sum(), rtol=1e-7)
    assert abs(events[1]["weights"][0] - 0.2) > 1e-3  # not the weights of `steps`


def test_the_contraction_is_validated_on_what_all_nodes_know() -> None:
    sample, nodes = support.sample_of(), models(advanced())
    known = [
        sample.objective(sample.margins(v), float(v @ v))
        for power in (0.0, 1.0, 10.0, 562.341325190349, 1e9)
        for v in [
            wp_with(f"R^{power!r}")(RoundFacts(UNEQUAL[:4], 0, CONSTANT, support.sizes(4))).omega @ nodes
        ]
    ]
    outcome = run(averaging(4, ONCE, wp_with("validated"), CONSTANT, rounds=1), 4)
    (event,) = support.of_kind(outcome, "round")
    v = outcome.model
    assert sample.objective(sample.margins(v), float(v @ v)) <= min(known) * (1.0 + 1e-12)
    power = event["contraction_power"]
    expected = wp_with(f"R^{power!r}")(RoundFacts(UNEQUAL[:4], 0, CONSTANT, support.sizes(4))).omega
    assert event["weights"] == expected.tolist()


@pytest.mark.parametrize("ranks", [1, 2, 3, 7])
@pytest.mark.parametrize("features", [5, 6, 80])
def test_inner_products_are_those_of_the_models(ranks: int, features: int) -> None:
    given = np.random.default_rng(0).standard_normal((ranks, features))

    async def program(node: Node, state: State) -> State:
        return State(0, {}, {"gram": await gram_of(node, given[node.rank].copy())})

    for runtime in (simulated(ranks), Local(ranks)):
        outcome = runtime.run(job(program, ranks))
        grams = [state.own["gram"] for state in outcome.states.values()]
        np.testing.assert_allclose(grams[0], given @ given.T, rtol=1e-12, atol=1e-14)
        assert all(np.array_equal(gram, grams[0]) for gram in grams)


# where rules coincide


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [name for name in EVERY_RULE if name != "tail"])  # which averages also alone
def test_any_rule_on_one_node_is_sequential(name: str, dtype: str) -> None:
    rule, given = EVERY_RULE[name], Given(((PERIOD,),) * ROUNDS)
    found = run(averaging(1, given, rule), 1, dtype=dtype).model
    sequential = simulated(1).run(job(Sequential(ROUNDS, PERIOD, support.NO_LOOKS), 1, dtype=dtype)).model
    if name == "diagonal":  # divides by what it has multiplied with
        np.testing.assert_allclose(found, sequential, rtol=1e-9 if dtype == "float64" else 1e-3, atol=1e-6)
    else:
        assert found.tobytes() == sequential.tobytes()


def test_rules_coincide_with_pegasos_from_the_start() -> None:
    pegasos = StepSize("pegasos", 1e-2)
    ends = {
        name: run(averaging(4, ONCE, name, pegasos, rounds=1), 4).model
        for name in ("wp", "steps", "fednova", "shard")
    }
    np.testing.assert_allclose(ends["wp"], ends["steps"], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(ends["fednova"], ends["shard"], rtol=1e-12, atol=1e-14)
    assert not np.allclose(ends["wp"], ends["shard"], rtol=1e-3)


# fednova with the plain a_i = T_i, as published


@needing("contraction", "start")
def plain_fednova(facts: RoundFacts) -> Combination:
    """The rule for objectives without a regulariser that shrinks, tau_eff = mean; it diverges."""
    p, counts = np.array(facts.shards) / sum(facts.shards), np.array(facts.counts, dtype=np.float64)
    return moved(facts, float((p * counts).sum()) * p / counts)


@pytest.mark.parametrize(("period", "least"), [(800, 100.0), (1600, 1e10)])
def test_fednova_is_stable_where_the_plain_rule_diverges(period: int, least: float) -> None:
    # two nodes at speeds 1 and 0.1: (sum p T)(sum p / T) = 3.03. At eta lambda T = 8 the plain rule moves
    # away from the optimum round by round, at 16 by a constant factor
    step = StepSize("constant", 1e-2, 1.0)
    data = problem(400, 30, 5.0, noise=0.05, seed=1).rows
    halves, start = (data[:200], data[200:]), Objective("hinge", step, w0=4.0)

    def after(rule: Rule, rounds: int) -> float:
        ending = Given(((period, period // 10),) * rounds)
        program = Averaging(rounds, ending, rule, step, (200, 200), support.NO_LOOKS)
        runs = Job(program, lambda rank: make_learner(halves[rank], start, seed=0, rank=rank))
        return objective(simulated(2).run(runs).model, data, loss="hinge", alpha=step.alpha)

    stable, plain = ([after(rule, n) for n in (1, 8, 32)] for rule in (RULES["fednova"], plain_fednova))
    assert max(stable) < 0.75
    assert plain == sorted(plain)
    assert plain[-1] > least * stable[-1]


# nodes without rows


@pytest.mark.parametrize("name", EVERY_RULE)
@pytest.mark.parametrize("refined", [{}, REFINED], ids=["plain", "refined"])
def test_a_node_without_rows_changes_nothing_under_any_rule(name: str, refined: dict[str, Any]) -> None:
    # the same nodes with rows, beside one that has none: it adds nothing but its place in sums
    given = Given(((90, 0, 63, 17),) * 2)
    outcome = run(averaging(4, given, EVERY_RULE[name], rounds=2, empty=(1,), **refined), 4, empty=(1,))
    assert all(event["weights"][1] == 0.0 for event in support.of_kind(outcome, "round"))
    sizes = [size for size in support.sizes(4, (1,)) if size]
    ending = Given(((90, 63, 17),) * 2)
    rule, held = EVERY_RULE[name], [0, 2, 3]
    program = Averaging(2, ending, rule, OPTIMAL, tuple(sizes), support.NO_LOOKS, **refined)
    without = Job(
        program,
        lambda rank: support.learner_of(held[rank], 4, empty=(1,), kind=learner_for(rule)),
        sample=support.sample_of(),
    )
    np.testing.assert_allclose(outcome.model, simulated(3).run(without).model, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", EVERY_RULE)
@pytest.mark.parametrize("refined", [{}, REFINED], ids=["plain", "refined"])
def test_rounds_without_rows_leave_the_start_its_bits(name: str, refined: dict[str, Any]) -> None:
    given = Given(((90, 40, 1, 63), (0, 0, 0, 0), (0, 0, 0, 0)))
    one, three = (
        run(averaging(4, Given(given.counts[:n]), EVERY_RULE[name], rounds=n, **refined), 4) for n in (1, 3)
    )
    assert three.model.tobytes() == one.model.tobytes()


# what is done to a combination


def test_a_line_search_finds_the_length_of_a_dense_grid() -> None:
    plain, searched = (
        run(averaging(4, ONCE, "steps", CONSTANT, rounds=1, line_search=flag), 4) for flag in (False, True)
    )
    (event,) = support.of_kind(searched, "round")
    factor, sample, v = event["line_search_factor"], support.sample_of(), plain.model
    np.testing.assert_allclose(searched.model, factor * v, rtol=1e-15)
    margins, square = sample.margins(v), float(v @ v)
    grid = np.linspace(0.0, 4.0, 40_001)
    values = [sample.objective(c * margins, c * c * square) for c in grid]
    best = sample.objective(factor * margins, factor * factor * square)
    assert best <= min(values) + 1e-12
    assert abs(factor - grid[int(np.argmin(values))]) < 1e-3
    assert abs(factor - 1.0) > 1e-2


def test_a_line_search_leaves_the_intercept_alone() -> None:
    objective = Objective("hinge", CONSTANT, 0.25, intercept=True)

    def end(line_search: bool) -> Any:
        program = averaging(2, Given(((50, 80),)), "wp", CONSTANT, rounds=1, line_search=line_search)
        held = support.shards(2)
        return simulated(2).run(
            Job(
                program,
                lambda rank: make_learner(support.rows().take(held[rank]), objective, seed=7, rank=rank),
                sample=support.sample_of(),
            )
        )

    plain, searched = end(False).model, end(True).model
    assert searched[80] == plain[80] != 0.0
    assert not np.allclose(searched[:80], plain[:80], rtol=1e-3)


def test_outer_momentum_is_nesterovs() -> None:
    beta, rate = 0.6, 0.7
    found = run(
        averaging(3, Given(((40, 20, 30),) * 5), "uniform", CONSTANT, rounds=5, outer=Outer(beta, rate)), 3
    )
    learners = [support.learner_of(rank, 3, CONSTANT) for rank in range(3)]
    x, velocity = learners[0].weights.copy(), np.zeros(80)
    for _ in range(5):
        for learner, count in zip(learners, (40, 20, 30), strict=True):
            learner.advance(count)
        gradient = x - models(learners).mean(axis=0)
        velocity = beta * velocity + gradient
        x = x - rate * (gradient + beta * velocity)
        for learner in learners:
            learner.commit(x, max(one.steps for one in learners))
    np.testing.assert_allclose(found.model, x, rtol=1e-11, atol=1e-13)


def test_outer_momentum_of_nothing_changes_no_bit() -> None:
    usual, stayed = (
        run(averaging(3, support.given(3), "wp", outer=outer), 3) for outer in (Outer(), Outer(0.0, 1.0))
    )
    moved_on = run(averaging(3, support.given(3), "wp", outer=Outer(0.0, 0.9)), 3)
    assert stayed.model.tobytes() == usual.model.tobytes()
    assert "velocity" not in stayed.states[0].shared
    assert moved_on.model.tobytes() != usual.model.tobytes()


@pytest.mark.parametrize("refined", [{}, REFINED], ids=["plain", "refined"])
def test_a_look_inside_a_round_sees_what_its_end_there_would_give(refined: dict[str, Any]) -> None:
    first, second = UNEQUAL[:4], (40, 60, 80, 20)
    long = averaging(4, Given((first, second)), "inverse_variance", rounds=2, looks=Looks(4, 2), **refined)
    half = Given((first, (20, 30, 40, 10)))
    short = averaging(4, half, "inverse_variance", rounds=2, looks=Looks(2, 2), **refined)
    inside = support.of_kind(run(long, 4), "look")[2]
    end = support.of_kind(run(short, 4), "look")[1]
    assert inside["round"] == 1.5
    assert inside["objective"] == end["objective"]
    assert inside["relative_deviation"] == end["relative_deviation"]


def test_a_look_tells_how_far_apart_models_are() -> None:
    outcome = run(averaging(4, ONCE, "steps", CONSTANT, rounds=1, looks=Looks(1, 1)), 4)
    nodes, v = models(advanced()), outcome.model
    expected = np.sqrt(((nodes - v) ** 2).sum(axis=1).mean()) / np.linalg.norm(v)
    (event,) = support.of_kind(outcome, "look")
    assert event["relative_deviation"] == pytest.approx(expected, rel=1e-10)


# what is missing


def test_a_rule_without_its_learner_is_refused() -> None:
    for name, kind in (("tail", TailLearner), ("diagonal", SquaresLearner)):
        program = averaging(2, ByRows(5), name)
        bare = Job(program, lambda rank: support.learner_of(rank, 2))
        with pytest.raises(ConfigError, match=rf"^rank 0: the rule needs .*kind={kind.__name__}\)"):
            simulated(2).run(bare)


def test_models_cannot_be_judged_without_a_sample() -> None:
    for program in (averaging(2, ByRows(5), wp_with("validated")), averaging(2, ByRows(5), line_search=True)):
        bare = Job(program, lambda rank: support.learner_of(rank, 2))
        with pytest.raises(ConfigError, match=r"^rank 0: no sample of rows to judge models by"):
            simulated(2).run(bare)
