"""Tests of converted data from the command line: data convert, run, score."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import call, done, models, settings, signal_at

from wpsgd import evaluate
from wpsgd.data.convert import Wishes, convert
from wpsgd.data.load import load
from wpsgd.data.rows import Rows
from wpsgd.data.svmlight import write_svmlight
from wpsgd.data.synthetic import problem
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Objective

CONFIG = """
[data]
source = "{source}"
test = false
unit_norm = {unit_norm}
[model]
alpha = 1e-3
intercept = "{intercept}"
[[strategy]]
name = "wp"
rounds = 3
[machine]
ranks = 2
[report]
figures = false
"""


def wpsgd(*arguments: object, code: int = 0) -> Any:
    """What a command printed as JSON, or its errors where another exit code than 0 is expected."""
    command = [sys.executable, "-m", "wpsgd.experiment", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stderr if code else json.loads(done.stdout)


def skewed() -> Rows:
    return problem(400, 120, 12, noise=0.05, spread=0.5, seed=2).rows


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "some.svm"
    write_svmlight(path, skewed())
    return path


def test_convert_says_what_it_made(text: Path, tmp_path: Path) -> None:
    facts = wpsgd("data", "convert", text, tmp_path / "store", "--jobs", 2, "--unit-norm", "--json")
    rows = skewed()
    assert (facts["rows"], facts["nonzeros"], facts["unit_norm"]) == (400, rows.nonzeros, True)
    info = wpsgd("data", "info", tmp_path / "store", "--json")
    assert (info["rows"], info["nonzeros"]) == (400, rows.nonzeros)


def test_convert_refuses_what_it_cannot_do_in_one_line(text: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.svm"
    bad.write_text("1 1:1\n-1 3:x\n-1 2:1\n")
    assert "bad.svm:2:6: value 'x' is not a number" in wpsgd("data", "convert", bad, tmp_path / "b", code=1)
    facts = wpsgd("data", "convert", bad, tmp_path / "b", "--skip-bad-lines", "--json")
    assert (facts["bad_lines"], facts["rows"]) == (1, 2)
    assert "exists already" in wpsgd("data", "convert", text, tmp_path / "b", code=1)
    assert "--force replaces nothing else" in wpsgd("data", "convert", text, tmp_path, "--force", code=1)
    assert (tmp_path / "some.svm").exists()
    assert "is not a file" in wpsgd("data", "convert", "real-sim-twin", tmp_path / "c", code=2)


@pytest.mark.parametrize(("unit_norm", "intercept"), [(True, "off"), (False, "column")])
def test_a_model_trained_on_a_store_scores_the_same_on_the_text(
    text: Path, tmp_path: Path, unit_norm: bool, intercept: str
) -> None:
    flags = ["--unit-norm"] if unit_norm else []
    wpsgd("data", "convert", text, tmp_path / "store", "--json", *flags)
    config = tmp_path / "study.toml"
    settings = {"unit_norm": str(unit_norm).lower(), "intercept": intercept}
    config.write_text(CONFIG.format(source=tmp_path / "store", **settings))
    trained = wpsgd("run", config, "--out", tmp_path / "run", "--json", "--progress", "none")["strategies"][0]
    scored = wpsgd("score", trained["model"], text, "--json")
    if intercept == "off":  # a column's weight is regularised in training, an intercept is not
        assert scored["objective"] == pytest.approx(trained["objective"], rel=1e-12)
    assert scored["accuracy"] > 0.85
    data = load(tmp_path / "store", unit_norm=unit_norm)
    assert data.stored is not None
    with np.load(trained["model"]) as model:
        weights, intercepts = model["weights"], model["intercepts"]
    moved = np.append(weights[data.stored.columns], intercepts)
    assert evaluate.accuracy(moved, data.train) == scored["accuracy"]


def test_rows_sorted_by_label_converge_once_they_are_converted(tmp_path: Path) -> None:
    rows = skewed()
    by_label = rows.take(np.argsort(rows.labels, kind="stable"))
    path = tmp_path / "sorted.svm"
    write_svmlight(path, by_label)
    converted = convert(path, tmp_path / "store").rows()
    shuffled = rows.take(np.random.default_rng(1).permutation(len(rows)))
    reached = {
        name: _objective(data)
        for name, data in (("sorted", by_label), ("converted", converted), ("shuffled", shuffled))
    }
    assert reached["converted"] == pytest.approx(reached["shuffled"], rel=0.05)
    assert reached["sorted"] > 2 * reached["shuffled"]


def _objective(rows: Rows) -> float:
    """After five passes in the order in which the rows lie."""
    objective = Objective("hinge", StepSize("optimal", 1e-3))
    learner = make_learner(replace(rows, features=120), objective, seed=0, rank=0, shuffle=False)
    learner.advance(5 * len(rows))
    return evaluate.objective(learner.contribution(), rows, loss="hinge", alpha=1e-3)


def test_a_run_on_a_store_that_was_stopped_goes_on(text: Path, tmp_path: Path) -> None:
    convert(text, tmp_path / "store", Wishes())
    changed = settings(strategy__wp__ending="rows", strategy__wp__rounds=8)
    config = tmp_path / "study.toml"
    config.write_text(CONFIG.format(source=tmp_path / "store", unit_norm="false", intercept="off"))
    done("run", config, *changed, "--out", tmp_path / "whole")
    with signal_at(4, signal.SIGTERM):
        stopped = call("run", config, *changed, "--out", tmp_path / "stopped")
    assert stopped.code == 1
    answer = done("run", config, *changed, "--out", tmp_path / "stopped", "--resume")
    assert "wp: resumed after round " in answer.err
    assert models(tmp_path / "stopped") == models(tmp_path / "whole")
    # and once more, when there is nothing left to do
    assert "wp: complete" in done("run", config, *changed, "--out", tmp_path / "stopped", "--resume").err


def test_contiguous_shards_of_a_store_are_not_trained_in_the_order_of_the_source(tmp_path: Path) -> None:
    rows = problem(rows=3000, features=200, nonzeros_per_row=12, noise=0.05, seed=4).rows
    write_svmlight(tmp_path / "sorted.svm", rows.take(np.argsort(rows.labels, kind="stable")))
    convert(tmp_path / "sorted.svm", tmp_path / "store", Wishes())
    config = tmp_path / "study.toml"
    config.write_text(CONFIG.format(source=tmp_path / "store", unit_norm="false", intercept="off"))
    ends = {}
    for block in (1, 1024):  # blocks of many rows of one class would not converge
        changed = settings(data__sharding="contiguous", strategy__wp__ending="rows", model__block=block)
        out = tmp_path / str(block)
        done("run", config, *changed, "--out", out, *settings(machine__ranks=1))
        ends[block] = json.loads((out / "results.json").read_text())["strategies"][0]["objective"]
    assert ends[1024] == pytest.approx(ends[1], rel=0.05)
