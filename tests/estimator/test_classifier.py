"""WPSGDClassifier against LinearSVC, against the strategies, and against itself."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import dump_svmlight_file, load_breast_cancer, load_digits, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler, normalize
from sklearn.svm import LinearSVC

from wpsgd import WPSGDClassifier
from wpsgd.data.convert import Wishes, convert
from wpsgd.data.synthetic import problem
from wpsgd.errors import ConfigError, DataError
from wpsgd.estimator import choices, dual
from wpsgd.estimator.inputs import read
from wpsgd.estimator.solved import Solved
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Objective
from wpsgd.processors import processors
from wpsgd.runtimes.costs import Cluster, RowCost
from wpsgd.runtimes.simulated import Simulated


def text_like(rows: int = 1500, seed: int = 3) -> tuple[Any, Any]:
    made = problem(rows=rows, features=400, nonzeros_per_row=12, seed=seed).rows
    return sparse.csr_matrix(normalize(made.to_scipy())), made.labels


def same_model(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one.coef_, other.coef_) and np.array_equal(one.intercept_, other.intercept_))


def trained(**keys: Any) -> WPSGDClassifier:
    return WPSGDClassifier(**{"solver": "sgd", "tol": None, "max_iter": 4, "random_state": 5, **keys})


def test_importing_the_package_imports_neither_mpi_nor_matplotlib_nor_the_estimator() -> None:
    code = "import sys, wpsgd; print({'mpi4py', 'matplotlib', 'sklearn'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_the_default_objective_is_that_of_linear_svc(loss: str) -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    ours = WPSGDClassifier(loss, alpha=1e-2).fit(X, y)
    theirs = LinearSVC(loss=loss, C=1.0 / (1e-2 * len(y)), tol=1e-10, max_iter=1_000_000).fit(X, y)
    assert np.allclose(ours.coef_, theirs.coef_, atol=1e-4)
    assert np.allclose(ours.intercept_, theirs.intercept_, atol=1e-4)


def test_one_worker_of_any_averaging_strategy_is_sequential_sgd_bit_for_bit() -> None:
    X, y = text_like()
    sequential = trained(strategy="sequential").fit(X, y)
    for strategy in (
        "simuparallel",
        "wp",
        "average_directly",
        {"name": "hybrid", "delay": 0, "period": 1500},
    ):
        assert same_model(trained(strategy=strategy, n_workers=1).fit(X, y), sequential)


def test_sequential_sgd_is_that_of_a_learner_alone() -> None:
    X, y = text_like()
    model = trained(strategy="sequential", fit_intercept=False).fit(X, y)
    rows = problem(rows=1500, features=400, nonzeros_per_row=12, seed=3).rows
    rows = type(rows).from_scipy(X, rows.labels)
    seed = int(np.random.RandomState(5).randint(2**31 - 1))
    learner = make_learner(rows, Objective("hinge", StepSize("optimal", 1e-4)), seed=seed, rank=0)
    for _ in range(4):
        learner.advance(len(rows))
        learner.commit(learner.contribution(), learner.steps)
    assert np.array_equal(model.coef_[0], learner.weights)


@pytest.mark.parametrize("schedule", ["optimal", "adagrad"])
def test_passes_of_partial_fit_are_a_fit_of_one_worker_bit_for_bit(schedule: str) -> None:
    X, y = text_like()
    whole = trained(learning_rate=schedule, n_workers=1).fit(X, y)
    piecewise = trained(learning_rate=schedule)
    for _ in range(4):
        piecewise.partial_fit(X, y, classes=[-1.0, 1.0])
    assert same_model(piecewise, whole)
    shorter = trained(learning_rate=schedule, n_workers=1, max_iter=3).fit(X, y).partial_fit(X, y)
    assert same_model(shorter, whole)


@pytest.mark.parametrize("period", ["pass", 400])
@pytest.mark.parametrize("name", ["cocoa", "admm"])
def test_sgd_goes_on_from_dual_ascent_as_from_sgd(name: str, period: int | str) -> None:
    X, y = text_like(301)
    keys: dict[str, Any] = {"alpha": 1e-2, "n_workers": 2, "max_iter": 7, "period": period}
    ascended, descended = (trained(strategy=one, **keys).fit(X, y) for one in (name, "simuparallel"))
    assert ascended._learners == descended._learners


@pytest.mark.parametrize("keys", [{}, {"solver": "sgd", "max_iter": 5, "tol": None, "n_workers": 2}])
def test_fits_repeat_to_the_bit_whatever_n_jobs_is(keys: dict[str, Any]) -> None:
    X, y = load_digits(return_X_y=True)
    one = WPSGDClassifier(random_state=1, **keys).fit(X, y)
    assert same_model(WPSGDClassifier(random_state=1, **keys).fit(X, y), one)
    assert same_model(WPSGDClassifier(random_state=1, n_jobs=2, **keys).fit(X, y), one)


def test_index_and_value_types_change_nothing_but_the_precision() -> None:
    X, y = text_like(rows=600)
    double = WPSGDClassifier().fit(X, y)
    wide = X.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    for other in (wide, sparse.csr_array(X), X.toarray(), X.tocsc(), X.toarray().tolist()):
        assert np.allclose(WPSGDClassifier().fit(other, y).coef_, double.coef_, rtol=1e-9, atol=1e-12)
    single = WPSGDClassifier().fit(X.astype(np.float32), y)
    assert single.coef_.dtype == np.float32
    assert np.allclose(single.coef_, double.coef_, atol=1e-3)


def test_the_rows_of_a_store_stay_mapped_and_give_the_model_of_the_text(tmp_path: Path) -> None:
    X, y = text_like(rows=900)
    dump_svmlight_file(X, y, str(tmp_path / "text.svm"), zero_based=True)
    store = convert(tmp_path / "text.svm", tmp_path / "store", Wishes(zero_based=True))
    mapped = store.rows().to_scipy()
    keys: dict[str, Any] = {"fit_intercept": False, "alpha": 1e-2}
    model = WPSGDClassifier(**keys)
    rows = read(model, mapped, store.labels, None, reset=True).rows(mapped.shape[1], None)
    assert np.shares_memory(rows.values, store.values)
    assert np.shares_memory(rows.indices, store.indices)
    model.fit(mapped, store.labels)
    of_text = WPSGDClassifier(**keys).fit(X[:, : mapped.shape[1]], y)
    assert np.allclose(store.to_original(model.coef_[0]), of_text.coef_[0], atol=1e-6)


def test_a_balanced_class_weight_is_the_dict_of_it() -> None:
    X, y = load_iris(return_X_y=True)
    X, y = X[:120], y[:120]
    counts = np.bincount(y)
    balanced = {label: len(y) / (3 * counts[label]) for label in range(3)}
    one = WPSGDClassifier(class_weight="balanced").fit(X, y)
    other = WPSGDClassifier(class_weight=balanced).fit(X, y)
    assert np.allclose(one.coef_, other.coef_, rtol=1e-9)
    assert not np.allclose(one.coef_, WPSGDClassifier().fit(X, y).coef_, rtol=1e-3)
    weightless = np.where(y == 2, 0.0, 1.0)
    assert np.isfinite(WPSGDClassifier(class_weight="balanced").fit(X, y, weightless).coef_).all()


def test_auto_takes_the_dual_where_it_applies() -> None:
    X, y = load_iris(return_X_y=True)
    y = y == 1
    for keys in ({"strategy": "wp"}, {"early_stopping": True}, {"average": True}):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            assert WPSGDClassifier(max_iter=20, **keys).fit(X, y).solver_ == "sgd"
        with pytest.raises(ConfigError, match="solver"):
            WPSGDClassifier(solver="dual", **keys).fit(X, y)
    assert WPSGDClassifier().fit(X, y).solver_ == "dual"
    assert WPSGDClassifier("squared_hinge").fit(X, y).solver_ == "dual"


def test_a_simulated_cluster_trains_by_wp_and_leaves_its_trace() -> None:
    X, y = text_like()
    cluster = Simulated(Cluster((RowCost(1e-6), RowCost(2e-6))), chunk=10)
    model = trained(runtime=cluster).fit(X, y)
    rounds = [event for event in model.trace_ if event["kind"] == "round"]
    assert model.solver_ == "sgd"
    assert len(rounds) == 4
    assert rounds[0]["counts"][0] > rounds[0]["counts"][1] > 0
    assert same_model(trained(runtime=cluster).fit(X, y), model)


@pytest.mark.parametrize("solver", ["sgd", "dual"])
def test_a_fit_that_ends_too_early_says_what_to_do(solver: str) -> None:
    X, y = text_like(2500)
    X = sparse.hstack([X] * 2, format="csr")
    with pytest.warns(ConvergenceWarning, match=r"max_iter=1 passes .*raise max_iter or tol, or scale"):
        WPSGDClassifier(solver=solver, max_iter=1, tol=1e-9).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="raise max_seconds"):
        WPSGDClassifier(solver=solver, max_seconds=1e-9, tol=1e-9, alpha=1e-6).fit(X, y)


def test_early_stopping_ends_when_validation_rows_gain_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = text_like()
    model = WPSGDClassifier(
        early_stopping=True, n_iter_no_change=2, tol=0.01, max_iter=50, random_state=0, verbose=1
    ).fit(X, y)
    looks = [event["accuracy"] for event in model.trace_ if event["kind"] == "look"]
    assert model.n_iter_ == len(looks) < 50
    assert max(looks[-2:]) <= max(looks[:-2]) + 0.01
    assert capsys.readouterr().out.count("accuracy") == len(looks)


def test_strategies_refuse_in_one_line_what_they_cannot_do() -> None:
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ConfigError, match=r"did you mean 'wp'|must be one of"):
        WPSGDClassifier(strategy="wpp").fit(X, y == 1)
    with pytest.raises(ConfigError, match="follow from max_iter"):
        WPSGDClassifier(strategy={"name": "wp", "rounds": 3}).fit(X, y == 1)
    for factor in (-1.0, np.nan, np.inf):
        for solver in ("sgd", "dual"):
            with pytest.raises(DataError, match="class_weight="):
                WPSGDClassifier(solver=solver, class_weight={True: factor}).fit(X, y == 1)
    with pytest.raises(ConfigError, match="needs a name"):
        WPSGDClassifier(strategy={"rule": "wp"}).fit(X, y == 1)
    with pytest.raises(ValueError, match="'loss' parameter"):
        WPSGDClassifier("hinges").fit(X, y == 1)


@pytest.mark.parametrize("budget", [1, 2])
def test_classes_are_trained_side_by_side_as_far_as_the_working_memory_holds_them(
    monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    X = sparse.random(1200, 400, 0.02, format="csr", random_state=0)
    y = np.arange(1200) % 24
    lock, together, most = threading.Lock(), [0], [0]

    def solve(rows: Any, *args: Any, **keys: Any) -> Solved:
        with lock:
            together[0] += 1
            most[0] = max(most[0], together[0])
        time.sleep(0.01)
        with lock:
            together[0] -= 1
        return Solved(np.zeros(rows.features), 1.0, [])

    monkeypatch.setattr(dual, "solve", solve)
    each = (X.nnz + 1200) * 12 + 64 * 1200 + 16 * 401
    with config_context(working_memory=(budget + 0.5) * each / 2**20):
        model = WPSGDClassifier(n_jobs=8).fit(X, y)
    assert 1 <= most[0] <= budget
    assert model.coef_.shape == (24, 400)


def test_workers_are_no_more_than_rows_suffice_for() -> None:
    assert choices.worker_count(WPSGDClassifier(), 9_999) == 1
    assert choices.worker_count(WPSGDClassifier(), 10**9) == processors()
    assert choices.worker_count(WPSGDClassifier(n_workers=3), 10) == 3
