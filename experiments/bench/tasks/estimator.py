"""WPSGDClassifier against SGDClassifier and LinearSVC: fit time to equal test accuracy, and as each comes."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split
from sklearn.svm import LinearSVC

from experiments.bench.bench import Bench
from experiments.bench.data import Data, real, twin
from experiments.bench.goals import ESTIMATOR
from experiments.bench.machine import ROOT
from experiments.bench.peers import DOUBLING, ENDLESS, TOLERANCES, Knob, step_of, tolerance
from experiments.bench.timing import Times
from experiments.bench.tuning import Tried, best
from wpsgd import WPSGDClassifier
from wpsgd.data.svmlight import read_classes

TASK, ALPHA, TEST = "estimator", 1e-4, 0.2
POINTS = 0.002  # of accuracy below LinearSVC's, converged, that count as equal
OURS = "WPSGDClassifier"


@dataclass(frozen=True)
class Split:
    """Rows to train on and rows to be judged by."""

    train: Any
    test: Any
    labels: NDArray[Any]
    tests: NDArray[Any]

    @classmethod
    def of(cls, matrix: Any, labels: NDArray[Any]) -> Split:
        parts = train_test_split(matrix, labels, test_size=TEST, random_state=0, stratify=labels)
        return cls(*parts)

    def error(self, model: Any) -> float:
        return 1.0 - float(model.score(self.test, self.tests))

    def fitted(self, model: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(self.train, self.labels)


def run(bench: Bench) -> None:
    """Two classes to equal accuracy; two and more classes as each competitor comes."""
    for data in [twin(bench, "real-sim-twin"), *real(bench, TASK)]:
        split = Split.of(data.matrix, data.rows.labels)
        _equal_accuracy(bench, data, split)
        _as_it_comes(bench, data.name, split)
    if bench.scale == "full":
        _many_classes(bench)


def defaults(split: Split) -> dict[str, Any]:
    """Each competitor with its defaults at the same strength."""
    strength = 1.0 / (ALPHA * len(split.labels))
    return {
        OURS: WPSGDClassifier(alpha=ALPHA, random_state=0),
        "LinearSVC": LinearSVC(loss="hinge", C=strength, random_state=0),
        "SGDClassifier": SGDClassifier(alpha=ALPHA, random_state=0),
    }


def knobs(split: Split) -> dict[str, Knob]:
    """What says how long each competitor trains."""
    models = defaults(split)

    def until(name: str, step: int) -> Any:
        passes = {} if name == OURS else {"max_iter": ENDLESS}
        return split.fitted(models[name].set_params(tol=tolerance(step), **passes))

    def passes(count: int) -> Any:
        return split.fitted(models["SGDClassifier"].set_params(tol=None, max_iter=count))

    def shown(step: int) -> str:
        return f"{tolerance(step):.2g}"

    names = (OURS, "LinearSVC")
    by_tol = {
        name: Knob("tol", partial(until, name), TOLERANCES, shown=shown, default=step_of(models[name].tol))
        for name in names
    }
    return {**by_tol, "SGDClassifier": Knob("max_iter", passes, DOUBLING)}


def _equal_accuracy(bench: Bench, data: Data, split: Split) -> None:
    converged = split.fitted(defaults(split)["LinearSVC"].set_params(tol=1e-6))
    target = split.error(converged) + POINTS
    case = f"alpha {ALPHA:g}, to {100 * (1 - target):.1f} % right"
    cases: dict[str, Callable[[], Any]] = {}
    about = {}
    for name, knob in knobs(split).items():
        found = best([Tried(knob, split.error)], target)
        if found is None:
            bench.skip(TASK, f"{name}, {data.name}, {case}", "not reached with any setting tried")
            continue
        cases[name] = partial(knob.fit, found[1])
        about[name] = {"setting": f"{knob.name} {knob.shown(found[1])}"}
    _timed(bench, data.name, case, cases, split, about)


def _as_it_comes(bench: Bench, name: str, split: Split) -> None:
    cases: dict[str, Callable[[], Any]] = {
        peer: partial(split.fitted, model) for peer, model in defaults(split).items()
    }
    _timed(bench, name, f"alpha {ALPHA:g}, defaults", cases, split, {})


def _many_classes(bench: Bench) -> None:
    file = Path(os.environ.get("WPSGD_TEST_DATA", ROOT.parent / "shared" / "data")) / "news20.bz2"
    if not file.exists():
        bench.skip(TASK, "news20, 20 classes", "news20.bz2 is not in WPSGD_TEST_DATA or ../shared/data")
        return
    rows, labels = read_classes(file, zero_based=False)
    matrix = Data("news20", rows.unit_norm()).matrix
    _as_it_comes(bench, "news20, 20 classes", Split.of(matrix, labels))


def _timed(
    bench: Bench,
    data: str,
    case: str,
    cases: dict[str, Callable[[], Any]],
    split: Split,
    about: dict[str, dict[str, Any]],
) -> None:
    def judged(model: Any) -> dict[str, Any]:
        return {"value": 100.0 * (1.0 - split.error(model)), "unit": "%"}

    times: dict[str, Times] = bench.time(
        TASK, data, case, cases, about=about, judges=dict.fromkeys(cases, judged)
    )
    for peer in times.keys() - {OURS}:
        if OURS in times:
            goal = ESTIMATOR if peer == "LinearSVC" else None
            bench.faster(TASK, f"{peer} / {OURS}, {data}, {case}", (times[peer], times[OURS]), goal)
