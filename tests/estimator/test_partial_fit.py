"""What partial_fit honours, against fits of as many passes, and what it refuses; averages that begin late."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_iris

from wpsgd import WPSGDClassifier
from wpsgd.data.rows import Rows
from wpsgd.errors import ConfigError
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.keeping import averaging
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Objective
from wpsgd.runtimes.costs import Cluster, RowCost
from wpsgd.runtimes.simulated import Simulated

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
TWO = (Y == 1).astype(int)


def ours(**keys: Any) -> WPSGDClassifier:
    return WPSGDClassifier(**{"random_state": 1, "tol": None, "alpha": 1e-2, **keys})


def same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one.coef_, other.coef_) and np.array_equal(one.intercept_, other.intercept_))


def passes(count: int, labels: Any, **keys: Any) -> WPSGDClassifier:
    model = ours(**keys)
    for _ in range(count):
        model.partial_fit(X, labels, classes=np.unique(labels))
    return model


@pytest.mark.parametrize("average", [True, 7, 150, 200, 320, 10**6])
def test_averaged_passes_are_an_averaged_fit_of_one_worker_bit_for_bit(average: int) -> None:
    for labels in (TWO, Y):
        whole = ours(average=average, n_workers=1, max_iter=3).fit(X, labels)
        assert whole.solver_ == "sgd"
        assert same(passes(3, labels, average=average), whole)
        plain = passes(3, labels)
        assert same(plain, whole) == (average == 10**6)
    assert same(passes(2, TWO, average=True), passes(2, TWO, rule="tail"))
    assert same(passes(2, TWO, average=True), passes(2, TWO, average=1))


def test_an_average_that_begins_late_is_that_of_the_iterates_from_there_on() -> None:
    rows = Rows.from_scipy(sparse.csr_array(X), np.where(TWO, 1.0, -1.0))
    objective = Objective("hinge", StepSize("optimal", 1e-2))
    late = make_learner(rows, objective, seed=3, rank=0, kind=averaging(100))
    late.advance(150)
    single = make_learner(rows, objective, seed=3, rank=0)
    mean = np.zeros(4)
    for step in range(1, 151):
        single.advance(1)
        if step > 100:
            share = 4.0 / (step - 100 + 3.0)
            mean = (1.0 - share) * mean + share * single.scale * single.weights
    assert np.allclose(late.contribution(), mean, rtol=1e-9)
    assert np.allclose(late.scale * late.weights, single.scale * single.weights)


def test_a_late_average_is_the_same_however_a_round_is_cut() -> None:
    keys: dict[str, Any] = {"average": 120, "max_iter": 2, "n_workers": 2, "solver": "sgd"}
    threads = ours(**keys, period=60).fit(X, TWO)
    cluster = Simulated(Cluster((RowCost(1e-6), RowCost(1e-6))), chunk=7)
    virtual = ours(**{**keys, "runtime": cluster, "strategy": "simuparallel"}, period=60).fit(X, TWO)
    assert same(threads, virtual)
    assert not same(threads, ours(**{**keys, "average": True}, period=60).fit(X, TWO))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"early_stopping": True}, "^early_stopping=True: "),
        ({"solver": "dual"}, "^solver='dual': "),
        ({"strategy": "wp"}, "^strategy='wp': "),
        ({"strategy": {"name": "hybrid", "delay": 2}}, "^strategy=.*hybrid"),
        ({"rule": "wp"}, "^rule='wp': "),
        ({"period": 10}, "^period=10: "),
        ({"probability": True}, "^probability=True: "),
        ({"class_weight": "balanced"}, "^class_weight='balanced': "),
        ({"runtime": Simulated(Cluster((RowCost(1e-6),)), chunk=7)}, "^runtime='simulated': "),
    ],
)
def test_what_a_pass_of_one_worker_cannot_do_is_refused_by_name(keys: dict[str, Any], message: str) -> None:
    model = ours().fit(X, Y)
    before = model.coef_.copy()
    with pytest.raises(ConfigError, match=message) as caught:
        model.set_params(**keys).partial_fit(X, Y)
    assert "\n" not in str(caught.value)
    assert np.array_equal(model.coef_, before)
    with pytest.raises(ConfigError, match=message):
        ours(**keys).partial_fit(X, Y, classes=[0, 1, 2])


def test_one_workers_strategy_is_honoured() -> None:
    for strategy in ("sequential", {"name": "sequential"}):
        assert same(passes(2, Y, strategy=strategy), passes(2, Y))


@pytest.mark.parametrize(
    "keys",
    [
        {"rule": "wp"},
        {"strategy": {"name": "wp", "rule": "steps"}},
        {"strategy": "minibatch"},
        {"strategy": "sequential"},
        {"learning_rate": "adagrad"},
        {"average": 5, "strategy": "hybrid"},
        {"average": 5, "strategy": {"name": "wp", "threads": 2}},
    ],
)
def test_an_average_is_refused_by_name_where_something_else_excludes_it(keys: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"^average=(True|5): ") as caught:
        ours(**{"average": True, **keys}).fit(X, Y)
    assert "\n" not in str(caught.value)


def test_averages_of_nothing_are_refused() -> None:
    for average in (0, -3, 1.5):
        with pytest.raises(ValueError, match="'average' parameter"):
            ours(average=average).fit(X, Y)
