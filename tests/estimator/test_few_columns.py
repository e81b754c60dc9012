"""Of few rows with millions of columns, SGD goes through those that have entries: a pass costs no others.

What is counted is the length of the vectors that learners and scores work on, not time: a pass over all
columns that came back would be one over vectors of all columns. Bits are compared with those of a training
that goes through all of them.
"""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from wpsgd import WPSGDClassifier
from wpsgd.data.rows import Rows
from wpsgd.errors import DataError
from wpsgd.estimator import narrow
from wpsgd.evaluate import Scorer
from wpsgd.learners.sgd import SGDLearner

COLUMNS, ROWS, ENTRIES = 50_000, 60, 8
SGD: dict[str, Any] = {"solver": "sgd", "random_state": 0, "max_iter": 6, "tol": None}
KINDS: list[dict[str, Any]] = [
    {},
    {"tol": 1e-3, "max_iter": 100},
    {"fit_intercept": False, "loss": "log_loss", "learning_rate": "inverse", "eta0": 0.1},
    {"early_stopping": True, "tol": 1e-3, "validation_fraction": 0.3},
    {"learning_rate": "adagrad", "eta0": 0.1},
    {"n_workers": 2, "class_weight": "balanced"},
    {"n_workers": 2, "average": True},
    {"n_workers": 2, "rule": "diagonal"},
    {"strategy": {"name": "minibatch", "batch": 5}, "n_workers": 2},
    {"strategy": {"name": "delay", "delay": 2}},
]


def some_rows(classes: int, seed: int = 0) -> tuple[Any, NDArray[Any]]:
    rng = np.random.default_rng(seed)
    matrix = sparse.random_array((ROWS, COLUMNS), density=ENTRIES / COLUMNS, format="csr", rng=rng)
    labels = np.arange(ROWS) % classes
    return sparse.csr_array(
        matrix + sparse.csr_array((labels, (np.arange(ROWS), labels)), matrix.shape)
    ), labels


def fitted(keys: dict[str, Any], classes: int, dtype: str) -> WPSGDClassifier:
    X, y = some_rows(classes)
    return WPSGDClassifier(**{**SGD, **keys}).fit(X.astype(dtype), y)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("keys", KINDS, ids=str)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_model_is_that_of_training_on_all_columns_bit_for_bit(
    keys: dict[str, Any], classes: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = fitted(keys, classes, dtype)
    monkeypatch.setattr(narrow, "FEW", 0.0)
    whole = fitted(keys, classes, dtype)
    assert few.coef_.tobytes() == whole.coef_.tobytes()
    assert few.intercept_.tobytes() == whole.intercept_.tobytes()
    assert few.n_iter_ == whole.n_iter_


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"fit_intercept": False, "loss": "log_loss"},
        {"learning_rate": "pegasos"},
        {"learning_rate": "constant", "alpha": 0.9, "eta0": 1.0},
        {"learning_rate": "adagrad", "eta0": 0.1},
        {"average": True},
    ],
    ids=str,
)
def test_partial_fit_goes_on_as_on_all_columns_bit_for_bit(
    keys: dict[str, Any], classes: int, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for few in (0.25, 0.0):
        monkeypatch.setattr(narrow, "FEW", few)
        for begun in (True, False):  # by a fit, or by partial_fit itself
            model = fitted(keys, classes, dtype) if begun else WPSGDClassifier(random_state=0, **keys)
            for seed in (1, 2, 3):
                X, y = some_rows(classes, seed)
                model.partial_fit(X[: 20 * seed].astype(dtype), y[: 20 * seed], classes=range(classes))
            found.append((model.coef_.tobytes(), model.intercept_.tobytes(), model.t_))
    assert found[:2] == found[2:]


def test_partial_fit_leaves_coefficients_alone_that_somebody_holds() -> None:
    model = fitted({}, 2, "float64")
    before = model.coef_
    copy = before.copy()
    model.partial_fit(*some_rows(2, seed=1))
    assert np.array_equal(before, copy)
    assert not np.array_equal(model.coef_, copy)


def test_partial_fit_makes_no_copy_of_all_columns_but_the_new_model() -> None:
    columns = 4_000_000
    X = sparse.csr_array((np.ones(4), ([0, 1, 2, 3], [7, 9, 7, 11])), shape=(4, columns))
    model = WPSGDClassifier(random_state=0).partial_fit(X, [0, 1, 0, 1], classes=[0, 1])
    tracemalloc.start()
    model.partial_fit(X, [0, 1, 0, 1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * 8 * columns


def test_weights_to_go_on_from_are_checked_in_all_columns() -> None:
    model = fitted({}, 2, "float64")
    X, y = some_rows(2, seed=1)
    untouched = np.setdiff1d(np.arange(COLUMNS), X.indices)[0]
    model.coef_[0, untouched] = np.inf
    with pytest.raises(DataError, match="must be finite"):
        model.partial_fit(X, y)


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_rows_without_any_entry_leave_zeros(fit_intercept: bool) -> None:
    X = sparse.csr_array((6, COLUMNS))
    model = WPSGDClassifier(fit_intercept=fit_intercept, **SGD).fit(X, [0, 1] * 3)
    model.partial_fit(X, [0, 1] * 3)
    assert not model.coef_.any()
    assert bool(model.intercept_[0]) == fit_intercept


def test_no_pass_and_no_look_goes_through_columns_without_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths, scored = [], []
    made, scores = SGDLearner.__post_init__, Scorer.partial

    def learner_made(self: SGDLearner) -> None:
        made(self)
        lengths.append(len(self.weights))

    def score_taken(self: Scorer, weights: Any) -> Any:
        scored.append(len(weights))
        return scores(self, weights)

    monkeypatch.setattr(SGDLearner, "__post_init__", learner_made)
    monkeypatch.setattr(Scorer, "partial", score_taken)
    for workers in (1, 2):
        fitted({"n_workers": workers, "tol": 1e-3, "max_iter": 100}, 2, "float64")
    assert len(lengths) == 3
    assert len(scored) > 10
    assert max(lengths + scored) <= ROWS * (ENTRIES + 3)


def test_a_warm_start_lets_weights_decay_that_the_new_rows_do_not_touch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = []
    for few in (0.25, 0.0):
        monkeypatch.setattr(narrow, "FEW", few)
        model = fitted({"warm_start": True}, 2, "float64")
        models.append(model.fit(*some_rows(2, seed=1)).coef_)
    assert models[0].tobytes() == models[1].tobytes()
    touched = np.unique(some_rows(2, seed=1)[0].indices)
    assert len(np.setdiff1d(np.flatnonzero(models[0]), touched)) > 0


@pytest.mark.parametrize("used", [None, np.array([1, 3], dtype=np.int32)])
def test_rows_in_the_columns_of_others_lose_what_those_do_not_have(used: Any) -> None:
    matrix = np.array([[1.0, 2.0, 0.0, 3.0], [0.0, 0.0, 4.0, 0.0]])
    rows = Rows.from_scipy(sparse.csr_array(matrix), np.array([1.0, -1.0]), np.array([0.5, 1.5]))
    found = narrow.like(rows, used)
    assert found.to_scipy().toarray().tolist() == (matrix if used is None else matrix[:, used]).tolist()
    assert found.labels.tolist() == [1.0, -1.0]
    assert found.weights is not None
    assert found.weights.tolist() == [0.5, 1.5]
