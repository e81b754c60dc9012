"""Weights that somebody sets, as federated learning does, against SGDClassifier, learners and unset ones."""

from __future__ import annotations

import copy
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import SGDClassifier

from wpsgd import WPSGDClassifier
from wpsgd.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(200, 4))
Y = (X[:, 0] + 0.3 * RNG.normal(size=200) > 0).astype(int)
THREE = np.digitize(X[:, 0] - X[:, 1], [-0.5, 0.5])
ONE_PASS: dict[str, Any] = {"random_state": 0, "max_iter": 1, "tol": None, "shuffle": False}


def given(model: Any, value: float = 7.0, classes: int = 2) -> Any:
    models = 1 if classes == 2 else classes
    model.classes_ = np.arange(classes)
    model.coef_ = np.full((models, 4), value)
    model.intercept_ = np.zeros(models)
    return model


def ours(**keys: Any) -> WPSGDClassifier:
    return WPSGDClassifier(**{**ONE_PASS, "n_workers": 1, **keys})


def same(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one.coef_, other.coef_) and np.array_equal(one.intercept_, other.intercept_))


@pytest.mark.parametrize("solver", ["sgd", "auto"])
def test_a_warm_start_begins_with_what_was_set_as_sgd_classifier_does(solver: str) -> None:
    for labels, classes in ((Y, 2), (THREE, 3)):
        keys = {"fit_intercept": False, "warm_start": True}
        theirs = given(SGDClassifier(**ONE_PASS, **keys), classes=classes).fit(X, labels)
        mine = given(ours(solver=solver, **keys), classes=classes).fit(X, labels)
        assert mine.solver_ == "sgd"
        assert np.allclose(mine.coef_, theirs.coef_, rtol=1e-9)
        fitted_before = given(ours(solver=solver, **keys).fit(X, labels), classes=classes).fit(X, labels)
        assert same(fitted_before, mine)


def test_partial_fit_begins_with_what_was_set_before_any_fit_and_after() -> None:
    theirs = given(SGDClassifier(**ONE_PASS, fit_intercept=False))
    mine = given(ours(fit_intercept=False))
    for _ in range(2):
        assert np.allclose(mine.partial_fit(X, Y).coef_, theirs.partial_fit(X, Y).coef_, rtol=1e-9)
    assert mine.t_ == theirs.t_ == 401.0
    for model in (mine, theirs):  # the age of the step sizes stays, as SGDClassifier's t_ does
        given(model).partial_fit(X, Y)
    assert np.allclose(mine.coef_, theirs.coef_, rtol=1e-9)
    without_classes = ours(fit_intercept=False)
    without_classes.coef_ = np.full((1, 4), 7.0)
    again = given(ours(fit_intercept=False)).partial_fit(X, Y, classes=[0, 1])
    assert same(without_classes.partial_fit(X, Y, classes=[0, 1]), again)


def test_weights_that_are_changed_in_place_are_seen() -> None:
    fitted = ours(warm_start=True).fit(X, Y)
    assert fitted.solver_ == "dual"
    assert fitted.fit(X, Y).solver_ == "dual"
    fitted.coef_[0, 1] += 0.25
    assert fitted.fit(X, Y).solver_ == "sgd"


def test_small_steps_after_the_dual_are_not_for_other_weights() -> None:
    solved = WPSGDClassifier(random_state=0, shuffle=False).fit(X, Y)
    assert solved.t_ > 1e4
    fresh = given(ours(random_state=0, shuffle=False)).partial_fit(X, Y)
    assert same(given(solved).partial_fit(X, Y), fresh)


def test_the_dual_says_that_it_begins_anew_and_only_then() -> None:
    cold = WPSGDClassifier(solver="dual").fit(X, Y)
    with pytest.warns(UserWarning, match=r'solver="dual" begins anew: no dual variables'):
        warm = given(WPSGDClassifier(solver="dual", warm_start=True)).fit(X, Y)
    assert np.allclose(warm.coef_, cold.coef_)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warm.fit(X, Y)
    with pytest.warns(UserWarning, match="begins anew"):
        WPSGDClassifier(solver="dual").fit(X, Y, coef_init=np.ones((1, 4)))


def test_init_arguments_are_attributes_of_a_warm_start_and_sgd_classifiers() -> None:
    coef, intercept = np.full((1, 4), 2.0), np.array([0.5])
    by_arguments = ours().fit(X, Y, coef_init=coef, intercept_init=intercept)
    by_attributes = ours(warm_start=True)
    by_attributes.coef_, by_attributes.intercept_, by_attributes.classes_ = coef, intercept, np.arange(2)
    assert same(by_arguments, by_attributes.fit(X, Y))
    theirs = SGDClassifier(**ONE_PASS, fit_intercept=False).fit(X, Y, coef_init=coef.copy())
    assert np.allclose(ours(fit_intercept=False).fit(X, Y, coef_init=coef[0]).coef_, theirs.coef_)
    assert same(
        ours().fit(X, Y, intercept_init=0.5), ours().fit(X, Y, coef_init=0 * coef, intercept_init=[0.5])
    )
    assert not same(ours().fit(X, Y, intercept_init=0.5), ours(solver="sgd").fit(X, Y))


def test_shapes_and_numbers_are_checked_in_one_line() -> None:
    def refused(message: str, call: Any, kind: type[Exception] = ConfigError) -> None:
        with pytest.raises(kind, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)

    wrong = given(ours())
    wrong.coef_ = np.ones((2, 4))
    for call in (lambda: wrong.partial_fit(X, Y), lambda: wrong.predict(X), lambda: wrong.save("never")):
        refused(r"^coef_ has shape \(2, 4\): must be \(1, 4\)", call)
    narrow = given(ours())
    before = dict(vars(narrow))
    refused(r"coef_ has shape \(1, 4\): must be \(1, 3\)", lambda: narrow.partial_fit(X[:, :3], Y))
    assert dict(vars(narrow)) == before
    narrow.intercept_ = np.zeros(3)
    refused(r"intercept_ has shape \(3,\): must be \(1,\)", lambda: narrow.decision_function(X))
    refused("coef_init does not match dataset", lambda: ours().fit(X, THREE, coef_init=np.zeros((1, 4))))
    refused("intercept_init does not match", lambda: ours().fit(X, Y, intercept_init=np.zeros(2)))
    refused("finite", lambda: ours().fit(X, Y, coef_init=np.full((1, 4), np.nan)), DataError)
    huge = np.full((1, 4), 1e300)
    refused("float32", lambda: ours().fit(X.astype(np.float32), Y, coef_init=huge), DataError)
    refused("fit_intercept=False", lambda: ours(fit_intercept=False).fit(X, Y, intercept_init=1.0))
    refused("numbers", lambda: ours().fit(X, Y, coef_init=[["a", "b", "c", "d"]]))
    without = ours()
    without.coef_ = np.ones((1, 4))
    refused("classes_ is not set", lambda: without.predict(X))
    unsorted = given(ours())
    unsorted.classes_ = [1, 0]
    refused("ascending order", lambda: unsorted.predict(X))


def test_a_model_that_somebody_set_predicts_and_leaves_in_every_format(tmp_path: Path) -> None:
    for classes in (2, 3):
        model = given(ours(), classes=classes)
        model.coef_ = np.arange(model.coef_.size, dtype=float).reshape(model.coef_.shape) - 3.0
        model.save(tmp_path / "model.npz")
        assert np.array_equal(WPSGDClassifier.load(tmp_path / "model.npz").predict(X), model.predict(X))
        assert np.array_equal(model.to_sklearn().decision_function(X), model.decision_function(X))
        model.save_liblinear(tmp_path / "model")
        model.save_onnx(tmp_path / "model.onnx")
        assert pickle.loads(pickle.dumps(model)).score(X, model.predict(X)) == 1.0


def test_a_calibration_of_other_weights_is_not_used(tmp_path: Path) -> None:
    model = WPSGDClassifier(probability=True, random_state=0).fit(X, Y)
    model.save(tmp_path / "model.npz")
    loaded = WPSGDClassifier.load(tmp_path / "model.npz")
    for kept in (loaded, pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert np.array_equal(kept.predict_proba(X), model.predict_proba(X))
    model.coef_ = 2.0 * model.coef_
    with pytest.raises(NotFittedError, match="calibration_ is of other weights"):
        model.predict_proba(X)


def test_a_loaded_model_warm_starts_by_the_dual(tmp_path: Path) -> None:
    model = WPSGDClassifier(random_state=0, warm_start=True).fit(X, Y)
    model.save(tmp_path / "model.npz")
    assert WPSGDClassifier.load(tmp_path / "model.npz").fit(X, Y).solver_ == "dual"


def test_a_sparse_coef_decides_goes_on_and_leaves_as_a_dense_one(tmp_path: Path) -> None:
    for rows in (X, sparse.csr_array(X)):
        for labels in (Y, THREE):
            model = ours(solver="sgd").fit(rows, labels)
            thin = copy.deepcopy(model).sparsify()
            assert sparse.issparse(thin.coef_)
            assert np.allclose(thin.decision_function(rows), model.decision_function(rows))
            assert np.array_equal(pickle.loads(pickle.dumps(thin)).predict(rows), model.predict(rows))
            thin.save(tmp_path / "model.npz")
            assert same(WPSGDClassifier.load(tmp_path / "model.npz"), model)
            assert same(
                copy.deepcopy(thin).partial_fit(rows, labels), copy.deepcopy(model).partial_fit(rows, labels)
            )
            assert same(thin.densify(), model)


def test_t_counts_steps_and_moves_the_schedule() -> None:
    theirs, mine = SGDClassifier(**ONE_PASS).fit(X, Y), ours(solver="sgd").fit(X, Y)
    assert mine.t_ == theirs.t_ == 201.0
    with pytest.raises(AttributeError, match="t_"):
        _ = WPSGDClassifier().t_
    moved = given(ours())
    moved.t_ = 1001.0
    other = given(ours())
    assert not same(moved.partial_fit(X, Y), other.partial_fit(X, Y))
    assert moved.t_ == 1201.0
    assert not hasattr(clone(mine), "t_")


def test_other_penalties_are_refused_in_one_line_that_says_what_is_out_of_scope() -> None:
    assert same(ours(penalty="l2").fit(X, Y), ours().fit(X, Y))
    for penalty in ("l1", "elasticnet", None):
        for call in ("fit", "partial_fit"):
            with pytest.raises(
                ConfigError, match=r'penalty=.* must be "l2": L1, elastic net .* out of scope'
            ):
                getattr(ours(penalty=penalty), call)(X, Y)


def test_the_html_of_an_estimator_links_to_documentation() -> None:
    link = WPSGDClassifier()._get_doc_link()
    assert link.startswith("https://")
    assert f'href="{link}"' in WPSGDClassifier()._repr_html_()
