"""Rows that are dealt by label: the same shards, and models, on threads, MPI ranks and virtual nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import done, models, settings, spawn, write_rows

from wpsgd import WPSGDClassifier
from wpsgd.data.load import load
from wpsgd.errors import ConfigError
from wpsgd.estimator.sgd import Trainer

SKEWED = [
    "--strategies",
    "simuparallel",
    *settings(
        report__figures="false",
        report__looks=2,
        machine__ranks=2,
        data__sharding="label_skew",
        data__skew="0.8",
    ),
]
CLUSTER = """
[link]
latency = 1e-5
bandwidth = 1e9
[[node]]
count = 2
seconds_per_row = 1e-6
"""


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("rows") / "rows.svm", 400)


@pytest.mark.mpi
def test_all_runtimes_deal_and_train_alike(tmp_path: Path, rows: Path) -> None:
    cluster = tmp_path / "cluster.toml"
    cluster.write_text(CLUSTER)
    common = ["small", "--data", rows, *SKEWED]
    done("run", *common, "--out", tmp_path / "threads")
    done("run", *common, "--out", tmp_path / "alike", "--set", "data.skew=0")
    done("simulate", *common, "--cluster", cluster, "--out", tmp_path / "virtual")
    answer = spawn("run", *common, "--out", tmp_path / "ranks", ranks=2)
    assert answer.code == 0, answer
    expected = weights(tmp_path / "threads")
    for name in ("virtual", "ranks"):
        assert np.array_equal(weights(tmp_path / name), expected), name
    assert not np.array_equal(weights(tmp_path / "alike"), expected)


def weights(folder: Path) -> Any:
    assert models(folder)
    return np.load(folder / "models" / "simuparallel.npz")["weights"]


def dealt(monkeypatch: pytest.MonkeyPatch, strategy: dict[str, Any]) -> list[Any]:
    """The classes of each worker's rows in a fit of three classes."""
    seen: list[Any] = []
    train = Trainer.program

    def program(self: Trainer) -> Any:
        seen[:] = self.numbers
        return train(self)

    monkeypatch.setattr(Trainer, "program", program)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(900, 4)), np.repeat(["a", "b", "c"], 300)
    WPSGDClassifier(solver="sgd", strategy=strategy, n_workers=3, max_iter=2, tol=None, random_state=0).fit(
        X, y
    )
    assert sorted(np.concatenate(seen).tolist()) == [*range(900)]
    return [y[part] for part in seen]


def test_workers_of_an_estimator_hold_other_shares_of_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    skewed = dealt(monkeypatch, {"name": "simuparallel", "sharding": "label_skew", "skew": 1.0})
    assert [np.unique(classes).tolist() for classes in skewed] == [["a"], ["b"], ["c"]]
    alike = dealt(monkeypatch, {"name": "simuparallel"})
    for classes in alike:
        assert np.unique(classes, return_counts=True)[1] == pytest.approx([100] * 3, abs=30)


def test_how_rows_are_dealt_is_checked_as_in_a_study(rows: Path) -> None:
    data = load(rows).train
    X, y = data.to_scipy(), data.labels
    model = WPSGDClassifier(solver="sgd", strategy={"name": "wp", "sharding": "by label"}, n_workers=2)
    with pytest.raises(ConfigError, match=r"sharding = \"by label\": must be one of .*\"label_skew\""):
        model.fit(X, y)
