"""Four ranks, each with rows of its own, fit one WPSGDClassifier; run by mpiexec."""

from __future__ import annotations

import bz2
import copy
import pickle
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mpi4py import MPI as mpi  # noqa: N811
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import dump_svmlight_file, load_svmlight_file
from sklearn.exceptions import ConvergenceWarning

from wpsgd import WPSGDClassifier
from wpsgd.data.convert import Wishes, convert
from wpsgd.data.synthetic import problem
from wpsgd.estimator import choices, fitting
from wpsgd.evaluate import line_search, objective
from wpsgd.runtimes.mpi import MPI, wire
from wpsgd.runtimes.mpi.runtime import _LIVING

RUNTIME = MPI(mpi.COMM_WORLD)
RANK = RUNTIME.rank


def whole(rows: int) -> tuple[Any, Any]:
    made = problem(rows=rows, features=120, nonzeros_per_row=10, seed=4).rows
    return sparse.csr_matrix(made.to_scipy()), np.where(made.labels > 0, "yes", "no")


def parts_of(y: Any) -> list[Any]:
    """Rank 1 holds no rows, rank 2 one class only."""
    one = np.flatnonzero(y == max(y))
    only = one[: len(one) // 3]
    rest = np.setdiff1d(np.arange(len(y)), only)
    return [rest[: len(rest) // 3], rest[:0], only, rest[len(rest) // 3 :]]


def mine(X: Any, y: Any) -> tuple[Any, Any]:
    """This rank's part; rank 2 has no columns that its rows have no entries in."""
    X, y = X[parts_of(y)[RANK]], y[parts_of(y)[RANK]]
    if RANK == 1:
        return None, None
    return X[:, : int(X.indices.max()) + 1] if RANK == 2 else X, y


def shared(value: Any) -> list[Any]:
    """Everybody's value."""
    return list(mpi.COMM_WORLD.allgather(value))


def same(model: Any, other: Any) -> None:
    for name in ("coef_", "intercept_", "classes_"):
        assert np.array_equal(getattr(model, name), getattr(other, name)), name


def same_everywhere(model: Any) -> None:
    for names in shared((model.coef_, model.intercept_, model.classes_)):
        same(model, SimpleNamespace(**dict(zip(("coef_", "intercept_", "classes_"), names, strict=True))))


def classes_of(X: Any) -> Any:
    """Three classes, by two columns."""
    return np.where(X[:, [0]].toarray() > 0, 2, np.where(X[:, [1]].toarray() > 0, 1, 0)).ravel()


def the_dual_is_solved_as_by_one_process() -> None:
    for rows, keys in (
        (600, {}),
        (4000, {"class_weight": "balanced", "loss": "squared_hinge"}),
        (4000, {"probability": True}),
        (4000, {"loss": "log_loss", "class_weight": "balanced"}),
    ):
        X, y = whole(rows)
        order = np.concatenate(parts_of(y))
        ours = WPSGDClassifier(runtime=RUNTIME, random_state=0, **keys).fit(*mine(X, y))
        same_everywhere(ours)
        alone = WPSGDClassifier(random_state=0, **keys).fit(X[order], y[order])
        assert ours.solver_ == ("newton" if keys.get("loss") == "log_loss" else "dual")
        same(ours, alone)
        if "probability" in keys:
            assert np.array_equal(ours.calibration_, alone.calibration_)


def rows_of_many_classes_and_weights_are_gathered_with_them() -> None:
    X, _ = whole(1500)
    y = classes_of(X)
    order, weights, given = weights_of_some(y)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "PIECE", 1000)
        ours = WPSGDClassifier(runtime=RUNTIME, random_state=0).fit(*mine(X, y), sample_weight=given)
    same_everywhere(ours)
    same(ours, WPSGDClassifier(random_state=0).fit(X[order], y[order], weights[order]))


def weights_of_some(y: Any) -> tuple[Any, Any, Any]:
    """The rows in rank order, their weights, and this rank's; rank 3 passes none, and so ones."""
    order, weights = np.concatenate(parts_of(y)), np.random.default_rng(0).uniform(1.0, 6.0, len(y))
    weights[parts_of(y)[3]] = 1.0
    return order, weights, weights[parts_of(y)[RANK]] if RANK in (0, 2) else None


def a_rank_without_weights_counts_its_rows_once() -> None:
    X, y = whole(1500)
    order, weights, given = weights_of_some(y)
    keys: dict[str, Any] = {"strategy": "cocoa", "tol": None, "max_iter": 40, "random_state": 0}
    ours = WPSGDClassifier(runtime=RUNTIME, alpha=3e-2, **keys).fit(*mine(X, y), sample_weight=given)
    exact = WPSGDClassifier(tol=1e-6, alpha=3e-2).fit(X[order], y[order], weights[order])
    assert np.abs(ours.coef_ - exact.coef_).max() < 0.02 * np.abs(exact.coef_).max()


def the_dual_of_more_rows_is_certified_where_they_are() -> None:
    X, y = whole(2000)
    keys: dict[str, Any] = {"solver": "dual", "alpha": 1e-2, "tol": 1e-3, "random_state": 0}
    optimum = WPSGDClassifier(**{**keys, "tol": 1e-9}).fit(X, y).trace_[-1]["objective"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(choices, "ENTRIES_TO_GATHER", 1000)
        ours = WPSGDClassifier(runtime=RUNTIME, **keys).fit(*mine(X, y))
        same_everywhere(ours)
        assert ours.solver_ == "dual"
        gaps = shared([event["gap"] for event in ours.trace_ if event["kind"] == "round"])[0]
        assert 0.0 <= gaps[-1] <= keys["tol"] < gaps[-2]
        held = problem(rows=2000, features=120, nonzeros_per_row=10, seed=4).rows
        model = np.append(ours.coef_[0], ours.intercept_[0])
        value = objective(model, held.with_constant_column(), loss="hinge", alpha=1e-2)
        assert -1e-9 <= value - optimum <= keys["tol"]
        assert (
            WPSGDClassifier(runtime=RUNTIME, **{**keys, "solver": "auto"}).fit(*mine(X, y)).solver_ == "sgd"
        )


def models_are_judged_on_a_sample_that_all_ranks_hold() -> None:
    X, y = whole(3000)
    parts = mine(X, y)
    keys: dict[str, Any] = {"runtime": RUNTIME, "random_state": 0, "tol": None, "max_iter": 3, "alpha": 1e-2}
    plain = WPSGDClassifier(strategy="simuparallel", **keys).fit(*parts)
    for more in ({"line_search": True}, {"rule": "wp", "contraction": "validated"}):
        model = WPSGDClassifier(strategy={"name": "simuparallel", **more}, **keys).fit(*parts)
        same_everywhere(model)
        assert model.score(X, y) > 0.9 * plain.score(X, y)
    searched = WPSGDClassifier(strategy={"name": "simuparallel", "line_search": True}, **keys).fit(*parts)
    held = problem(rows=3000, features=120, nonzeros_per_row=10, seed=4).rows.with_constant_column()
    model = np.append(searched.coef_[0], searched.intercept_[0])
    length, _ = line_search(model, held, loss="hinge", alpha=1e-2)
    assert abs(length - 1.0) < 0.1  # as long as is best for a third of the rows, and so about for all of them


def of_one_path_each_rank_reads_its_part() -> None:
    X, y = whole(1500)
    with TemporaryDirectory() as temporary:
        folder = Path(shared(temporary)[0])
        text, packed, from_zero = folder / "rows.svm", folder / "rows.svm.bz2", folder / "zero.svm"
        store = folder / "store"
        if RANK == 0:
            dump_svmlight_file(X, classes_of(X), str(text), zero_based=False)
            packed.write_bytes(bz2.compress(text.read_bytes()))
            convert(text, store, Wishes("float64", "auto", False))
            last = sparse.csr_matrix(([1.0], ([len(y) - 1], [0])), shape=(len(y), 1))
            dump_svmlight_file(sparse.hstack([last, X], format="csr"), classes_of(X), str(from_zero))
        shared(None)
        counted = WPSGDClassifier(runtime=RUNTIME, random_state=0).fit(
            from_zero
        )  # of which one rank has seen a 0
        same_everywhere(counted)
        same(counted, WPSGDClassifier(random_state=0).fit(from_zero))
        for path in (text, packed, store):
            alone = WPSGDClassifier(random_state=0).fit(path)
            ours = WPSGDClassifier(random_state=0, runtime=RUNTIME).fit(str(path))
            same_everywhere(ours)
            same(ours, alone)
            assert ours.score(path) == alone.score(*load_svmlight_file(str(text)))
        spread = WPSGDClassifier(max_iter=2, tol=None, strategy="simuparallel", runtime=RUNTIME).fit(text)
        rows = spread.trace_[-1]["rows"] if RANK == 0 else 0
        assert shared(rows)[0] < len(y)  # of two passes over a quarter
        for given, problem_said in (
            ((folder / f"rank {RANK // 3}",), "rank 0: no such file"),
            ((text if RANK else packed,), "another file on some ranks"),
            ((text,) if RANK else (X, classes_of(X)), "a path on every rank or on none"),
        ):
            with pytest.raises(ValueError, match=problem_said):
                WPSGDClassifier(runtime=RUNTIME).fit(*given)
        shared(None)


def many_rows_are_trained_on_where_they_are() -> None:
    X, y = whole(3000)
    parts = mine(X, y)
    keys: dict[str, Any] = {"runtime": RUNTIME, "tol": None, "random_state": 1}
    exact = WPSGDClassifier(alpha=1e-2, tol=1e-6).fit(X, y)
    ours = WPSGDClassifier(alpha=1e-2, strategy="cocoa", max_iter=150, **keys).fit(*parts)
    same_everywhere(ours)
    assert np.abs(ours.coef_ - exact.coef_).max() < 0.01 * np.abs(exact.coef_).max()
    wp = WPSGDClassifier(max_iter=5, solver="sgd", **keys).fit(*parts)
    same_everywhere(wp)
    assert wp.solver_ == "sgd"
    assert wp.n_features_in_ == X.shape[1]
    equal = [WPSGDClassifier(max_iter=5, strategy="simuparallel", **keys).fit(*parts) for _ in range(2)]
    same_everywhere(equal[0])
    assert np.array_equal(equal[0].coef_, equal[1].coef_)


def probabilities_are_agreed_upon() -> None:
    # a race would end in another model each time
    X, y = whole(3000)
    keys: dict[str, Any] = {"probability": True, "random_state": 0, "tol": None, "max_iter": 10}
    model = WPSGDClassifier(runtime=RUNTIME, strategy="simuparallel", **keys).fit(*mine(X, y))
    for other in shared(model.calibration_):
        assert np.array_equal(other, model.calibration_)
    alone = WPSGDClassifier(strategy="simuparallel", **keys).fit(X, y)
    assert np.abs(model.predict_proba(X) - alone.predict_proba(X)).mean() < 0.1


def fits_end_together() -> None:
    X, y = whole(3000)
    parts = mine(X, y)
    stopped = WPSGDClassifier(runtime=RUNTIME, early_stopping=True, tol=0.05, random_state=0).fit(*parts)
    assert stopped.n_iter_ < 100
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        WPSGDClassifier(runtime=RUNTIME, solver="sgd", max_seconds=1e-6 * (1 + RANK)).fit(*parts)
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
        late = WPSGDClassifier(runtime=RUNTIME, solver="sgd", max_seconds=1e-6 * (1 + RANK)).fit(X, y)
    assert [one.category for one in caught] == [ConvergenceWarning]
    assert late.n_iter_ == 1
    same_everywhere(late)


def what_one_rank_gets_wrong_all_ranks_raise() -> None:
    X, y = whole(600)
    X, y = mine(X, y)
    if RANK == 3:
        X.data[5] = np.nan
    with pytest.raises(ValueError, match=r"^rank 3: Input X contains NaN") as raised:
        WPSGDClassifier(runtime=RUNTIME).fit(X, y)
    assert len(set(shared(str(raised.value)))) == 1
    with pytest.raises(ValueError, match="numbers on some ranks and texts on others"):
        WPSGDClassifier(runtime=RUNTIME).fit(np.eye(3), np.array([0, 1, 0]).astype(str if RANK == 3 else int))
    with pytest.raises(ValueError, match="got 1 class"):
        WPSGDClassifier(runtime=RUNTIME).fit(np.eye(3), ["a"] * 3)
    with pytest.raises(ValueError, match="first rank's rows alone"):
        WPSGDClassifier(runtime=RUNTIME, strategy="sequential").fit(np.eye(4), [0, 1, 0, 1])


def weights_that_are_set_are_begun_with() -> None:
    X, y = whole(600)
    parts = mine(X, y)
    keys: dict[str, Any] = {"strategy": "simuparallel", "max_iter": 2, "tol": None, "random_state": 0}
    begun = WPSGDClassifier(runtime=RUNTIME, **keys).fit(*parts, coef_init=np.ones((1, 120)))
    same_everywhere(begun)
    model = WPSGDClassifier(runtime=RUNTIME, warm_start=True, **keys)
    model.coef_, model.intercept_, model.classes_ = np.ones((1, 120)), np.zeros(1), np.array(["no", "yes"])
    same(model.fit(*parts), begun)
    with pytest.raises(AssertionError):
        same(begun, WPSGDClassifier(runtime=RUNTIME, **keys).fit(*parts))
    for own in (np.full((1, 120), 1.0 + (RANK == 2)), np.ones((1, 120)) if RANK == 0 else None):
        with pytest.raises(ValueError, match="must be the same on all ranks"):
            WPSGDClassifier(runtime=RUNTIME, **keys).fit(*parts, coef_init=own)
    with pytest.raises(ValueError, match=r"coef_init has shape \(1, 7\)"):
        WPSGDClassifier(runtime=RUNTIME, **keys).fit(*parts, coef_init=np.ones((1, 7 if RANK == 3 else 120)))


def adaptive_steps_get_smaller_on_all_ranks() -> None:
    X, y = whole(600)
    parts = mine(X, y)
    keys: dict[str, Any] = {"strategy": "simuparallel", "eta0": 0.1, "random_state": 0, "runtime": RUNTIME}
    adaptive = WPSGDClassifier(learning_rate="adaptive", **keys).fit(*parts)
    same_everywhere(adaptive)
    assert len(set(shared(adaptive.n_iter_))) == 1
    assert adaptive.n_iter_ > WPSGDClassifier(learning_rate="constant", **keys).fit(*parts).n_iter_


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
    the_dual_is_solved_as_by_one_process()
    rows_of_many_classes_and_weights_are_gathered_with_them()
    a_rank_without_weights_counts_its_rows_once()
    the_dual_of_more_rows_is_certified_where_they_are()
    models_are_judged_on_a_sample_that_all_ranks_hold()
    of_one_path_each_rank_reads_its_part()
    many_rows_are_trained_on_where_they_are()
    probabilities_are_agreed_upon()
    fits_end_together()
    classes_that_share_passes_are_those_one_by_one()
    what_one_rank_gets_wrong_all_ranks_raise()
    weights_that_are_set_are_begun_with()
    adaptive_steps_get_smaller_on_all_ranks()
    the_runtime_survives_clone_copy_and_pickle()
    (Path(sys.argv[1]) / f"rank-{RANK}").touch()
