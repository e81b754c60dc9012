"""Probabilities of the losses that have them, against SGDClassifier with the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from sklearn.datasets import load_iris
from sklearn.metrics import log_loss

from wpsgd import WPSGDClassifier
from wpsgd.estimator import fitting

X, SPECIES = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
LOSSES = ["log_loss", "modified_huber"]


def far(classes: int, scale: float) -> np.ndarray[Any, Any]:
    return scale * np.random.default_rng(classes).normal(size=(300, 4))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("classes", [2, 3])
def test_they_are_sgd_classifiers_of_the_same_weights(loss: str, classes: int) -> None:
    kept = classes > SPECIES
    model = WPSGDClassifier(loss, random_state=0, alpha=1e-2).fit(X[kept], SPECIES[kept])
    twin = model.to_sklearn()
    for rows in (X, far(classes, 0.3), far(classes, 3.0), far(classes, 30.0)):
        found = model.predict_proba(rows)
        assert np.allclose(found, twin.predict_proba(rows), rtol=1e-12, atol=1e-15)
        assert np.allclose(found.sum(axis=1), 1.0)
        with np.errstate(divide="ignore"):
            assert np.allclose(np.exp(model.predict_log_proba(rows)), found)
        single = found.max(axis=1, keepdims=True) > np.sort(found, axis=1)[:, [-2]]
        told = single[:, 0]
        assert np.array_equal(model.classes_[found.argmax(axis=1)][told], model.predict(rows)[told])
        assert told.any()


def test_equal_shares_where_every_class_is_given_none() -> None:
    for loss, scale in (("log_loss", 1e4), ("modified_huber", 10.0)):
        model = WPSGDClassifier(loss)
        model.coef_, model.intercept_, model.classes_ = np.zeros((3, 4)), np.full(3, -scale), np.arange(3)
        assert np.allclose(model.predict_proba(X), 1 / 3)
        assert np.allclose(model.predict_log_proba(X), np.log(1 / 3))


def test_improbable_classes_keep_their_digits() -> None:
    model = WPSGDClassifier("log_loss")
    model.coef_, model.intercept_, model.classes_ = np.array([[1.0]]), np.zeros(1), np.arange(2)
    assert np.allclose(model.predict_log_proba([[50.0]]), [[-50.0, 0.0]])
    assert np.allclose(model.predict_log_proba([[-50.0]]), [[0.0, -50.0]])


@pytest.mark.parametrize("loss", LOSSES)
def test_nothing_is_trained_for_them(loss: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    train = fitting._Fitting.solved

    def counted(self: Any, *args: Any) -> Any:
        calls.append(1)
        return train(self, *args)

    monkeypatch.setattr(fitting._Fitting, "solved", counted)
    model = WPSGDClassifier(loss, random_state=0).fit(X, SPECIES)
    model.predict_proba(X)
    assert len(calls) == 1
    twice = WPSGDClassifier(loss, random_state=0, probability=True).fit(X, SPECIES)
    assert len(calls) == 3
    assert not np.allclose(twice.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_other_losses_say_how_to_get_them(loss: str) -> None:
    for model in (WPSGDClassifier(loss), WPSGDClassifier(loss).fit(X, SPECIES)):
        for name in ("predict_proba", "predict_log_proba"):
            assert not hasattr(model, name)
            with pytest.raises(AttributeError, match=f"{name}.*loss={loss!r}: pass probability=True"):
                getattr(model, name)
    calibrated = WPSGDClassifier(loss, probability=True, random_state=0).fit(X, SPECIES)
    assert np.allclose(np.exp(calibrated.predict_log_proba(X)), calibrated.predict_proba(X))


@pytest.mark.parametrize("keys", [{"loss": "log_loss"}, {"probability": True}])
def test_balanced_weights_move_the_odds_as_the_docstring_says(keys: dict[str, Any]) -> None:
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(6000, 3))
    true = expit(2.0 * rows[:, 0] - 2.5)
    labels = rng.random(6000) < true
    model = WPSGDClassifier(alpha=1e-4, class_weight="balanced", random_state=0, **keys).fit(rows, labels)
    p = model.predict_proba(rows)[:, 1]
    negative, positive = (~labels).mean(), labels.mean()  # w+ / w- = n- / n+
    among_rows = p * positive / (p * positive + (1.0 - p) * negative)
    assert log_loss(labels, among_rows) < log_loss(labels, true) + 0.02  # of SGD, which is noisy
    assert log_loss(labels, p) > log_loss(labels, true) + 0.1
