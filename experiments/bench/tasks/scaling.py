"""Time to 0.1 % of the optimum on two ranks against one, each with the strategy that is best for it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from experiments.bench.bench import Bench
from experiments.bench.data import Data, twin, twins
from experiments.bench.goals import SCALING
from experiments.bench.objective import hinge_objective
from experiments.bench.peers import missing
from experiments.bench.ranks import launcher, start
from experiments.bench.results import Measurement
from experiments.bench.tasks.targets import optimum

TASK = "scaling"
ALPHAS = (1e-4, 1e-6)
JUDGED = ("kdd2010-twin/8", 1e-4)
DISTANCE = 1e-3
CASES = {"one": "one rank, dual solver", "two": "two ranks, cocoa"}


def run(bench: Bench) -> None:
    """The twins, in single precision."""
    if reason := missing("mpi4py.MPI") or launcher()[1]:
        bench.skip(TASK, "two ranks", reason)
        return
    for name in twins(bench):
        data = twin(bench, name)
        bench.say(f"{TASK}: {name}")
        with tempfile.TemporaryDirectory(prefix="wpsgd-bench-") as temporary:
            try:
                _compared(bench, data, Path(temporary) / "answer.json")
            except RuntimeError as error:
                bench.skip(TASK, name, str(error))


def _compared(bench: Bench, data: Data, answer: Path) -> None:
    alphas = ALPHAS if bench.scale == "full" else ALPHAS[:1]
    settings = ["--distance", str(DISTANCE), "--repeats", str(bench.repeats), "--alphas", *map(str, alphas)]
    start("experiments.bench.one_or_two", [str(data.folder), str(answer), *settings])
    seconds = json.loads(answer.read_text())
    for alpha in alphas:
        bound, off = optimum(bench, data, alpha), 0.0
        for case, shown in CASES.items():
            weights = np.load(answer.with_name(f"{case}-{alpha:g}.npy"))
            reached = hinge_objective(data.matrix, data.rows.labels, alpha, weights) / bound - 1.0
            runs = seconds[f"{case}, alpha {alpha:g}"]
            bench.measurements.append(
                Measurement(
                    task=TASK,
                    data=data.name,
                    case=f"alpha {alpha:g}, 0.1 %",
                    competitor=shown,
                    wall=median(runs),
                    runs=tuple(runs),
                    reached=reached,
                )
            )
            off = max(off, reached)
        name = f"one rank / two ranks, {data.name}, alpha {alpha:g}, 0.1 %"
        if off > 1.01 * DISTANCE:
            bench.skip(TASK, name, f"still {off:.2%} off the optimum where the rounds ended")
            continue
        ratio = median(seconds[f"one, alpha {alpha:g}"]) / median(seconds[f"two, alpha {alpha:g}"])
        bench.figure(TASK, name, ratio, goal=SCALING if (data.name, alpha) == JUDGED else None)
