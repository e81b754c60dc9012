"""When SGD ends: as late as SGDClassifier, with models that are as good."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from wpsgd import WPSGDClassifier
from wpsgd.estimator.stopping import LONGEST, Stopper

KINDS = (
    (10, 5, 2, 1.0, 0.01),
    (20, 2, 2, 1.0, 0.01),
    (50, 10, 3, 1.0, 0.05),
    (100, 20, 2, 0.5, 0.01),
    (20, 10, 5, 1.5, 0.1),
)
SEEDS = 2


def data_sets() -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """24: scikit-learn's own, and made ones of 10 to 100 features and 2 to 5 classes."""
    for load in (load_iris, load_wine, load_digits, load_breast_cancer):
        yield load(return_X_y=True)
    for number, rows in enumerate((200, 500, 1000, 2000)):
        for kind, (features, informative, classes, separation, flipped) in enumerate(KINDS):
            yield make_classification(
                rows,
                features,
                n_informative=informative,
                n_classes=classes,
                class_sep=separation,
                flip_y=flipped,
                random_state=len(KINDS) * number + kind,
            )


def look(end: float, of_pass: float | None = None, accuracy: float | None = None) -> dict[str, Any]:
    passed = {} if of_pass is None else {"pass_objective": of_pass}
    return {"kind": "look", "round": 1, "objective": end, "accuracy": accuracy, **passed}


def looks_until_settled(stopper: Stopper, looks: list[dict[str, Any]]) -> int:
    for number, event in enumerate(looks, 1):
        stopper.observe(event)
        if stopper.settled:
            return number
    return 0


def test_a_lucky_end_of_a_pass_ends_no_run_while_passes_get_better() -> None:
    ends = [0.1, *([1.0] * 20)]
    passes = [2.0 - 0.01 * number for number in range(21)]
    looks = [look(end, of_pass) for end, of_pass in zip(ends, passes, strict=True)]
    assert looks_until_settled(Stopper(1e-3, 5), looks) == 0
    assert looks_until_settled(Stopper(1e-3, 5), [look(end) for end in ends]) == 6


def test_a_run_ends_with_the_best_of_the_last_ends() -> None:
    ends = [1.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.85, 0.7, 0.65, 0.66]
    assert looks_until_settled(Stopper(1e-3, 3), [look(end, 1.0) for end in ends]) == 8
    # the best of the last three when the third in a row is no better: at once
    assert looks_until_settled(Stopper(1e-3, 3), [look(end, 1.0) for end in (1.0, 0.9, 0.8, 0.7)]) == 4


@pytest.mark.parametrize("worse", [0.1, float("nan")])
def test_a_run_whose_ends_get_worse_and_worse_ends_all_the_same(worse: float) -> None:
    looks = [look(1.0 + worse * number, 1.0) for number in range(30)]
    assert looks_until_settled(Stopper(1e-3, 3), looks) == 1 + LONGEST * 3


def test_early_stopping_goes_by_the_accuracy_alone() -> None:
    looks = [look(2.0 + number, 1.0 - number, 0.9) for number in range(10)]
    assert looks_until_settled(Stopper(1e-3, 3, validated=True), looks) == 4


def test_default_models_are_as_good_as_those_of_sgdclassifier_on_24_scaled_data_sets() -> None:
    differences, noise = [], []
    for X, y in data_sets():
        accuracies = []
        for seed in range(SEEDS):
            train, test, y_train, y_test = train_test_split(
                X, y, test_size=0.3, random_state=seed, stratify=y
            )
            scaler = StandardScaler().fit(train)
            train, test = scaler.transform(train), scaler.transform(test)
            ours = WPSGDClassifier(solver="sgd", random_state=seed).fit(train, y_train)
            theirs = SGDClassifier(random_state=seed).fit(train, y_train)
            accuracies.append((ours.score(test, y_test), theirs.score(test, y_test)))
        mine, yours = np.mean(accuracies, axis=0)
        differences.append(mine - yours)
        noise.append(np.sqrt(2.0 * max(yours * (1.0 - yours), 1e-3) / len(y_test)))
    assert len(differences) == 24
    assert np.mean(differences) >= -0.002, differences
    clearly_worse = np.array(differences) < -2.0 * np.array(noise)
    assert clearly_worse.sum() <= 1, differences


@pytest.mark.parametrize("loss", ["hinge", "log_loss"])
def test_training_goes_as_far_down_as_sgdclassifiers(loss: str) -> None:
    X, y = make_classification(1000, 20, n_informative=5, flip_y=0.05, random_state=3)
    X = StandardScaler().fit_transform(X)

    def objective(model: Any) -> float:
        m = (2 * y - 1) * model.decision_function(X)
        losses = np.maximum(0.0, 1.0 - m) if loss == "hinge" else np.logaddexp(0.0, -m)
        return float(np.mean(losses) + 0.5e-4 * (np.sum(model.coef_**2) + model.intercept_[0] ** 2))

    ours = [objective(WPSGDClassifier(loss, solver="sgd", random_state=seed).fit(X, y)) for seed in range(5)]
    theirs = [objective(SGDClassifier(loss, random_state=seed).fit(X, y)) for seed in range(5)]
    assert np.median(ours) <= 1.05 * np.median(theirs)


@pytest.mark.parametrize(
    "keys",
    [
        {"n_workers": 2},
        {"n_workers": 2, "average": True},
        {"n_workers": 2, "period": 100},
        {"learning_rate": "adagrad", "eta0": 0.1},
        {"strategy": "sequential"},
        {"strategy": {"name": "delay", "delay": 2}},
        {"strategy": {"name": "minibatch", "batch": 8}, "n_workers": 2},
        {"class_weight": "balanced"},
    ],
)
def test_every_kind_of_run_tells_the_objective_of_its_passes_and_ends_by_it(keys: dict[str, Any]) -> None:
    X, y = make_classification(400, 10, weights=[0.8], random_state=0)
    X = StandardScaler().fit_transform(X)
    model = WPSGDClassifier(solver="sgd", random_state=0, **keys).fit(X, y)
    looks = [event for event in model.trace_ if event["kind"] == "look"]
    assert 5 < len(looks) < 1000
    stopper = Stopper(model.tol, model.n_iter_no_change)
    assert looks_until_settled(stopper, looks) == len(looks)
    # what rows met on the way is about what they meet at the ends, once steps are small
    late = looks[len(looks) // 2 :]
    on_the_way, at_ends = (
        np.mean([event[name] for event in late]) for name in ("pass_objective", "objective")
    )
    assert 0.5 < on_the_way / at_ends < 2.5


def test_admm_has_no_pass_of_sgd_and_ends_by_its_models() -> None:
    X, y = make_classification(400, 10, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = WPSGDClassifier(strategy="admm", n_workers=2, random_state=0, max_iter=20).fit(X, y)
    looks = [event for event in model.trace_ if event["kind"] == "look"]
    assert looks
    assert not any("pass_objective" in event for event in looks)
