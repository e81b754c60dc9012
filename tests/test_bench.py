"""The bench: its arithmetic, its judge, and a run of every task on tiny data."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # the bench is no part of the package

from experiments.bench import tuning  # noqa: E402
from experiments.bench.bench import Bench  # noqa: E402
from experiments.bench.data import Data  # noqa: E402
from experiments.bench.dot_kernel import dot_pass  # noqa: E402
from experiments.bench.goals import Goal  # noqa: E402
from experiments.bench.objective import hinge_bound, hinge_objective  # noqa: E402
from experiments.bench.peers import Knob, linear_svc, missing, ours, sgd_classifier, snap_ml  # noqa: E402
from experiments.bench.report import text_of  # noqa: E402
from experiments.bench.results import Results, with_unit  # noqa: E402
from experiments.bench.run import TASKS  # noqa: E402
from experiments.bench.tasks import targets, vowpal  # noqa: E402
from experiments.bench.tasks.epochs import ALPHA, trained  # noqa: E402
from experiments.bench.timing import Times, interleaved, ratio  # noqa: E402
from experiments.bench.tuning import Tried, best  # noqa: E402
from wpsgd.data.synthetic import problem  # noqa: E402
from wpsgd.dual import solve_dual  # noqa: E402
from wpsgd.evaluate import objective  # noqa: E402
from wpsgd.kernels.gradient import margins  # noqa: E402
from wpsgd.learners.sgd import kernel_arrays  # noqa: E402

pytestmark = pytest.mark.timeout(1800)  # a run of all tasks, beside whatever else a machine does
PEERS = {"Snap ML": "snapml", "Vowpal Wabbit": "vowpalwabbit"}


@pytest.fixture(scope="module")
def data() -> Data:
    return Data("small", problem(rows=600, features=80, nonzeros_per_row=9, noise=0.1).rows)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Results, str]:
    """The results of a run of all tasks as its user starts it, and its last line."""
    out, cache = tmp_path_factory.mktemp("results"), tmp_path_factory.mktemp("cache")
    asked = ["--scale", "small", "--repeats", "1", "--full-width", "--out", str(out), "--cache", str(cache)]
    done = subprocess.run(
        [sys.executable, "-m", "experiments.bench", *asked, "--quiet"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = Results.model_validate_json((out / "bench.json").read_text())
    assert (out / "bench.txt").read_text() == text_of(results)
    return results, done.stdout.strip().splitlines()[-1]


def test_ratios_are_of_medians_and_say_how_many_times_longer_the_first_takes() -> None:
    slow, fast = Times((6.0, 1.0, 8.0), (3.0, 3.0, 9.0)), Times((2.0, 90.0, 1.0), (1.0, 2.0, 0.5))
    assert ratio(slow, fast) == (3.0, 3.0)
    assert ratio(slow, slow.per(4))[0] == 4.0


def test_cases_are_timed_in_turn_and_warmed_up_without_being_counted() -> None:
    calls: list[str] = []

    def short() -> None:
        calls.append("a")

    def long() -> str:
        calls.append("b")
        time.sleep(0.02)
        return "done"

    found = interleaved({"a": short, "b": long}, repeats=3)
    assert "".join(calls) == "abababab"
    assert len(found["a"].walls) == len(found["b"].walls) == 3
    assert found["b"].wall >= 0.02
    assert found["b"].wall > found["b"].cpu  # who sleeps takes no processor
    assert found["b"].last == "done"


@pytest.mark.parametrize(
    ("value", "higher", "verdict"),
    [
        (2.9, True, "UNDER"),
        (3.0, True, "meets least"),
        (5.0, True, "meets aim"),
        (5.1, False, "UNDER"),
        (5.0, False, "meets least"),
        (3.0, False, "meets aim"),
    ],
)
def test_goals_are_bounds_from_below_or_from_above(value: float, higher: bool, verdict: str) -> None:
    goal = Goal(3.0, 5.0) if higher else Goal(5.0, 3.0, higher=False)
    assert goal.verdict(value) == verdict


def test_the_last_line_names_what_is_under_its_least_and_nothing_else(tmp_path: Path) -> None:
    bench = Bench("small", 1, False, tmp_path)
    bench.faster("epochs", "too slow", (Times((2.0,), (2.0,)), Times((1.0,), (1.0,))), Goal(3.0, 4.0))
    bench.faster("epochs", "quick", (Times((9.0,), (9.0,)), Times((1.0,), (1.0,))), Goal(3.0, 4.0))
    bench.figure("epochs", "no goal", 0.1)
    about = {"command": "x", "date": "x", "commit": "x", "machine": {}, "environment": {}, "versions": {}}
    figures = tuple(bench.figures)
    results = Results(scale="small", seconds=1.0, measurements=(), figures=figures, skipped=(), **about)
    text = text_of(results)
    assert text.splitlines()[-1] == "under 'at least': too slow (2.00x)"
    assert text_of(results.model_copy(update={"figures": figures[1:]})).splitlines()[-1].endswith(": none")


def test_values_are_written_in_units_that_people_read() -> None:
    shown = [
        with_unit(value, unit) for value, unit in [(0.0123, "s"), (2.0, "s"), (0.931, "share"), (3, "x")]
    ]
    assert shown == ["12.3 ms", "2.00 s", "93.1 %", "3.00x"]


def test_the_judge_agrees_with_the_objective_of_the_package(data: Data) -> None:
    weights = np.random.default_rng(0).normal(size=data.rows.features)
    judged = hinge_objective(data.matrix, data.rows.labels, 0.03, weights)
    assert judged == pytest.approx(objective(weights, data.rows, loss="hinge", alpha=0.03), rel=1e-12)


def test_the_bound_is_below_all_weights_and_meets_the_optimum(data: Data) -> None:
    found = solve_dual(data.rows, "hinge", 1e-2, tol=1e-8)
    bound = hinge_bound(data.matrix, data.rows.labels, 1e-2, found.dual)
    above = hinge_objective(data.matrix, data.rows.labels, 1e-2, found.weights)
    assert 0.0 <= above - bound <= 1e-7 * above
    half = hinge_bound(data.matrix, data.rows.labels, 1e-2, 0.5 * found.dual)
    assert half < bound - 1e-3


@pytest.mark.parametrize("name", ["LinearSVC", "Snap ML", "float64", "float32"])
def test_all_competitors_minimise_the_same_function(name: str, data: Data) -> None:
    alpha = 1e-2
    if name == "Snap ML" and (reason := missing("snapml")):
        pytest.skip(reason)
    if name == "LinearSVC":
        weights = linear_svc(data, alpha)[0].fit(2000)
    elif name == "Snap ML":
        weights = snap_ml(data, alpha)[0].fit(2000)
    else:
        weights = ours(data, alpha, dtype=name)[0].fit(20)
    optimum = solve_dual(data.rows, "hinge", alpha, tol=1e-8).objective
    assert hinge_objective(data.matrix, data.rows.labels, alpha, weights) == pytest.approx(optimum, rel=1e-4)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_epochs_in_file_order_do_the_same_work_as_those_of_sgd_classifier(dtype: str, data: Data) -> None:
    mine = trained(data.rows.astype(dtype), shuffle=False)
    theirs = sgd_classifier(data, ALPHA, 3, dtype=dtype, shuffle=False)
    assert np.linalg.norm(mine - theirs) <= (1e-9 if dtype == "float64" else 1e-2) * np.linalg.norm(theirs)


def test_rows_of_the_store_are_the_same_rows_with_popular_columns_first(data: Data) -> None:
    stored, columns = data.stored
    there, here = stored.to_scipy(), data.rows.to_scipy()
    assert (there != here[:, columns]).nnz == 0
    assert (np.diff(np.bincount(stored.indices, minlength=stored.features)) <= 0).all()


@pytest.mark.parametrize("ahead", [0, 2])
def test_the_pass_of_dot_products_adds_up_all_rows(ahead: int, data: Data) -> None:
    w = np.random.default_rng(1).normal(size=data.rows.features)
    out = np.empty(len(data.rows))
    indptr, indices, values, labels, _ = kernel_arrays(data.rows)
    margins(w, 0.0, indptr, indices, values, labels, out)
    order = np.random.default_rng(2).permutation(len(data.rows))
    total = dot_pass(w, indptr, indices, values, order, ahead)
    assert total == pytest.approx(float((out * labels).sum()), rel=1e-10)


@dataclass
class Competitor:
    """One whose objective falls to 0 at the setting `needed`, on a clock of its own; asked: its fits."""

    needed: int
    seconds: Callable[[int], float]
    clock: list[float]
    asked: list[int] = field(default_factory=list)

    def fit(self, setting: int) -> NDArray[np.float64]:
        self.asked.append(setting)
        self.clock[0] += self.seconds(setting)
        return np.array([max(0.0, float(self.needed - setting))])

    def tried(self, name: str, *, bisect: bool, default: int | None = None) -> Tried:
        knob = Knob(name, self.fit, tuple(2**k for k in range(8)), bisect=bisect, default=default)
        return Tried(knob, judge=lambda weights: float(weights[0]))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(tuning, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    return now


def test_tuning_finds_the_smallest_setting_and_tries_none_twice(clock: list[float]) -> None:
    steps = Competitor(11, float, clock)
    tried = steps.tried("steps", bisect=True)
    assert tried.soonest(0.0) == 11
    assert tried.soonest(3.0) == 8
    assert len(steps.asked) == len(set(steps.asked))


def test_tuning_takes_the_quickest_of_the_first_settings_that_do(clock: list[float]) -> None:
    seconds = {2: 1.0, 4: 9.0, 8: 6.0, 16: 4.0, 32: 5.0, 64: 1.0}
    tolerance = Competitor(3, lambda k: seconds.get(k, 0.0), clock)
    assert tolerance.tried("tol", bisect=False).soonest(0.0) == 16
    assert 64 not in tolerance.asked


def test_tuning_tries_the_default_too_unless_that_may_take_long(clock: list[float]) -> None:
    seconds = {4: 1.5, 8: 1.6, 16: 1.7, 32: 1.8, 128: 0.5}
    quick = Competitor(3, lambda k: seconds.get(k, 0.0), clock)
    assert quick.tried("tol", bisect=False, default=128).soonest(0.0) == 128
    assert quick.tried("tol", bisect=False).soonest(0.0) == 4
    slow = Competitor(3, lambda k: (1.0 + tuning.PROMPT) * seconds.get(k, 0.0), clock)
    assert slow.tried("tol", bisect=False, default=128).soonest(0.0) == 4
    short = Competitor(8, lambda k: 1.0, clock)  # a default that does not reach the target
    assert short.tried("tol", bisect=False, default=4).soonest(0.0) == 8


def test_tuning_tries_nothing_beyond_a_fit_that_took_too_long(clock: list[float]) -> None:
    tolerance = Competitor(3, lambda k: 1.5 * tuning.PATIENCE if k == 8 else float(k), clock)
    assert tolerance.tried("tol", bisect=False).soonest(0.0) == 4
    assert max(tolerance.asked) == 8


def test_tuning_takes_the_quicker_of_two_knobs(clock: list[float]) -> None:
    slow = Competitor(4, lambda k: 3.0, clock).tried("slow", bisect=True)
    quick = Competitor(60, lambda k: k / 100.0, clock).tried("quick", bisect=False)
    chosen = best([slow, quick], 0.0)
    assert chosen is not None
    assert (chosen[0].knob.name, chosen[1]) == ("quick", 64)
    assert best([slow, quick], -1.0) is None


@pytest.mark.parametrize("task", TASKS)
def test_every_task_measures_or_says_why_not(task: str, ran: tuple[Results, str]) -> None:
    results, _ = ran
    measured = {one.task for one in results.measurements}
    reasons = {one.task: one.reason for one in results.skipped}
    assert task in measured or reasons.get(task)
    assert not [one.reason for one in results.skipped if "failed" in one.reason]


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_takes_part_or_is_skipped_with_its_reason(peer: str, ran: tuple[Results, str]) -> None:
    results, _ = ran
    reasons = [one.reason for one in results.skipped if one.what == peer]
    if importlib.util.find_spec(PEERS[peer]) is None:
        assert reasons
        assert all(PEERS[peer] in reason for reason in reasons)
    else:
        named = [one.name for one in results.figures] + [one.what for one in results.skipped]
        assert any(peer in name for name in named)


def test_measurements_hold_medians_of_their_runs(ran: tuple[Results, str]) -> None:
    timed = [one for one in ran[0].measurements if one.wall is not None]
    assert timed
    for one in timed:
        assert one.wall == pytest.approx(float(np.median(one.runs)))


def test_ratios_of_the_run_follow_from_its_measurements(ran: tuple[Results, str]) -> None:
    results, _ = ran
    case = "default order, float64"
    walls = {
        one.competitor: one.wall
        for one in results.measurements
        if (one.task, one.data, one.case) == ("epochs", "real-sim-twin", case)
    }
    figure = next(one for one in results.figures if one.name.endswith(f"real-sim-twin, {case}"))
    assert figure.value == pytest.approx(walls["SGDClassifier"] / walls["ours"])


def test_our_side_of_a_ratio_is_the_quicker_of_tuned_and_as_it_comes(tmp_path: Path) -> None:
    bench = Bench("small", 1, False, tmp_path)
    walls = {"LinearSVC": 8.0, "ours, float32": 4.0, "ours, float32, certified": 2.0, "ours, float64": 1.0}
    walls["ours, float64, certified"] = 5.0
    targets._figures(bench, "x", {name: Times((wall,), (wall,)) for name, wall in walls.items()}, True)
    found = {one.name: one.value for one in bench.figures}
    assert found["LinearSVC / ours, float32, x"] == 4.0
    assert found["LinearSVC / ours, float64, x"] == 8.0
    assert found["LinearSVC / ours, float64, certified, x"] == 1.6


@pytest.mark.skipif(missing("vowpalwabbit") is not None, reason="vowpalwabbit is not installed")
@pytest.mark.parametrize("way", ["online, passes", "--bfgs, passes"])
def test_weights_read_from_vowpal_wabbit_are_those_it_predicts_with(
    way: str, data: Data, tmp_path: Path
) -> None:
    rows, text = data.rows.unit_norm(), tmp_path / "rows.vw"
    text.write_text(vowpal.text_of(rows), encoding="ascii")
    workspace = vowpal.learnt(text, rows.features, vowpal.settings(len(rows))[way][0], 6)
    weights = vowpal.weights_of(workspace, rows.features)
    lines = text.read_text().splitlines()[:200]
    predicted = [workspace.predict(line.partition("|")[1] + line.partition("|")[2]) for line in lines]
    margins_of_labels = np.clip(rows.to_scipy()[:200] @ weights, -1.0, 1.0)  # as it says them with this loss
    np.testing.assert_allclose(margins_of_labels, predicted, rtol=1e-3, atol=1e-4)
    assert (np.abs(predicted) < 1.0).sum() > 5
    workspace.finish()


def test_all_who_are_timed_to_a_target_have_reached_it(ran: tuple[Results, str]) -> None:
    found = [one for one in ran[0].measurements if one.task == "targets"]
    assert {one.competitor for one in found} >= {"LinearSVC", "ours, float32", "ours, float64, certified"}
    for one in found:
        assert one.reached is not None
        assert -1e-6 <= one.reached <= (0.001 if one.case.endswith("0.1 %") else 0.01)


def test_a_run_names_machine_versions_and_what_is_under_its_least(ran: tuple[Results, str]) -> None:
    results, line = ran
    assert {"processor", "cores", "load", "load at the end"} <= results.machine.keys()
    assert {"python", "numba", "scikit-learn"} <= results.versions.keys()
    assert results.environment["OMP_NUM_THREADS"] == "1"
    for figure in results.figures:
        assert (f"{figure.name} (" in line) == (figure.verdict == "UNDER")


def test_an_unknown_task_is_refused_with_the_names_there_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "experiments.bench", "--tasks", "epoch"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert all(task in done.stderr for task in TASKS)
