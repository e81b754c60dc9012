"""Classes trained in blocks that share each pass against classes trained one by one."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn import config_context
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import normalize

from wpsgd import WPSGDClassifier
from wpsgd.config.reading import settings_of
from wpsgd.errors import Diverged
from wpsgd.estimator import classes, continuing, fitting
from wpsgd.runtimes.costs import Cluster, RowCost
from wpsgd.runtimes.simulated import Simulated

X, Y = load_digits(return_X_y=True)
X = sparse.csr_matrix(normalize(X))
LABELS = np.array(list("abcdefghij"))[Y]


def fitted(**keys: Any) -> WPSGDClassifier:
    about: dict[str, Any] = {"solver": "sgd", "random_state": 4, "max_iter": 25, **keys}
    weights, length = about.pop("sample_weight", None), about.pop("length", 1.0)
    dtype = about.pop("dtype", X.dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return WPSGDClassifier(**about).fit(length * X.astype(dtype), LABELS, weights)


def one_by_one(monkeypatch: pytest.MonkeyPatch, **keys: Any) -> WPSGDClassifier:
    with monkeypatch.context() as patched:
        patched.setattr(fitting, "shares_passes", lambda *_: False)
        return fitted(**keys)


def same_model(one: Any, other: Any) -> bool:
    return bool(np.array_equal(one.coef_, other.coef_) and np.array_equal(one.intercept_, other.intercept_))


def looks(model: Any, label: str) -> list[Any]:
    """Up to the order in which rows are added up."""
    names = ("round", "rows", "objective", "test_objective", "accuracy")
    mine = [event for event in model.trace_ if event["kind"] == "look" and event["class"] == label]
    return [pytest.approx([event[name] or 0.0 for name in names], rel=1e-12) for event in mine]


@pytest.mark.parametrize(
    "keys",
    [
        {"strategy": "sequential", "alpha": 1e-3},
        {"n_workers": 3, "loss": "log_loss"},
        {"n_workers": 2, "learning_rate": "adagrad", "eta0": 0.1, "tol": 0.02},
        {"n_workers": 2, "early_stopping": True, "class_weight": "balanced", "tol": 0.01},
        {"n_workers": 2, "strategy": {"name": "simuparallel", "outer_momentum": 0.3}, "rule": "fednova"},
        {"n_workers": 2, "strategy": "minibatch", "learning_rate": "inverse", "eta0": 1.0, "tol": 0.01},
    ],
    ids=lambda keys: "-".join(map(str, keys)),
)
def test_a_shared_pass_gives_the_models_and_passes_of_classes_one_by_one_bit_for_bit(
    monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any]
) -> None:
    weights = np.random.default_rng(0).uniform(0.0, 2.0, len(LABELS))
    keys = {"sample_weight": weights, "n_iter_no_change": 2, **keys}
    together, alone = fitted(**keys), one_by_one(monkeypatch, **keys)
    assert same_model(together, alone)
    assert together.n_iter_ == alone.n_iter_
    assert {len(looks(together, label)) for label in "abcdefghij"} != {together.n_iter_}  # some left earlier
    for label in "abcdefghij":
        assert len(looks(together, label)) == len(looks(alone, label))
        for one, other in zip(looks(together, label), looks(alone, label), strict=True):
            assert one.expected == other


@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("size", [1, 3])
def test_neither_the_size_of_blocks_nor_n_jobs_changes_a_bit(
    monkeypatch: pytest.MonkeyPatch, size: int, n_jobs: int | None
) -> None:
    blocks: list[int] = []
    train = classes.Together.train

    def noted(self: Any, block: range, *rest: Any) -> Any:
        blocks.append(len(block))
        return train(self, block, *rest)

    monkeypatch.setattr(classes.Together, "train", noted)
    whole = fitted(n_workers=2)
    assert blocks == [10]
    bytes_each = 2 * 4 * 8 * 65  # two workers' weights and what they are exchanged and copied in
    blocks.clear()
    with config_context(working_memory=(size * (n_jobs or 1) + 0.5) * bytes_each / 2**20):
        cut = fitted(n_workers=2, n_jobs=n_jobs)
    assert max(blocks) == size
    assert sum(blocks) == 10
    assert same_model(cut, whole)
    assert cut.n_iter_ == whole.n_iter_


def test_a_warm_start_and_partial_fit_go_on_from_a_block_as_from_classes_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = {"learning_rate": "adagrad", "eta0": 0.1, "tol": None, "max_iter": 2, "n_workers": 1}
    models = [fitted(**keys), one_by_one(monkeypatch, **keys)]
    for model in models:
        model.partial_fit(X, LABELS)
    assert same_model(*models)
    models[0].set_params(warm_start=True).fit(X, LABELS)
    with monkeypatch.context() as patched:
        patched.setattr(fitting, "shares_passes", lambda *_: False)
        models[1].set_params(warm_start=True).fit(X, LABELS)
    assert same_model(*models)


@pytest.mark.parametrize("schedule", ["optimal", "adagrad"])
def test_passes_of_partial_fit_are_those_of_classes_one_by_one_whatever_the_blocks(
    monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    weights = np.random.default_rng(1).uniform(0.5, 1.5, len(LABELS))
    models = []
    for budget, together in ((1024.0, True), (0.01, True), (1024.0, False)):  # MiB: one block, several, none
        model = WPSGDClassifier(learning_rate=schedule, eta0=0.1, random_state=3)
        with monkeypatch.context() as patched, config_context(working_memory=budget):
            if not together:
                patched.setattr(continuing, "equally_far", lambda *_: False)
            for _ in range(3):
                model.partial_fit(X, LABELS, np.unique(LABELS), weights)
        models.append(model)
    assert same_model(models[0], models[2])
    assert same_model(models[1], models[2])


def test_classes_that_are_not_equally_far_go_on_one_by_one() -> None:
    model = fitted(tol=None, max_iter=1, n_workers=1)
    steps = [1000 + 10 * number for number in range(10)]  # as the dual may leave them
    model._learners = [{**one, "steps": step} for one, step in zip(model._learners, steps, strict=True)]
    model.partial_fit(X, LABELS)
    assert [one["steps"] - X.shape[0] for one in model._learners] == steps


def test_what_classes_share_is_in_the_trace_once() -> None:
    model = fitted(n_workers=2, tol=0.05, n_iter_no_change=1)
    shared = [event for event in model.trace_ if "class" not in event]
    assert all(event["classes"] == list("abcdefghij") and event["kind"] != "look" for event in shared)
    totals = [event for event in shared if event["kind"] == "totals"]
    rounds = [event["round"] for event in shared if event["kind"] == "round"]
    assert rounds == list(range(1, model.n_iter_ + 1))  # whoever left on the way
    assert [event["rank"] for event in totals] == [0, 1]
    assert totals[0]["rows"] == sum(event["counts"][0] for event in shared if event["kind"] == "round")


def test_time_that_is_up_ends_all_classes() -> None:
    with pytest.warns(ConvergenceWarning, match="raise max_seconds"):
        model = WPSGDClassifier(solver="sgd", max_seconds=1e-9, tol=1e-9, random_state=0).fit(X, LABELS)
    assert model.n_iter_ == 1
    assert (np.abs(model.coef_).max(axis=1) > 0.0).all()


@pytest.mark.parametrize("wire", ["auto", "dense"])
@pytest.mark.parametrize("features", [10_000, 500_000])
@pytest.mark.parametrize("period", [1_000, 300_000])
@pytest.mark.parametrize(
    ("name", "key", "many"), [("simuparallel", "period", 64), ("minibatch", "batch", 67)]
)
def test_ranks_that_would_exchange_pairs_train_classes_one_by_one(
    name: str, key: str, many: int, period: int, features: int, wire: str
) -> None:
    entry = {"name": name, key: period, "wire": wire}
    # 12 bytes a pair of 20,000 in a sum, against two models of 4 MB
    alone = wire == "auto" and features == 500_000 and period == 1_000
    assert sharing(entry, features, period, ranks=2) is not alone
    # so many that going through their models, or their pairs, takes longer than a reduction
    assert sharing(entry, features, period, ranks=many)


@pytest.mark.parametrize(("features", "shared"), [(10_000, True), (500_000, False)])
def test_small_models_share_passes_though_their_batches_would_be_fewer_bytes(
    features: int, shared: bool
) -> None:
    entry = {"name": "minibatch", "batch": 10}
    settings = settings_of({"data": {"source": "x"}, "strategy": [entry]}, "tests")
    assert settings.strategies[0].reduction(8 * features, features, 100, 2) == (12 * 102, True)
    assert sharing(entry, features, 10, ranks=2) is shared


def sharing(entry: dict[str, Any], features: int, rows: int, ranks: int) -> bool:
    """Whether ranks with so many rows of 10 entries each share passes."""
    strategy = settings_of({"data": {"source": "x"}, "strategy": [entry]}, "tests").strategies[0]
    shape, runtime = (
        SimpleNamespace(features=features, values=np.empty(0)),
        SimpleNamespace(name="mpi", ranks=ranks),
    )
    trainer: Any = SimpleNamespace(
        strategy=strategy, rows=shape, runtime=runtime, numbers=[range(rows)] * ranks
    )
    whole: Any = SimpleNamespace(rows=(rows,) * ranks, nonzeros=10 * rows * ranks)
    return classes.shares_passes(trainer, whole)


def test_a_class_that_diverges_says_so() -> None:
    with pytest.raises(Diverged, match="lower eta0"):
        fitted(length=1e150, learning_rate="constant", eta0=1e10, alpha=1e-12)


@pytest.mark.parametrize(
    "keys",
    [
        {"average": True},
        {"rule": "diagonal"},
        {"rule": "inverse_variance"},
        {"strategy": {"name": "wp", "contraction": "validated"}},
        {"strategy": {"name": "simuparallel", "line_search": True}},
        {"strategy": {"name": "simuparallel", "wire": "sparse"}},
        {"strategy": "hybrid", "period": 300},
        {"strategy": "cocoa"},
        {"runtime": Simulated(Cluster((RowCost(1e-6), RowCost(2e-6))))},
    ],
    ids=lambda keys: str(next(iter(keys.values()))),
)
def test_what_looks_at_a_model_as_a_whole_trains_classes_one_by_one(
    monkeypatch: pytest.MonkeyPatch, keys: dict[str, Any]
) -> None:
    def refused(*_: Any) -> Any:
        raise AssertionError("a block")

    monkeypatch.setattr(classes.Together, "train", refused)
    workers = {} if "runtime" in keys else {"n_workers": 2}
    model = fitted(tol=None, max_iter=2, **workers, **keys)
    assert {event["class"] for event in model.trace_} == set("abcdefghij")
