"""Smooth losses by SGD at default settings, any alpha, and models that are worse than none."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_iris, load_wine, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import StandardScaler

from wpsgd import WPSGDClassifier
from wpsgd.estimator.shortening import best_part, said_of_length
from wpsgd.estimator.solved import Solved
from wpsgd.evaluate import losses_at

SMOOTH = ("squared_hinge", "log_loss", "modified_huber")
AT_ZERO = {"hinge": 1.0, "squared_hinge": 1.0, "log_loss": np.log(2.0), "modified_huber": 1.0}


@cache
def data(name: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    if name == "normal":
        rng = np.random.default_rng(0)
        x = rng.normal(size=(2000, 6))
        return x, (x[:, 0] + rng.normal(size=2000) > 0).astype(int)
    if name == "made":
        return make_classification(1000, 20, random_state=0)  # type: ignore[no-any-return]
    if name == "outliers":
        x, y = data("normal")
        x = x.copy()
        x[::200] *= 1e3
        return x, y
    load = {"cancer": load_breast_cancer, "iris": load_iris, "wine": load_wine}[name.removesuffix(", raw")]
    x, y = load(return_X_y=True)
    return (x if name.endswith("raw") else StandardScaler().fit_transform(x)), y


def ours(loss: str, **keys: Any) -> WPSGDClassifier:
    return WPSGDClassifier(loss=loss, **{"solver": "sgd", "random_state": 0, **keys})


def objective(model: WPSGDClassifier, x: Any, y: Any) -> float:
    """The largest over classes, as the formula has it."""
    found = []
    for k, label in enumerate(model.classes_[-len(model.coef_) :]):
        w, b = model.coef_[k], model.intercept_[k]
        margins = np.where(y == label, 1.0, -1.0) * (x @ w + b)
        found.append(0.5 * model.alpha * (w @ w + b * b) + float(losses_at(model.loss, margins).mean()))
    return max(found)


@pytest.mark.parametrize("name", ["normal", "made", "cancer", "iris", "wine"])
@pytest.mark.parametrize("loss", SMOOTH)
def test_default_settings_train_where_sgdclassifier_trains(loss: str, name: str) -> None:
    x, y = data(name)
    peer = SGDClassifier(loss=loss, random_state=0).fit(x, y).score(x, y)
    model = ours(loss).fit(x, y)
    assert model.score(x, y) >= peer - 0.02
    assert objective(model, x, y) < 0.99 * AT_ZERO[loss] * (1.5 if name == "iris" else 1.0)


@pytest.mark.parametrize(
    "keys",
    [
        {"n_workers": 2},
        {"n_workers": 2, "strategy": "wp"},
        {"n_workers": 1, "strategy": {"name": "sequential", "threads": 3}},
        {"n_workers": 2, "strategy": {"name": "minibatch", "batch": 5}},
        {"n_workers": 2, "strategy": {"name": "hybrid", "delay": 5, "period": 100}},
        {"n_workers": 1, "strategy": {"name": "delay", "delay": 3, "range_check": True}},
        {"n_workers": 1, "strategy": {"name": "delay", "delay": 3}, "learning_rate": "constant", "eta0": 5.0},
        {"learning_rate": "constant", "eta0": 5.0},
        {"learning_rate": "invscaling", "eta0": 50.0},
        {"learning_rate": "inverse", "eta0": 50.0},
        {"learning_rate": "pegasos"},
        {"learning_rate": "adagrad", "eta0": 1.0},
        {"average": True},
        {"sample_weight": True},
        {"alpha": 1e-8},
    ],
    ids=str,
)
def test_squared_hinge_trains_by_every_way_and_schedule(keys: dict[str, Any]) -> None:
    x, y = data("cancer")
    given = dict(keys)
    weights = np.geomspace(1e-3, 1e3, len(x)) if given.pop("sample_weight", False) else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = ours("squared_hinge", max_iter=50, **given).fit(x, y, weights)
    assert model.score(x, y, weights) > 0.9


@pytest.mark.parametrize("loss", SMOOTH)
def test_partial_fit_trains_on_batches_one_of_which_is_far_out(loss: str) -> None:
    x, y = data("outliers")
    for first in (0, 1):  # a first batch with rows a thousand times as long as others, and one without
        model = ours(loss)
        for start in [*range(first, 200), *range(first)] * 3:
            model.partial_fit(x[start::200], y[start::200], classes=[0, 1])
        plain = np.abs(x).max(axis=1) < 100.0
        assert model.score(x[plain], y[plain]) > 0.7


@pytest.mark.parametrize("loss", SMOOTH)
def test_passes_of_partial_fit_are_those_of_a_fit_bit_for_bit(loss: str) -> None:
    for name in ("cancer", "iris"):
        x, y = data(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = ours(loss, n_workers=1, max_iter=4, tol=None).fit(x, y)
        by_passes = ours(loss)
        for _ in range(4):
            by_passes.partial_fit(x, y, classes=np.unique(y))
        assert np.array_equal(by_passes.coef_, fitted.coef_)


def test_a_saved_model_goes_on_with_the_step_sizes_it_had(tmp_path: Any) -> None:
    x, y = data("cancer")
    model = ours("log_loss").partial_fit(x, y, classes=[0, 1])
    model.save(tmp_path / "x.npz")
    loaded = WPSGDClassifier.load(tmp_path / "x.npz")
    loaded.random_state = 0
    assert np.array_equal(loaded.partial_fit(x, y).coef_, model.partial_fit(x, y).coef_)


@pytest.mark.parametrize("loss", ["hinge", "log_loss"])
def test_a_search_over_alpha_up_to_a_million_has_no_failed_fit(loss: str) -> None:
    x, y = data("cancer")
    alphas = [1e-4, 1e-2, 1.0, 3.0, 1e2, 1e6]
    search = GridSearchCV(ours(loss), {"alpha": alphas}, cv=2, error_score="raise").fit(x, y)
    assert search.cv_results_["mean_test_score"].min() > 0.85


@pytest.mark.parametrize("alpha", [3.0, 1e6])
def test_a_strong_alpha_ends_near_the_optimum(alpha: float) -> None:
    x, y = data("cancer")
    # so strong that no margin comes near 1: the optimum is the mean of y x over alpha
    model = ours("hinge", alpha=alpha).fit(x, y)
    optimum = (np.where(y == 1, 1.0, -1.0)[:, None] * x).mean(axis=0) / alpha
    if alpha > 1e3:
        assert np.abs(model.coef_[0] - optimum).max() < 0.05 * np.abs(optimum).max()
    assert objective(model, x, y) < 1.0
    passes = ours("hinge", alpha=alpha).partial_fit(x, y, classes=[0, 1])
    assert passes.score(x, y) > 0.85


@pytest.mark.parametrize("name", ["cancer, raw", "wine, raw"])
@pytest.mark.parametrize("loss", AT_ZERO)
@pytest.mark.parametrize("keys", [{}, {"n_workers": 2}, {"learning_rate": "constant", "eta0": 1.0}], ids=str)
def test_no_fit_ends_above_the_objective_of_no_weights(loss: str, name: str, keys: dict[str, Any]) -> None:
    x, y = data(name)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = ours(loss, max_iter=30, **keys).fit(x, y)
    assert objective(model, x, y) <= AT_ZERO[loss] * (1.0 + 1e-12)
    assert len(caught) <= 1
    shortened = [
        str(one.message) for one in caught if "ended above the objective of w = 0" in str(one.message)
    ]
    if loss == "hinge":
        assert len(shortened) == 1
        assert "were made shorter" in shortened[0]
        assert "scale the features (StandardScaler, MaxAbsScaler, Normalizer)" in shortened[0]
    if name.startswith("wine") and shortened and loss == "hinge":
        assert "of 3 classes" in shortened[0]


def test_shortening_keeps_the_direction_and_with_it_the_predictions() -> None:
    x, y = data("cancer, raw")
    with pytest.warns(ConvergenceWarning, match="ended above the objective of w = 0"):
        model = ours("hinge").fit(x, y)
    assert 0.0 < objective(model, x, y) < 1.0
    assert model.score(x, y) > 0.85


@pytest.mark.parametrize(("strategy", "name"), [(None, "SGD"), ("simuparallel", "SGD"), ("admm", "ADMM")])
def test_a_warning_of_a_bad_end_names_what_trained(strategy: str | None, name: str) -> None:
    short = [Solved(np.ones(2), 1, [], length=0.5), Solved(np.ones(2), 1, [])]
    said = said_of_length(short, strategy)
    assert said.startswith(f"{name} ended above the objective of w = 0 in 1 of 2 classes")


@pytest.mark.parametrize("loss", AT_ZERO)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3, 1e9])
def test_the_best_part_of_a_length_is_where_the_objective_is_smallest(loss: str, scale: float) -> None:
    rng = np.random.default_rng(1)
    m, s, square = scale * (rng.normal(size=300) + 0.3), rng.uniform(0.0, 2.0, 300), 0.7 * scale

    def at(c: float) -> float:
        return float(c * c * square + np.average(losses_at(loss, c * m), weights=s))

    found = best_part(m, s, square, loss)
    if at(1.0) <= at(0.0):
        assert found == 1.0
        return
    assert 0.0 < found < 1.0
    tried = min(at(c) for c in np.geomspace(1e-12, 1.0, 2000))
    assert at(found) <= tried + 1e-4 * abs(tried - at(0.0))


def test_where_no_length_is_better_than_none_nothing_is_left() -> None:
    assert best_part(-np.ones(5), np.ones(5), 1.0, "log_loss") == 0.0
    assert best_part(np.array([np.inf, 1.0]), np.ones(2), 1.0, "hinge") == 0.0
    assert best_part(np.ones(2), np.ones(2), np.inf, "hinge") == 0.0
    assert best_part(-np.ones(0), np.ones(0), 1.0, "hinge") == 1.0
