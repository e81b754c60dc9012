"""The default estimator against LinearSVC on real text and census data, where there are any."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_svmlight_file
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.svm import LinearSVC
from support_data import real_file

from wpsgd import WPSGDClassifier

HALF_A_POINT = 0.005


def split(name: str, rows: int | None = None) -> list[Any]:
    """Training rows, test rows, labels of both."""
    X, y = load_svmlight_file(str(real_file(f"{name}.bz2")))
    chosen = np.random.default_rng(0).permutation(len(y))[:rows]
    return train_test_split(X[chosen], y[chosen], test_size=0.3, random_state=0, stratify=y[chosen])


def linear_svc(X: Any, y: Any, alpha: float = 1e-4) -> LinearSVC:
    return LinearSVC(loss="hinge", C=1.0 / (alpha * len(y)), random_state=0).fit(X, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", ["reuters", "a9a"])
def test_the_default_is_as_accurate_as_linear_svc(name: str) -> None:
    X, tests, y, labels = split(name)
    ours = WPSGDClassifier(random_state=0).fit(X, y)
    assert ours.solver_ == "dual"
    assert ours.score(tests, labels) >= linear_svc(X, y).score(tests, labels) - HALF_A_POINT
    by_sgd = WPSGDClassifier(solver="sgd", average=True, random_state=0, n_workers=2).fit(X, y)
    assert by_sgd.score(tests, labels) >= ours.score(tests, labels) - HALF_A_POINT


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_twenty_classes_are_told_apart_as_by_linear_svc() -> None:
    X, tests, y, labels = split("news20", 3000)
    ours, theirs = WPSGDClassifier(random_state=0, n_jobs=2).fit(X, y), linear_svc(X, y)
    mine, other = (balanced_accuracy_score(labels, model.predict(tests)) for model in (ours, theirs))
    assert mine >= other - HALF_A_POINT
