"""What other rules would have given: against combining the same models by hand, and unnoticed by the run."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import support
from support import ADAGRAD, CONSTANT, OPTIMAL, ROUNDS, UNEQUAL, averaging, job, simulated

from wpsgd.evaluate import Scorer, accuracy, line_search, objective
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.keeping import AskedLearner
from wpsgd.learners.node import InNode, make_learner
from wpsgd.learners.sgd import Objective
from wpsgd.reducers import RULES, Moments, RoundFacts, SampledModels, wp_with
from wpsgd.requests import Node, State
from wpsgd.runtimes.job import Job, Outcome
from wpsgd.runtimes.local import Local
from wpsgd.strategies.averaging import Averaging
from wpsgd.strategies.combining import FLOOR
from wpsgd.strategies.counterfactual import AS_RUN, CANDIDATES, product
from wpsgd.strategies.hybrid import Hybrid
from wpsgd.strategies.line_search import Line, lowest
from wpsgd.strategies.outer import Outer
from wpsgd.strategies.patterns import ByRows, Given, Looks

RANKS = 4
COUNTS, BEFORE = UNEQUAL[:RANKS], (30, 17, 55, 8)
LINEAR = {"uniform", "wp", "steps", "shard", "fednova", "asum", "inverse_variance", "wp, validated"}
KEPT = {"diagonal", "tail"}  # ask for what learners keep for them alone
SCORES = ("objective", "test_objective", "accuracy", "objective_after_line_search", "effective_nodes")


def scorer_of(rank: int, dtype: str = "float64") -> Scorer:
    rows = support.rows(dtype)
    mine = slice(400 * rank // RANKS, 400 * (rank + 1) // RANKS)
    tested = slice(400 + 200 * rank // RANKS, 400 + 200 * (rank + 1) // RANKS)
    return Scorer(rows[mine], rows[tested], "hinge", 1e-3)


def run(program: Averaging, place: Any = None, intercept: bool = False, **settings: Any) -> Outcome:
    made = job(program, RANKS, program.step, scorer=scorer_of, asked=settings.pop("asked", True), **settings)
    if intercept:
        made = replace(made, learner=lambda rank: learner_of(rank, intercept=True, step=program.step))
    return (place or simulated(RANKS)).run(made)


def learner_of(rank: int, *, intercept: bool = False, step: StepSize = CONSTANT) -> Any:
    held = support.rows().take(support.shards(RANKS)[rank])
    objective = Objective("hinge", step, 0.25, intercept)
    return make_learner(held, objective, InNode(), seed=7, rank=rank, kind=AskedLearner)


def asked_about(rule: str, step: StepSize = CONSTANT, rounds: int = 1, **more: Any) -> Averaging:
    program = averaging(RANKS, support.given(RANKS, rounds), rule, step, rounds=rounds, **more)
    return replace(program, counterfactual=True)


def found(outcome: Outcome, round: float) -> dict[str, Any]:
    events = support.of_kind(outcome, "counterfactual")
    return {event["rule"]: event for event in events if event["round"] == round}


@pytest.mark.parametrize("intercept", [False, True])
def test_every_rule_is_scored_as_if_the_models_had_been_combined_by_it(intercept: bool) -> None:
    # after a first round that no look sees, of which `inverse_variance` remembers moments
    given = Given((BEFORE, COUNTS))
    program = averaging(RANKS, given, "uniform", CONSTANT, rounds=2, looks=Looks(1, 2))
    table = found(run(replace(program, counterfactual=True), intercept=intercept), 2)
    learners = [learner_of(rank, intercept=intercept) for rank in range(RANKS)]
    x0 = learners[0].weights.copy()
    for learner, count in zip(learners, BEFORE, strict=True):
        learner.advance(count)
    nodes = np.array([learner.contribution() for learner in learners])
    v = nodes.mean(axis=0)
    spread = sum(count * float((w - v) @ (w - v)) for count, w in zip(BEFORE, nodes, strict=True))
    moments = Moments(float((v - x0) @ (v - x0)), spread / (RANKS - 1))
    for learner, count in zip(learners, COUNTS, strict=True):
        learner.commit(v, max(BEFORE))
        learner.advance(count)
    x0, nodes = v, np.array([learner.contribution() for learner in learners])
    averages = np.array([learner.average() for learner in learners])
    squares = np.array([learner.squares() for learner in learners]) + FLOOR
    sample = support.sample_of()
    models = SampledModels(
        sample, np.array([sample.margins(w) for w in nodes]), nodes[:, :80] @ nodes[:, :80].T
    )
    facts = RoundFacts(
        COUNTS, max(BEFORE), CONSTANT, support.sizes(RANKS), moments, tuple(squares.sum(axis=1)), models
    )
    train, test = support.rows()[:400], support.rows()[400:]
    assert table.keys() == {*CANDIDATES, AS_RUN}
    for name in CANDIDATES:
        combination = CANDIDATES[name](facts)
        v = combination.start * x0 + combination.omega @ (averages if name == "tail" else nodes)
        if name == "diagonal":
            v = (squares * nodes).sum(axis=0) / squares.sum(axis=0)
        length, shortest = line_search(v, train, loss="hinge", alpha=1e-3)
        expected = {
            "objective": objective(v, train, loss="hinge", alpha=1e-3),
            "test_objective": objective(v, test, loss="hinge", alpha=1e-3),
            "accuracy": accuracy(v, test),
            "objective_after_line_search": shortest,
            "effective_nodes": 1.0 / np.square(combination.omega).sum(),
        }
        for score, value in expected.items():
            assert table[name][score] == pytest.approx(value, rel=1e-7), (name, score)
        assert table[name]["line_search_factor"] == pytest.approx(length, rel=2e-2)
    assert len({table[name]["objective"] for name in CANDIDATES}) == len(CANDIDATES)


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_of_a_run_is_found_in_its_table(rule: str) -> None:
    outcome = run(asked_about(rule, OPTIMAL, ROUNDS, looks=Looks(ROUNDS, ROUNDS)))
    looks = {event["round"]: event for event in support.of_kind(outcome, "look")}
    assert len(looks) == ROUNDS
    for round, look in looks.items():
        table = found(outcome, round)
        assert table[AS_RUN]["objective"] == pytest.approx(look["objective"], rel=1e-12)
        assert table[AS_RUN]["accuracy"] == look["accuracy"]
        for score in SCORES:
            assert table[rule][score] == pytest.approx(table[AS_RUN][score], rel=1e-9)
        asked = CANDIDATES.keys() if rule != "tail" else CANDIDATES.keys() - {"inverse_variance"}
        assert {name for name in table if "left_out" not in table[name]} == {*asked, AS_RUN}


def test_rules_are_asked_about_iterates_where_the_run_combines_averages() -> None:
    tables = [found(run(asked_about(rule, looks=Looks(1, 1))), 1) for rule in ("uniform", "tail")]
    for name in CANDIDATES.keys() - {"inverse_variance"}:
        assert tables[1][name] == tables[0][name]
    assert tables[0][AS_RUN] != tables[1][AS_RUN]
    assert "averages" in tables[1]["inverse_variance"]["left_out"]


def test_what_is_done_to_a_combination_besides_is_scored_as_run_only() -> None:
    program = asked_about("wp", looks=Looks(1, 1), line_search=True, outer=Outer(0.5, 0.9))
    outcome = run(program)
    table = found(outcome, 1)
    (look,) = support.of_kind(outcome, "look")
    assert table[AS_RUN]["objective"] == pytest.approx(look["objective"], rel=1e-12)
    plain = found(run(asked_about("wp", looks=Looks(1, 1))), 1)
    assert table["wp"]["objective"] == plain["wp"]["objective"] != table[AS_RUN]["objective"]


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_a_run_that_ended_out_of_range_tells_of_other_rules_all_the_same() -> None:
    lost, plain = (
        found(run(asked_about("wp", looks=Looks(1, 1), outer=outer)), 1)
        for outer in (Outer(0.0, inf), Outer())
    )
    assert not isfinite(lost[AS_RUN]["objective"])
    assert {name: lost[name] for name in CANDIDATES} == {name: plain[name] for name in CANDIDATES}


@pytest.mark.parametrize("looks", [2, 3 * ROUNDS])
@pytest.mark.parametrize("rule", ["wp", "diagonal", "tail", "inverse_variance"])
@pytest.mark.parametrize("wire", ["dense", "sparse"])
def test_asking_changes_neither_a_bit_nor_the_clock(rule: str, looks: int, wire: Any) -> None:
    wire = "dense" if rule in ("diagonal", "tail") else wire
    program = replace(asked_about(rule, OPTIMAL, ROUNDS, looks=Looks(looks, ROUNDS)), wire=wire)
    told, silent = run(program), run(replace(program, counterfactual=False), asked=False)
    assert told.model.tobytes() == silent.model.tobytes()
    assert len(support.of_kind(told, "counterfactual")) == looks * (1 + len(CANDIDATES))
    kept = [event for event in told.events if event["kind"] != "counterfactual"]
    assert [{**event, "host": ""} for event in kept] == [{**event, "host": ""} for event in silent.events]


def test_threads_find_what_virtual_clocks_find() -> None:
    program = asked_about("asum", OPTIMAL, ROUNDS, looks=Looks(2 * ROUNDS, ROUNDS))
    tables = [support.of_kind(run(program, place), "counterfactual") for place in (None, Local(RANKS))]
    assert tables[0] == tables[1]


def test_a_resumed_run_asks_on(tmp_path: Path) -> None:
    program = asked_about("uniform", OPTIMAL, ROUNDS, looks=Looks(ROUNDS, ROUNDS))
    whole = run(program)
    run(program, keeper=support.keeper(tmp_path, stop_after=2))
    rest = run(program, state=support.resumed(tmp_path))
    tables = [support.of_kind(outcome, "counterfactual") for outcome in (whole, rest)]
    assert tables[0] == tables[1]


def test_rules_that_cannot_be_asked_are_left_out_with_the_reason() -> None:
    plain = found(run(asked_about("uniform", looks=Looks(1, 1)), asked=False), 1)
    without = {name: event["left_out"] for name, event in plain.items() if "left_out" in event}
    assert without.keys() == KEPT
    assert "squared gradients" in without["diagonal"]
    assert "iterates" in without["tail"]
    scaled = found(run(asked_about("uniform", ADAGRAD, looks=Looks(1, 1))), 1)
    assert {name for name in scaled if "left_out" not in scaled[name]} == {
        AS_RUN,
        "uniform",
        "steps",
        "shard",
        "diagonal",
    }
    assert scaled["tail"]["left_out"] == "needs one step size for all coordinates"
    nothing = replace(job(asked_about("wp", looks=Looks(1, 1)), RANKS, CONSTANT), sample=None)
    unsampled = found(simulated(RANKS).run(nothing), 1)
    assert unsampled["wp, validated"]["left_out"] == "needs a sample of rows"


def test_a_rule_of_fresh_decay_is_not_asked_about_late_decay() -> None:
    common = (support.sizes(RANKS), Looks(1, 1))
    program = Hybrid(1, ByRows(20), RULES["uniform"], CONSTANT, *common, counterfactual=True)
    inside = InNode(delay=3, stale_decay=True)
    rows, shards = support.rows(), support.shards(RANKS)
    made = replace(
        job(program, RANKS, CONSTANT, scorer=scorer_of),
        learner=lambda rank: make_learner(
            rows.take(shards[rank]), Objective("hinge", CONSTANT), inside, seed=7, rank=rank
        ),
    )
    table = found(simulated(RANKS).run(made), 1)
    assert {name for name in table if "left_out" not in table[name]} == {AS_RUN, "uniform", "steps", "shard"}


def test_a_round_without_rows_leaves_nothing_to_ask() -> None:
    everybody = tuple(range(RANKS))
    program = replace(
        averaging(RANKS, ByRows(9), "wp", CONSTANT, looks=Looks(ROUNDS, ROUNDS), empty=everybody),
        counterfactual=True,
    )
    assert not support.of_kind(run(program, empty=everybody), "counterfactual")


def test_models_are_searched_as_one_node_alone_would_search_them() -> None:
    rows = support.rows()[:400]
    models = np.random.default_rng(2).standard_normal((5, 80)) * np.array(
        [[1e-3], [0.1], [1.0], [10.0], [0.0]]
    )
    models[:4] += np.linalg.lstsq(rows.to_scipy().toarray(), rows.labels, rcond=None)[0]

    async def search(node: Node, state: State) -> State:
        scorer = scorer_of(node.rank)
        margins = np.array([scorer.margins(w)[0] for w in models])
        squares = 0.5 * scorer.alpha * np.square(models).sum(axis=1)
        lowest_of = await lowest(Line(scorer, margins, np.zeros((5, 1)), squares))
        return State(0, {}, {"found": np.array(lowest_of)})

    states = simulated(RANKS).run(Job(search, lambda rank: support.learner_of(rank, RANKS))).states
    answers = np.array([state.own["found"] for state in states.values()])
    assert (answers == answers[0]).all()
    expected = [line_search(w, rows, loss="hinge", alpha=1e-3) for w in models]
    np.testing.assert_allclose(answers[0, :, 1], [best for _, best in expected], rtol=1e-7)
    np.testing.assert_allclose(answers[0, :, 0], [length for length, _ in expected], rtol=2e-2)


def test_validated_is_what_a_run_with_it_gives() -> None:
    given = Given((COUNTS,))
    program = averaging(RANKS, given, wp_with("validated"), CONSTANT, rounds=1, looks=Looks(1, 1))
    outcome = run(replace(program, counterfactual=True))
    table = found(outcome, 1)
    for score in SCORES:
        assert table["wp, validated"][score] == pytest.approx(table[AS_RUN][score], rel=1e-9)


def test_nodes_that_round_differently_search_along_the_same_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    off, seen = iter(range(1, 10**6)), list[bytes]()

    def rounded(one: Any, other: Any) -> float:
        return product(one, other) * (1.0 + 1e-13 * next(off))

    def recorded(line: Line) -> Any:
        seen.append(line.squares.tobytes())
        return lowest(line)

    monkeypatch.setattr("wpsgd.strategies.counterfactual.product", rounded)
    monkeypatch.setattr("wpsgd.strategies.counterfactual.lowest", recorded)
    run(asked_about("uniform", looks=Looks(1, 1)))
    assert len(seen) == RANKS
    assert len(set(seen)) == 1
