"""Vowpal Wabbit on the real-sim twin: seconds of a pass, and time to 1 % and 0.1 % of the optimum."""

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
from experiments.bench.peers import Knob, missing, ours
from experiments.bench.tasks.epochs import trained
from experiments.bench.tasks.targets import DISTANCES, optimum
from experiments.bench.timing import pinned
from experiments.bench.tuning import Tried, best
from wpsgd.data.rows import Rows

TASK = "vowpal"
ALPHA, PASSES = 1e-4, 5
ONLINE, BATCH = (1, 2, 4, 8, 16), (8, 12, 16, 20, 24, 32, 48)
PEER, OURS = "Vowpal Wabbit", "ours, float32"


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
        learnt(text, data.rows.features, "", 2)  # writes the cache
        _passes(bench, data, text)
        _targets(bench, data, text)


def text_of(rows: Rows) -> str:
    """A label and index:value pairs a line; Vowpal Wabbit takes a number as a feature's place."""
    indices, values = rows.indices.tolist(), rows.values.tolist()
    lines = []
    for row, label in enumerate(rows.labels.tolist()):
        entries = range(rows.indptr[row], rows.indptr[row + 1])
        lines.append(f"{label:.0f} | " + " ".join(f"{indices[j]}:{values[j]:.9g}" for j in entries))
    return "\n".join(lines) + "\n"


def settings(rows: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Ways to train, each with the numbers of passes to try.

    Its online learner adds l2 to the loss of a row, its batch learner to the sum over all rows.
    """
    return {
        "online, passes": (f"--l2 {ALPHA!r}", ONLINE),
        "--bfgs, passes": (f"--bfgs --termination 0 --l2 {ALPHA * rows!r}", BATCH),
    }


def learnt(text: Path, features: int, asked: str, passes: int) -> Any:
    """A workspace that has gone over its cache so often; `weights_of` reads what it learnt."""
    bits = max(18, int(np.ceil(np.log2(features))))
    # with l2 alone the weights that one can read lack the factor by which they have shrunk
    common = f"-d {text} --cache_file {text}.cache --holdout_off --noconstant --quiet --predict_only_model"
    return importlib.import_module("vowpalwabbit").Workspace(
        f"{common} --loss_function hinge -b {bits} --passes {passes} {asked}"
    )


def weights_of(workspace: Any, features: int) -> NDArray[np.float64]:
    """The weights of a workspace."""
    return np.array([workspace.get_weight(place) for place in range(features)])


def _passes(bench: Bench, data: Data, text: Path) -> None:
    """The seconds of PASSES + 1 passes less those of one, which hold what happens once."""
    learn = partial(learnt, text, data.rows.features, settings(len(data.rows))["online, passes"][0])
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


def _targets(bench: Bench, data: Data, text: Path) -> None:
    """Vowpal Wabbit and ours to the same distances, each with the quickest of the settings tried."""
    bound, features = optimum(bench, data, ALPHA), data.rows.features

    def judge(weights: NDArray[Any]) -> float:
        return hinge_objective(data.matrix, data.rows.labels, ALPHA, weights)

    theirs = [
        Tried(
            Knob(name, partial(learnt, text, features, asked), ladder),
            lambda workspace: judge(weights_of(workspace, features)),
        )
        for name, (asked, ladder) in settings(len(data.rows)).items()
    ]
    mine = [Tried(knob, judge) for knob in ours(data, ALPHA, "float32")]
    for shown, distance in DISTANCES.items():
        found = {name: best(some, (1.0 + distance) * bound) for name, some in ((PEER, theirs), (OURS, mine))}
        case = f"alpha {ALPHA:g}, to {shown}"
        if found[PEER] is None or found[OURS] is None:
            nearest = min((one.nearest for one in theirs), default=np.inf) / bound - 1.0
            bench.skip(TASK, f"{data.name}, {case}", f"not reached: {PEER} is {100 * nearest:.2g} % off")
            continue
        chosen = {name: pair for name, pair in found.items() if pair is not None}
        cases = {name: partial(one.knob.fit, setting) for name, (one, setting) in chosen.items()}
        about = {
            name: {"setting": f"{one.knob.name} {one.knob.shown(setting)}"}
            for name, (one, setting) in chosen.items()
        }
        judges = {
            name: lambda last, one=one: {"reached": one.judge(last) / bound - 1.0}
            for name, (one, _) in chosen.items()
        }
        times = bench.time(TASK, data.name, case, cases, about=about, judges=judges)
        bench.faster(TASK, f"{PEER} / {OURS}, {data.name}, {case}", (times[PEER], times[OURS]))
