"""Vowpal Wabbit on the real-sim twin: seconds of a pass, and whether it comes within 1 % of the optimum."""

from __future__ import annotations

import importlib
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.bench.bench import Bench
from experiments.bench.data import Data, twin
from experiments.bench.objective import hinge_objective
from experiments.bench.peers import missing
from experiments.bench.tasks.epochs import trained
from experiments.bench.tasks.targets import optimum
from experiments.bench.timing import once, pinned
from wpsgd.data.rows import Rows

TASK = "vowpal"
ALPHA, PASSES, ATTEMPTS = 1e-4, 5, (1, 2, 4, 8, 16)


def run(bench: Bench) -> None:
    """Passes over its own binary cache, which is written before the clock starts."""
    reason = missing("vowpalwabbit")
    if reason:
        bench.skip(TASK, "Vowpal Wabbit", reason)
        return
    data = twin(bench, "real-sim-twin")
    with tempfile.TemporaryDirectory(prefix="wpsgd-bench-") as folder, pinned():
        text = Path(folder) / "rows.vw"
        text.write_text(text_of(data.rows), encoding="ascii")
        learn = partial(_learnt, text, data)
        learn(2)
        _passes(bench, data, learn)
        _target(bench, data, learn)


def text_of(rows: Rows) -> str:
    """A label and index:value pairs a line; Vowpal Wabbit takes a number as a feature's place."""
    indices, values = rows.indices.tolist(), rows.values.tolist()
    lines = []
    for row, label in enumerate(rows.labels.tolist()):
        entries = range(rows.indptr[row], rows.indptr[row + 1])
        lines.append(f"{label:.0f} | " + " ".join(f"{indices[j]}:{values[j]:.9g}" for j in entries))
    return "\n".join(lines) + "\n"


def _learnt(text: Path, data: Data, passes: int) -> NDArray[np.float64]:
    bits = max(18, int(np.ceil(np.log2(data.rows.features))))
    asked = f"-d {text} --cache_file {text}.cache --passes {passes} --holdout_off --noconstant --quiet"
    workspace: Any = importlib.import_module("vowpalwabbit").Workspace(
        f"{asked} --loss_function hinge --l2 {ALPHA} -b {bits}"
    )
    weights = np.array([workspace.get_weight(place) for place in range(data.rows.features)])
    workspace.finish()
    return weights


def _passes(bench: Bench, data: Data, learn: Any) -> None:
    """The seconds of PASSES + 1 passes less those of one, which hold what happens once."""
    cases = {
        "one pass": partial(learn, 1),
        "more passes": partial(learn, PASSES + 1),
        "ours": partial(trained, data.narrow, True, PASSES),
    }
    times = bench.time(TASK, data.name, "passes", cases, about={"ours": {"setting": f"{PASSES} passes"}})
    passes = times["more passes"].wall - times["one pass"].wall
    cpu = (times["more passes"].cpu - times["one pass"].cpu) / max(times["ours"].cpu, 1e-9)
    name = f"pass against Vowpal Wabbit, {data.name}, float32"
    bench.figure(TASK, name, passes / times["ours"].wall, cpu=cpu)


def _target(bench: Bench, data: Data, learn: Any) -> None:
    bound = optimum(bench, data, ALPHA)
    for passes in ATTEMPTS:
        wall, _, weights = once(partial(learn, passes))
        distance = hinge_objective(data.matrix, data.rows.labels, ALPHA, weights) / bound - 1.0
        if distance <= 0.01:
            bench.figure(TASK, f"Vowpal Wabbit to 1 % at alpha {ALPHA:g}, {passes} passes", wall, unit="s")
            return
    bench.skip(TASK, "to 1 %", f"{100 * distance:.1f} % off after {ATTEMPTS[-1]} passes with default rates")
