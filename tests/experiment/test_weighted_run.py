"""Runs with class weights, sample weights and a tolerance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import done, models, settings, spawn
from sklearn.svm import LinearSVC
from sklearn.utils.class_weight import compute_sample_weight

from wpsgd.data.rows import Rows
from wpsgd.data.svmlight import write_svmlight
from wpsgd.data.synthetic import problem
from wpsgd.evaluate import objective
from wpsgd.export import load_model

ALPHA = 1e-3
STUDY = """
[data]
source = "rows.svm"
[[strategy]]
name = "sequential"
rounds = 3000
"""
QUIET = settings(
    data__test="false",
    data__unit_norm="false",
    report__figures="false",
    report__looks=1,
    machine__speeds="[]",
)
CERTIFIED = settings(model__solver='"dual"', model__alpha=ALPHA, model__tol=1e-7)


@pytest.fixture(scope="module")
def rows() -> Rows:
    return problem(400, 50, 6.0, positive=0.15, noise=0.05, seed=6).rows


@pytest.fixture(autouse=True)
def data(tmp_path: Path, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The rows as text, beside a study of the dual solver."""
    monkeypatch.chdir(tmp_path)
    Path("dual.toml").write_text(STUDY)
    write_svmlight("rows.svm", rows)
    return Path("rows.svm")


def trained(data: Path, out: Path, *more: str) -> tuple[Any, dict[str, Any]]:
    content = json.loads(
        done("run", "dual.toml", "--json", *QUIET, *CERTIFIED, *more, "--data", data, "--out", out).out
    )
    return load_model(out / "models" / "sequential.npz").weights, content["strategies"][0]


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_balanced_classes_have_the_optimum_that_linear_svc_finds(
    tmp_path: Path, rows: Rows, loss: str
) -> None:
    found, score = trained(
        tmp_path / "rows.svm", tmp_path / "x", *settings(model__loss=loss, model__class_weight="balanced")
    )
    svc = LinearSVC(
        C=1.0 / (ALPHA * len(rows)),
        loss=loss,
        class_weight="balanced",
        fit_intercept=False,
        dual=True,
        tol=1e-8,
        max_iter=200_000,
    )
    expected = svc.fit(rows.to_scipy(), rows.labels).coef_.ravel()
    weights = compute_sample_weight("balanced", rows.labels)
    balanced = Rows(rows.indptr, rows.indices, rows.values, rows.labels, rows.features, weights)
    best = objective(expected, balanced, loss=loss, alpha=ALPHA)
    assert objective(found, balanced, loss=loss, alpha=ALPHA) == pytest.approx(best, rel=1e-5)
    assert score["objective"] == pytest.approx(best, rel=1e-5)
    plain = objective(
        trained(tmp_path / "rows.svm", tmp_path / "y", *settings(model__loss=loss))[0],
        balanced,
        loss=loss,
        alpha=ALPHA,
    )
    assert plain > 1.01 * best


def test_a_row_with_weight_2_is_two_rows(tmp_path: Path, rows: Rows) -> None:
    own = np.random.default_rng(2).integers(1, 3, len(rows))
    write_svmlight(tmp_path / "once.svm", rows)
    write_svmlight(tmp_path / "twice.svm", rows.take(np.repeat(np.arange(len(rows)), own)))
    np.save(tmp_path / "own.npy", own)
    once, first = trained(
        tmp_path / "once.svm", tmp_path / "x", *settings(data__weights=tmp_path / "own.npy")
    )
    twice, second = trained(tmp_path / "twice.svm", tmp_path / "y")
    assert first["objective"] == pytest.approx(second["objective"], rel=1e-6)
    assert np.max(np.abs(once - twice)) < 5e-3 * np.max(np.abs(twice))


def test_weights_of_classes_weigh_the_steps_of_sgd(tmp_path: Path, rows: Rows) -> None:
    run = ("run", "small", "--strategies", "wp,minibatch", "--json", *QUIET, *settings(model__alpha=ALPHA))
    more = (*settings(machine__ranks=2), "--data", tmp_path / "rows.svm", "--out")
    best = trained(tmp_path / "rows.svm", tmp_path / "z", *settings(model__class_weight="balanced"))[1][
        "objective"
    ]
    weighted = json.loads(
        done(
            *run,
            *settings(model__class_weight="balanced", **{"strategy__*__rounds": 60}),
            *more,
            tmp_path / "x",
        ).out
    )
    for strategy in weighted["strategies"]:
        assert best <= strategy["objective"] < 1.1 * best, strategy["name"]


def test_a_tolerance_ends_a_run_early_and_is_certified(tmp_path: Path, rows: Rows) -> None:
    run = ("run", "dual.toml", *QUIET, *CERTIFIED, "--data", tmp_path / "rows.svm", "--out", tmp_path / "x")
    ended = done(*run, *settings(model__tol=1e-2))
    result = json.loads((tmp_path / "x" / "results.json").read_text())["strategies"][0]
    known = result["certificate"]
    assert result["complete"]
    assert result["rounds"] < 100
    assert known["converged"]
    assert known["gap"] <= 1e-2
    assert f"at most {known['gap']:.3g} of its objective above the optimum" in ended.out
    best = trained(tmp_path / "rows.svm", tmp_path / "y")[1]["objective"]
    assert best <= result["objective"] * (1 + 1e-9)
    assert result["objective"] <= best * (1 + 1.01e-2)
    again = done(*run, "--resume", *settings(model__tol=1e-2))
    assert "complete since an earlier run" in again.err


def test_too_few_rounds_for_a_tolerance_are_said(tmp_path: Path, rows: Rows) -> None:
    few = settings(strategy__sequential__rounds=25, model__tol=1e-9)
    ended = done(
        "run", "dual.toml", *QUIET, *CERTIFIED, *few, "--data", tmp_path / "rows.svm", "--out", tmp_path / "x"
    )
    result = json.loads((tmp_path / "x" / "results.json").read_text())["strategies"][0]
    assert result["rounds"] == 25
    assert result["certificate"] is None or not result["certificate"]["converged"]
    assert result["certificate"] is None or "more than tol" in ended.out


@pytest.mark.mpi
def test_ranks_end_together_where_the_first_is_certified_with_the_model_of_threads(
    tmp_path: Path, rows: Rows
) -> None:
    run = (
        "run",
        "dual.toml",
        "--json",
        *QUIET,
        *CERTIFIED,
        *settings(machine__ranks=2, model__tol=1e-3, model__class_weight="balanced"),
        "--data",
        tmp_path / "rows.svm",
        "--out",
    )
    threads = json.loads(done(*run, tmp_path / "threads").out)["strategies"][0]
    ranks = spawn(*run, tmp_path / "ranks", ranks=2)
    assert ranks.code == 0, ranks
    found = json.loads(ranks.out)["strategies"][0]
    assert (found["certificate"], found["rounds"]) == (threads["certificate"], threads["rounds"])
    assert models(tmp_path / "ranks") == models(tmp_path / "threads")
