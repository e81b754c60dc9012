"""Where WP-SGD overtakes its fastest node: the squared condition (wpsgd/forecast.py) against the runs.

python -m experiments.overtaking       after the runs of experiments.paper, whose looks it reads
"""

from __future__ import annotations

from argparse import ArgumentParser
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from wpsgd import evaluate, forecast
from wpsgd.config import Settings, load, load_cluster
from wpsgd.data.load import Dataset
from wpsgd.data.load import load as load_data
from wpsgd.dual import solve_dual
from wpsgd.errors import DataError, WPSGDError
from wpsgd.trace import read

YARDSTICK = "sequential"
KAPPA = {"wp": 1.0, "wp-R3": 3.0, "R0.3": 0.3, "R": 1.0, "R2": 2.0, "R3": 3.0}  # powers of R


@dataclass(frozen=True, slots=True)
class Forecast:
    """Rows of the fastest node: foretold beforehand, foretold from the looks at it alone, and seen."""

    beforehand: float
    from_looks: float
    seen: float


def forecasts(run: Path, cluster: str, tol: float = 1e-4) -> dict[str, Forecast]:
    """Of each strategy of a run that weighs by a power of R, by label. tol: of the optimum, as a share.

    Raises DataError where the run has not the fastest node alone to compare with.
    """
    looks = looks_of(run)
    if YARDSTICK not in looks:
        there = ", ".join(looks) or "nothing"
        raise DataError(f"{run}: looks at {there}; needs some at {YARDSTICK}, the fastest node alone")
    settings = load(run / "config.toml")
    data, model = dataset(settings), settings.model
    best = solve_dual(data.train, alpha=model.alpha, tol=tol)
    w0, margins = np.full(data.train.features, model.w0), evaluate.margins_of(best.weights, data.train)
    known = forecast.from_models(w0, best.weights, margins, eta=model.eta0, alpha=model.alpha)
    seen = forecast.from_looks(looks[YARDSTICK], best.objective, known.contraction)
    speeds = [1.0 / node.seconds for node in load_cluster(f"cluster-{cluster}").nodes]
    return {
        label: Forecast(
            forecast.overtaking_row(speeds, known, kappa=known.contraction**power),
            forecast.overtaking_row(speeds, seen, kappa=known.contraction**power),
            crossing(looks[label], looks[YARDSTICK]),
        )
        for label, power in KAPPA.items()
        if label in looks
    }


def runs_of(folder: Path) -> list[Path]:
    """The runs of whole seeds, with the yardstick among their strategies. Raises DataError for none."""
    found = [run for run in folder.glob("*") if run.name.isdecimal()]
    if not found:
        raise DataError(f"{folder}: holds no run: must be one folder a seed, such as {folder / '0'}")
    return sorted(found, key=lambda run: int(run.name))


def looks_of(run: Path) -> dict[str, list[dict[str, Any]]]:
    """The looks at each strategy of a run by label."""
    found: dict[str, list[dict[str, Any]]] = {}
    for event in read(run / "trace.jsonl")[1]:
        if event["kind"] == "look":
            found.setdefault(event["strategy"], []).append(event)
    return found


def crossing(looks: list[dict[str, Any]], others: list[dict[str, Any]]) -> float:
    """The row after which F stays below the other's, in between looks where a straight line has it; inf."""
    theirs = {look["rows"]: look["objective"] for look in others}
    excess = [
        (look["rows"], look["objective"] - theirs[look["rows"]]) for look in looks if look["rows"] in theirs
    ]
    last = max((i for i, (_, above) in enumerate(excess) if above >= 0.0), default=-1)
    if last == len(excess) - 1:
        return inf
    if last < 0:
        return float(excess[0][0])
    (row, above), (after, below) = excess[last : last + 2]
    return float(row + (after - row) * above / (above - below))


def dataset(settings: Settings) -> Dataset:
    """The rows of a study as a run reads them."""
    data, model = settings.data, settings.model
    return load_data(
        data.source,
        test=data.test,
        unit_norm=data.unit_norm,
        scale=data.scale,
        seed=model.seed,
        dtype=model.dtype,
    )


def main() -> None:
    parser = ArgumentParser(prog="python -m experiments.overtaking", description=__doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/paper"))
    parser.add_argument("--study", default="figures-8-9-real-sim")
    parser.add_argument("--cluster", default="table-1-2017-10g")
    parser.add_argument("--tol", type=float, default=1e-4, help="of the optimum, as a share of it")
    options = parser.parse_args()
    runs = runs_of(options.runs / options.study / options.cluster)
    print(f"{options.study} on {options.cluster}: rows at which wp overtakes the fastest node alone")
    print("seed  strategy    beforehand  from its looks        seen   foretold / seen")
    for run in runs:
        for label, rows in forecasts(run, options.cluster, options.tol).items():
            shares = f"{rows.beforehand / rows.seen:.3f} {rows.from_looks / rows.seen:.3f}"
            places = f"{rows.beforehand:12,.0f} {rows.from_looks:15,.0f} {rows.seen:11,.0f}"
            print(f"{run.name:5} {label:9} {places}   {shares}")


if __name__ == "__main__":
    try:
        main()
    except WPSGDError as error:
        raise SystemExit(f"error: {error}") from None
