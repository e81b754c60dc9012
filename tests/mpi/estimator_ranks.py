"""Four ranks, each with rows of its own, fit one WPSGDClassifier; run by mpiexec."""

from __future__ import annotations

import copy
import pickle
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI as mpi  # noqa: N811
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from wpsgd import WPSGDClassifier
from wpsgd.data.synthetic import problem
from wpsgd.estimator import fitting
from wpsgd.runtimes.mpi import MPI
from wpsgd.runtimes.mpi.runtime import _LIVING

RUNTIME = MPI(mpi.COMM_WORLD)
RANK = RUNTIME.rank


def whole(rows: int) -> tuple[Any, Any]:
    made = problem(rows=rows, features=120, nonzeros_per_row=10, seed=4).rows
    return sparse.csr_matrix(made.to_scipy()), np.where(made.labels > 0, "yes", "no")


def mine(X: Any, y: Any) -> tuple[Any, Any]:
    """Rank 1 holds no rows, rank 2 one class only and no columns that its rows have no entries in."""
    yes, no = np.flatnonzero(y == "yes"), np.flatnonzero(y == "no")
    only = yes[: len(yes) // 3]
    rest = np.setdiff1d(np.arange(len(y)), only)
    parts = {0: rest[: len(no) // 2], 1: rest[:0], 2: only, 3: rest[len(no) // 2 :]}
    X, y = X[parts[RANK]], y[parts[RANK]]
    if RANK == 1:
        return None, None
    return X[:, : int(X.indices.max()) + 1] if RANK == 2 else X, y


def shared(value: Any) -> list[Any]:
    """Everybody's value."""
    return list(mpi.COMM_WORLD.allgather(value))


def same_everywhere(model: Any) -> None:
    for coef, intercept, classes in shared((model.coef_, model.intercept_, model.classes_)):
        assert np.array_equal(coef, model.coef_)
        assert np.array_equal(intercept, model.intercept_)
        assert np.array_equal(classes, model.classes_)


def few_rows_are_solved_as_on_one_machine() -> None:
    X, y = whole(600)
    for keys in ({}, {"class_weight": "balanced"}):
        ours = WPSGDClassifier(runtime=RUNTIME, **keys).fit(*mine(X, y))
        same_everywhere(ours)
        alone = WPSGDClassifier(**keys).fit(X, y)
        assert ours.solver_ == "dual"
        assert np.allclose(ours.coef_, alone.coef_, rtol=1e-7, atol=1e-9)
        assert np.allclose(ours.intercept_, alone.intercept_, rtol=1e-7, atol=1e-9)
        assert ours.score(X, y) == alone.score(X, y)


def many_rows_are_trained_on_where_they_are() -> None:
    X, y = whole(3000)
    parts = mine(X, y)
    keys: dict[str, Any] = {"runtime": RUNTIME, "tol": None, "random_state": 1}
    exact = WPSGDClassifier(alpha=1e-2, tol=1e-6).fit(X, y)
    ours = WPSGDClassifier(alpha=1e-2, strategy="cocoa", max_iter=150, **keys).fit(*parts)
    same_everywhere(ours)
    assert np.abs(ours.coef_ - exact.coef_).max() < 0.01 * np.abs(exact.coef_).max()
    wp = WPSGDClassifier(max_iter=5, **keys).fit(*parts)
    same_everywhere(wp)
    assert wp.solver_ == "sgd"
    assert wp.n_features_in_ == X.shape[1]
    equal = [WPSGDClassifier(max_iter=5, strategy="simuparallel", **keys).fit(*parts) for _ in range(2)]
    same_everywhere(equal[0])
    assert np.array_equal(equal[0].coef_, equal[1].coef_)


def probabilities_are_agreed_upon() -> None:
    # a race would end in another model each time
    for rows, more in ((600, {}), (3000, {"strategy": "simuparallel"})):
        X, y = whole(rows)
        keys: dict[str, Any] = {"probability": True, "random_state": 0, "tol": None, "max_iter": 10, **more}
        model = WPSGDClassifier(runtime=RUNTIME, **keys).fit(*mine(X, y))
        for other in shared(model.calibration_):
            assert np.array_equal(other, model.calibration_)
        alone = WPSGDClassifier(**keys).fit(X, y)
        assert np.abs(model.predict_proba(X) - alone.predict_proba(X)).mean() < 0.1


def fits_end_together() -> None:
    X, y = whole(3000)
    parts = mine(X, y)
    stopped = WPSGDClassifier(runtime=RUNTIME, early_stopping=True, tol=0.05, random_state=0).fit(*parts)
    assert stopped.n_iter_ < 100
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        WPSGDClassifier(runtime=RUNTIME, max_seconds=1e-6 * (1 + RANK)).fit(*parts)
    assert [one.category for one in caught] == [ConvergenceWarning]
    keys: dict[str, Any] = {"strategy": "simuparallel", "tol": 0.05, "random_state": 0, "runtime": RUNTIME}
    settled = WPSGDClassifier(**keys).fit(*parts)
    for passes, count in ((settled.n_iter_, 0), (settled.n_iter_ - 1, 1)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            WPSGDClassifier(max_iter=passes, **keys).fit(*parts)
        assert len(caught) == count  # on every rank: the first alone sees that it settled in its last round
    with pytest.raises(ValueError, match=r"early_stopping=True: .* no row at all"):
        WPSGDClassifier(early_stopping=True, **keys).fit(np.eye(3), [0, 1, 0])


def classes_that_share_passes_are_those_one_by_one() -> None:
    X, y = whole(3000)
    y = np.where(np.asarray(X[:, 3].todense()).ravel() > 0.0, "third", y)
    X, y = mine(X, y)
    keys: dict[str, Any] = {"strategy": "simuparallel", "tol": 0.01, "random_state": 0, "runtime": RUNTIME}
    together = WPSGDClassifier(**keys).fit(X, y)
    same_everywhere(together)
    shares_passes, fitting.shares_passes = fitting.shares_passes, lambda *_: False
    alone = WPSGDClassifier(**keys).fit(X, y)
    fitting.shares_passes = shares_passes
    assert np.array_equal(together.coef_, alone.coef_)
    assert together.n_iter_ == alone.n_iter_
    if RANK == 0:
        looks = [event["class"] for event in together.trace_ if event["kind"] == "look"]
        assert len({looks.count(label) for label in set(looks)}) > 1  # some left before the others
        assert any(event.get("classes") == ["no", "third", "yes"] for event in together.trace_)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        WPSGDClassifier(runtime=RUNTIME, max_seconds=1e-6 * (1 + RANK)).fit(X, y)
    assert [one.category for one in caught] == [ConvergenceWarning]


def what_one_rank_gets_wrong_all_ranks_raise() -> None:
    X, y = whole(600)
    X, y = mine(X, y)
    if RANK == 3:
        X.data[5] = np.nan
    with pytest.raises(ValueError, match=r"^rank 3: Input X contains NaN") as raised:
        WPSGDClassifier(runtime=RUNTIME).fit(X, y)
    assert len(set(shared(str(raised.value)))) == 1
    with pytest.raises(ValueError, match="got 1 class"):
        WPSGDClassifier(runtime=RUNTIME).fit(np.eye(3), ["a"] * 3)
    with pytest.raises(ValueError, match="first rank's rows alone"):
        WPSGDClassifier(runtime=RUNTIME, strategy="sequential").fit(np.eye(4), [0, 1, 0, 1])


def the_runtime_survives_clone_copy_and_pickle() -> None:
    X, y = whole(600)
    parts = mine(X, y)
    model = WPSGDClassifier(runtime=RUNTIME).fit(*parts)
    assert copy.deepcopy(RUNTIME) is RUNTIME
    assert clone(model).runtime is RUNTIME
    assert pickle.loads(pickle.dumps(model)).runtime is RUNTIME
    text = pickle.dumps(model)
    _LIVING.clear()  # as in another process
    revived = pickle.loads(text)
    assert revived.runtime is not RUNTIME
    if RANK == 0:
        assert np.array_equal(revived.predict(X), model.predict(X))  # takes no other rank
    again = revived.fit(*parts)
    assert again.runtime.ranks == 4
    assert np.array_equal(again.coef_, model.coef_)
    assert pickle.loads(pickle.dumps(again)).runtime is again.runtime


if __name__ == "__main__":
    few_rows_are_solved_as_on_one_machine()
    many_rows_are_trained_on_where_they_are()
    probabilities_are_agreed_upon()
    fits_end_together()
    classes_that_share_passes_are_those_one_by_one()
    what_one_rank_gets_wrong_all_ranks_raise()
    the_runtime_survives_clone_copy_and_pickle()
    (Path(sys.argv[1]) / f"rank-{RANK}").touch()
