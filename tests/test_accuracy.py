"""Models of averaged nodes against LinearSVC's, on real data; what is seen is printed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from wpsgd import evaluate
from wpsgd.config import ModelSettings
from wpsgd.config import load as load_settings
from wpsgd.data.load import Dataset, load
from wpsgd.data.shards import shard
from wpsgd.data.svmlight import write_svmlight
from wpsgd.data.synthetic import problem
from wpsgd.experiment.folder import RunFolder
from wpsgd.experiment.progress import Silent
from wpsgd.experiment.signals import Stop
from wpsgd.experiment.study import Study
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Objective
from wpsgd.reducers import uniform, wp
from wpsgd.runtimes.costs import Cluster, RowCost
from wpsgd.runtimes.job import Job
from wpsgd.runtimes.local import Local
from wpsgd.runtimes.simulated import Simulated
from wpsgd.strategies.averaging import Averaging
from wpsgd.strategies.patterns import ByRows, Looks, Race

DATA = Path(os.environ.get("WPSGD_TEST_DATA", Path(__file__).parent.parent.parent / "shared" / "data"))
UNEQUAL = (1.0, 0.5, 0.25, 0.25)
SEEDS = range(3)
ROUNDS = 20
BLOCK = ModelSettings().block  # as a run has it


@dataclass(frozen=True)
class Reference:
    """A data set and what LinearSVC makes of it."""

    name: str
    alpha: float
    data: Dataset
    objective: float
    accuracy: float


def reference(name: str, alpha: float, data: Dataset) -> Reference:
    train, test = data.train, data.test
    assert test is not None
    C = 1.0 / (alpha * len(train))
    svc = LinearSVC(loss="hinge", C=C, fit_intercept=False, tol=1e-6, max_iter=200_000)
    w = svc.fit(train.to_scipy(), train.labels).coef_.ravel()
    objective = evaluate.objective(w, train, loss="hinge", alpha=alpha)
    return Reference(name, alpha, data, objective, evaluate.accuracy(w, test))


@pytest.fixture(scope="module", params=["digits", "breast-cancer"])
def small(request: pytest.FixtureRequest) -> list[Reference]:
    return [
        reference(request.param, 1e-3, load(request.param, test=0.25, unit_norm=True, seed=seed))
        for seed in SEEDS
    ]


@pytest.fixture(scope="module", params=["a9a", "reuters", "news20"])
def large(request: pytest.FixtureRequest) -> list[Reference]:
    name = request.param
    if not (DATA / f"{name}.bz2").exists():
        pytest.skip(f"{name}.bz2 is not in {DATA.name}/: set WPSGD_TEST_DATA to a folder that holds it")
    if name == "news20":
        keys = {"test": 0.2, "positive": [float(label) for label in range(1, 11)]}
        splits = [load(DATA / "news20.bz2", **keys, unit_norm=True, seed=seed) for seed in SEEDS]
        return [reference(name, 1e-4, data) for data in splits]
    data = load(DATA / f"{name}.bz2", test=DATA / f"{name}.t.bz2", unit_norm=True)
    return [reference(name, 1e-4, data)] * len(SEEDS)


def excess(ref: Reference, strategy: str, speeds: tuple[float, ...], seed: int) -> tuple[float, float]:
    """Objective relative to LinearSVC's, minus 1, and accuracy minus LinearSVC's."""
    train, test = ref.data.train, ref.data.test
    assert test is not None
    sharding = "shuffled" if len(set(speeds)) == 1 else "proportional"
    shards = shard(sharding, len(train), len(speeds), speeds, seed)
    sizes = tuple(len(numbers) for numbers in shards)
    step = StepSize("optimal", ref.alpha)
    one_pass = max(sizes)
    ending, rule = (Race(one_pass), wp) if strategy == "wp" else (ByRows(one_pass), uniform)
    program = Averaging(ROUNDS, ending, rule, step, sizes, Looks(0, ROUNDS))
    objective = Objective("hinge", step)
    job = Job(
        program, lambda r: make_learner(train.take(shards[r]), objective, seed=seed, rank=r, block=BLOCK)
    )
    cluster = Cluster(tuple(RowCost(1.0 / speed) for speed in speeds))
    w = Simulated(cluster, chunk=50).run(job).model
    value = evaluate.objective(w, train, loss="hinge", alpha=ref.alpha)
    return value / ref.objective - 1.0, evaluate.accuracy(w, test) - ref.accuracy


def median_excess(
    refs: list[Reference], strategy: str, speeds: tuple[float, ...], capsys: pytest.CaptureFixture[str]
) -> tuple[float, float]:
    """Medians over seeds, printed; test rows that are drawn are drawn anew for each."""
    seen = np.array([excess(refs[seed], strategy, speeds, seed) for seed in SEEDS])
    objective, accuracy = np.median(seen, axis=0)
    nodes = "equal ranks" if len(set(speeds)) == 1 else "shards by speed"
    peer = np.median([ref.accuracy for ref in refs])
    with capsys.disabled():
        print(
            f"\n  {refs[0].name}, {strategy}, {nodes}: objective {100 * objective:+.2f} %,"
            f" accuracy {100 * accuracy:+.2f} points against LinearSVC's {100 * peer:.2f} %",
            end=" ",
        )
    return float(objective), float(accuracy)


@pytest.mark.parametrize("strategy", ["wp", "simuparallel"])
def test_small_data_are_classed_within_one_point_of_linear_svc(
    small: list[Reference], strategy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, accuracy = median_excess(small, strategy, (1.0,) * 4, capsys)
    assert abs(accuracy) <= 0.01


@pytest.mark.parametrize("strategy", ["wp", "simuparallel"])
def test_equal_ranks_come_within_6_percent_of_linear_svcs_objective(
    large: list[Reference], strategy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    objective, accuracy = median_excess(large, strategy, (1.0,) * 4, capsys)
    assert objective <= 0.06
    assert abs(accuracy) <= 0.005


@pytest.mark.parametrize("strategy", ["wp", "simuparallel"])
def test_shards_by_speed_come_within_half_a_point_of_linear_svcs_accuracy(
    large: list[Reference], strategy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, accuracy = median_excess(large, strategy, UNEQUAL, capsys)
    assert abs(accuracy) <= 0.005


def test_data_sorted_by_label_converge_like_shuffled_data(tmp_path: Path) -> None:
    rows = problem(rows=6000, features=400, nonzeros_per_row=15, noise=0.05, seed=4).rows
    orders = {"sorted": np.argsort(rows.labels, kind="stable"), "shuffled": np.arange(len(rows))}
    ends = {}
    for name, order in orders.items():
        write_svmlight(tmp_path / f"{name}.svm", rows.take(order))
        ends[name] = trained(tmp_path / f"{name}.svm", tmp_path / name)
    assert ends["sorted"] == pytest.approx(ends["shuffled"], rel=0.02)


def trained(source: Path, out: Path) -> float:
    """The end objective of sequential SGD, run as its users do, on contiguous rows."""
    overrides = ["data.sharding=contiguous", "data.test=false", "machine.ranks=1", "machine.speeds=[]"]
    settings = load_settings("small", overrides=overrides, strategies=["sequential"], source=str(source))
    study = Study(settings, Local(1), RunFolder(out), Silent(), Stop())
    study.folder.open(force=False)
    study.run(study.load())
    return float(study.scores["sequential"]["objective"])
