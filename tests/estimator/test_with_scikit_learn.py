"""WPSGDClassifier inside what scikit-learn builds of classifiers, on real data."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.ensemble import StackingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from wpsgd import WPSGDClassifier

X, Y = load_breast_cancer(return_X_y=True)
DIGITS, NUMBERS = load_digits(return_X_y=True)
FEW = slice(0, 400)


def pipeline(**keys: Any) -> Any:
    return make_pipeline(StandardScaler(), WPSGDClassifier(random_state=0, **{"alpha": 1e-2, **keys}))


def test_a_pipeline_with_weights_and_cross_validation_is_as_good_as_on_scaled_rows() -> None:
    model = pipeline().fit(X, Y, wpsgdclassifier__sample_weight=np.ones(len(Y)))
    alone = WPSGDClassifier(alpha=1e-2).fit(StandardScaler().fit_transform(X), Y)
    assert np.allclose(model[-1].coef_, alone.coef_, rtol=1e-9, atol=1e-12)
    assert cross_val_score(pipeline(), X, Y, cv=4).mean() > 0.96


def test_a_grid_search_in_two_processes_finds_what_one_finds() -> None:
    grid = {"wpsgdclassifier__alpha": [1e-4, 1e-2, 10.0]}
    two = GridSearchCV(pipeline(), grid, cv=3, n_jobs=2).fit(X, Y)
    one = GridSearchCV(pipeline(), grid, cv=3).fit(X, Y)
    assert np.array_equal(two.cv_results_["mean_test_score"], one.cv_results_["mean_test_score"])
    assert two.best_score_ > 0.96


def test_a_halving_search_ends_with_a_good_strength() -> None:
    wishes = {"alpha": [1e-5, 1e-4, 1e-3, 1e-2, 1e3], "loss": ["hinge", "squared_hinge"]}
    scaled = StandardScaler().fit_transform(X)
    search = HalvingRandomSearchCV(WPSGDClassifier(), wishes, n_candidates=9, cv=3, random_state=0).fit(
        scaled, Y
    )
    assert search.best_score_ > 0.9
    assert search.best_params_["alpha"] < 1e3


def test_calibration_and_stacking_take_its_decision_values() -> None:
    calibrated = CalibratedClassifierCV(pipeline(), cv=3).fit(X[FEW], Y[FEW])
    assert brier_score_loss(Y[400:], calibrated.predict_proba(X[400:])[:, 1]) < 0.06
    stacked = StackingClassifier(
        [("hinge", pipeline()), ("square", pipeline(loss="squared_hinge"))], LogisticRegression(), cv=3
    )
    assert stacked.fit(X[FEW], Y[FEW]).score(X[400:], Y[400:]) > 0.93


def test_one_vs_rest_around_it_is_what_it_does_itself() -> None:
    rows, numbers = DIGITS[:500], NUMBERS[:500]
    around = OneVsRestClassifier(WPSGDClassifier(random_state=0)).fit(rows, numbers)
    within = WPSGDClassifier(random_state=0).fit(rows, numbers)
    each = np.vstack([model.coef_ for model in around.estimators_])
    assert np.allclose(each, within.coef_, rtol=1e-6, atol=1e-9)
    assert np.array_equal(around.predict(DIGITS), within.predict(DIGITS))


@pytest.mark.parametrize("solver", ["auto", "sgd"])
def test_clone_pickle_and_joblib_keep_what_there_is_to_keep(tmp_path: Path, solver: str) -> None:
    model = WPSGDClassifier(solver=solver, max_iter=3, tol=None, random_state=0).fit(
        DIGITS[:200], NUMBERS[:200]
    )
    joblib.dump(model, tmp_path / "model.joblib")
    for other in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model.joblib")):
        assert np.array_equal(other.decision_function(DIGITS), model.decision_function(DIGITS))
        other.partial_fit(DIGITS[200:400], NUMBERS[200:400])
        again = pickle.loads(pickle.dumps(model)).partial_fit(DIGITS[200:400], NUMBERS[200:400])
        assert np.array_equal(other.coef_, again.coef_)
    assert not hasattr(clone(model), "coef_")
    assert clone(model).get_params() == model.get_params()


def test_set_output_reaches_the_transformers_around_it() -> None:
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = load_breast_cancer(as_frame=True).data
    chosen = make_pipeline(StandardScaler(), SelectFromModel(WPSGDClassifier())).set_output(
        transform="pandas"
    )
    out = chosen.fit_transform(frame, Y)
    assert isinstance(out, pd.DataFrame)
    assert set(out.columns) < set(frame.columns)
    assert list(chosen[-1].estimator_.feature_names_in_) == list(frame.columns)


def test_set_output_is_taken_without_pandas_too() -> None:
    chosen = make_pipeline(StandardScaler(), SelectFromModel(WPSGDClassifier())).set_output(
        transform="default"
    )
    assert 0 < chosen.fit_transform(X, Y).shape[1] < X.shape[1]


def test_probabilities_are_there_where_they_were_asked_for() -> None:
    assert not hasattr(WPSGDClassifier(), "predict_proba")
    model = pipeline(probability=True).fit(X[FEW], Y[FEW])
    shares = model.predict_proba(X[400:])
    assert np.allclose(shares.sum(axis=1), 1.0)
    assert brier_score_loss(Y[400:], shares[:, 1]) < 0.06
    assert np.array_equal(model.predict(X), pipeline().fit(X[FEW], Y[FEW]).predict(X))
    several = WPSGDClassifier(probability=True, random_state=0).fit(DIGITS[:600], NUMBERS[:600])
    found = several.predict_proba(DIGITS[600:900])
    assert np.allclose(found.sum(axis=1), 1.0)
    assert np.mean(found.argmax(axis=1) == NUMBERS[600:900]) > 0.85


def test_a_path_over_alphas_is_fits_one_by_one() -> None:
    alphas = [1e-3, 1e-1, 1e-2]
    found = WPSGDClassifier().alpha_path(X, Y, alphas)
    assert [model.alpha for model in found] == alphas
    for model, alpha in zip(found, alphas, strict=True):
        assert np.allclose(model.coef_, WPSGDClassifier(alpha=alpha).fit(X, Y).coef_, rtol=1e-3, atol=1e-6)
        assert model.warm_start is False


@pytest.mark.parametrize("solver", ["dual", "sgd"])
def test_a_warm_start_begins_with_the_last_model(solver: str) -> None:
    rows = np.vstack([StandardScaler().fit_transform(X)] * 4)
    rows = np.hstack([rows, np.random.default_rng(0).normal(size=(len(rows), 120))])
    labels = np.tile(Y, 4)
    passes: list[tuple[int, int]] = []
    for seed in range(1 if solver == "dual" else 5):  # of SGD a run may end early or late by chance
        model = WPSGDClassifier(solver=solver, alpha=1e-2, warm_start=True, random_state=seed)
        first, before = model.fit(rows, labels).n_iter_, model.coef_.copy()
        passes.append((first, model.fit(rows, labels).n_iter_))
        assert not np.array_equal(model.coef_, before) or solver == "dual"
    cold = clone(model).set_params(warm_start=False).fit(rows, labels)
    assert cold.n_iter_ == first
    assert sum(warm for _, warm in passes) < sum(first for first, _ in passes)
