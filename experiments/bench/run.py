"""From the command line to bench.json and bench.txt."""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from experiments.bench.bench import Bench
from experiments.bench.machine import ROOT, commit, load, machine, versions
from experiments.bench.report import last_line, text_of
from experiments.bench.results import Results
from wpsgd.data import catalog

TASKS = (
    "epochs",
    "targets",
    "estimator",
    "narrow",
    "dot_share",
    "loading",
    "ranks",
    "scaling",
    "vowpal",
    "memory",
)
RESULTS, PARTS = ROOT / "experiments" / "results", ROOT / "runs" / "bench"


def main(arguments: list[str] | None = None) -> None:
    """Runs the tasks that are asked for, writes both files, and ends with what falls short."""
    asked = _parser().parse_args(arguments)
    cache = asked.cache or catalog.cache_folder() / "bench"
    cache.mkdir(parents=True, exist_ok=True)
    # a part does not replace the whole
    out = asked.out or (RESULTS if asked.tasks == TASKS and asked.scale == "full" else PARTS)
    out.mkdir(parents=True, exist_ok=True)
    bench = Bench(asked.scale, asked.repeats, asked.full_width, cache, say=_say)
    before, started = machine(), time.perf_counter()
    for task in asked.tasks:
        importlib.import_module(f"experiments.bench.tasks.{task}").run(bench)
    results = Results(
        command=shlex.join(["python", "-m", "experiments.bench", *(arguments or sys.argv[1:])]),
        scale=asked.scale,
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        seconds=time.perf_counter() - started,
        machine={**before, "load at the end": load()},
        environment={name: os.environ.get(name, "") for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")},
        versions=versions(),
        commit=commit(),
        measurements=tuple(bench.measurements),
        figures=tuple(bench.figures),
        skipped=tuple(bench.skipped),
    )
    (out / "bench.json").write_text(results.model_dump_json(indent=1) + "\n", encoding="utf-8")
    (out / "bench.txt").write_text(text_of(results), encoding="utf-8")
    print(text_of(results) if not asked.quiet else last_line(results), end="" if not asked.quiet else "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m experiments.bench", description=main.__doc__)
    parser.add_argument("--tasks", type=_tasks, default=TASKS, help=f"of {','.join(TASKS)}")
    parser.add_argument("--scale", choices=("small", "full"), default="full", help="small: tries the bench")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each competitor in a case")
    parser.add_argument(
        "--full-width",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="all 20 million columns of KDD too: 4 GB on disk, as much memory, some minutes",
    )
    parser.add_argument("--out", type=Path, help="folder of bench.json and bench.txt")
    parser.add_argument("--cache", type=Path, help="folder of the data; else in the user's cache")
    parser.add_argument("--quiet", action="store_true", help="prints the last line alone")
    return parser


def _tasks(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in TASKS:
            raise argparse.ArgumentTypeError(f"no task is called {name!r}; there are {', '.join(TASKS)}")
    return names


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
