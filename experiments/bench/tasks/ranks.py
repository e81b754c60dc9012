"""Two MPI ranks against two processes that know nothing of each other; and what the ranks' time goes to."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from experiments.bench.bench import Bench
from experiments.bench.data import twin, twins
from experiments.bench.goals import OUTSIDE, TWO_RANKS
from experiments.bench.peers import missing
from experiments.bench.ranks import launcher, start
from experiments.bench.results import Measurement

TASK = "ranks"
PERIOD = {"full": 1_000_000, "small": 20_000}


def run(bench: Bench) -> None:
    """Both twins, both precisions, in one start of two ranks each."""
    if reason := missing("mpi4py.MPI") or launcher()[1]:
        bench.skip(TASK, "two ranks", reason)
        return
    for name in twins(bench):
        for dtype in ("float64", "float32"):
            bench.say(f"{TASK}: {name}, {dtype}")
            try:
                found = _started(bench, name, dtype)
            except RuntimeError as error:
                bench.skip(TASK, f"{name}, {dtype}", str(error))
                continue
            _figures(bench, name, dtype, found)


def _started(bench: Bench, name: str, dtype: str) -> dict[str, Any]:
    folder = twin(bench, name).folder
    with tempfile.TemporaryDirectory(prefix="wpsgd-bench-") as temporary:
        answer = Path(temporary) / "answer.json"
        settings = ["--dtype", dtype, "--period", str(PERIOD[bench.scale]), "--repeats", str(bench.repeats)]
        start("experiments.bench.two_ranks", [str(folder), str(answer), *settings])
        found: dict[str, Any] = json.loads(answer.read_text())
        return found


def _figures(bench: Bench, name: str, dtype: str, found: dict[str, Any]) -> None:
    for case, speed in found["speeds"].items():
        bench.measurements.append(
            Measurement(
                task=TASK,
                data=name,
                case=dtype,
                competitor=case,
                value=speed,
                unit="rows/s",
                setting=found["setting"],
            )
        )
    alone = found["speeds"]["independent"]
    for case, speed in found["speeds"].items():
        if case == "independent":
            continue
        # the goal is about large data in rounds of a million rows, with the chunks a user gets
        judged = name.startswith("kdd") and case == "ranks"
        bench.figure(
            TASK,
            f"two {case} as a share of two processes, {name}, {dtype}",
            speed / alone,
            unit="share",
            goal=TWO_RANKS if judged else None,
        )
    for part, share in found["shares"].items():
        goal = OUTSIDE if part == "outside kernels and MPI" else None
        bench.figure(
            TASK, f"wall time {part}, chunks of 5000, {name}, {dtype}", share, unit="share", goal=goal
        )
