"""How near an epoch of SGD comes to a pass that only computes dot products, over the same row order."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from experiments.bench.bench import Bench
from experiments.bench.data import TWINS, twin
from experiments.bench.dot_kernel import dot_pass
from experiments.bench.goals import DOT_SHARE
from experiments.bench.tasks.epochs import ALPHA
from experiments.bench.timing import pinned
from wpsgd.data.generate import generate
from wpsgd.data.rows import Rows
from wpsgd.data.store import open_store
from wpsgd.data.synthetic import Stream, kdd2010_shape
from wpsgd.kernels.sparse import AHEAD, CACHE
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.node import make_learner
from wpsgd.learners.row_order import RowOrder
from wpsgd.learners.sgd import BLOCK, Objective, kernel_arrays

TASK = "dot_share"
FULL = "kdd2010-twin, full width"


def run(bench: Bench) -> None:
    """The twins for information, the full width for the goal."""
    with pinned():
        for name, make in _all_rows(bench):
            for dtype in ("float64", "float32"):
                _share(bench, name, make().astype(dtype), dtype)
                gc.collect()


def _all_rows(bench: Bench) -> Iterator[tuple[str, Callable[[], Rows]]]:
    for name in TWINS:
        data = twin(bench, name)
        yield name, lambda rows=data.rows: rows  # type: ignore[misc]
    if not bench.full_width:
        bench.skip(TASK, FULL, "--no-full-width: it needs 4 GB on disk, as much memory and minutes")
        return
    shape = kdd2010_shape(1.0 if bench.scale == "full" else 0.001)
    folder = bench.cache / f"kdd2010-full-{bench.scale}"
    if not folder.exists():
        bench.say(f"making {FULL}")
        generate(Stream(shape, 0, np.float32), folder, "kdd2010-twin")
    yield FULL, lambda: open_store(folder).rows()


def _share(bench: Bench, name: str, rows: Rows, dtype: str) -> None:
    # from the second epoch on: in the first, every row pulls
    learner = make_learner(rows, Objective("hinge", StepSize("optimal", ALPHA)), seed=0, rank=0, block=BLOCK)
    learner.advance(len(rows))
    w = learner.contribution().copy()
    indptr, indices, values, _, _ = kernel_arrays(rows)
    early = AHEAD if w.nbytes > CACHE else 0

    def dots(ahead: int) -> None:
        for order in RowOrder(len(rows), 0, 0, block=BLOCK).take(len(rows)):
            dot_pass(w, indptr, indices, values, order, ahead)

    cases: dict[str, Callable[[], object]] = {"SGD": partial(learner.advance, len(rows))}
    cases |= {f"dot products, {ahead} rows ahead": partial(dots, ahead) for ahead in sorted({0, early})}
    times = bench.time(TASK, name, dtype, cases)
    fastest = min((times[case] for case in cases if case != "SGD"), key=lambda one: one.wall)
    share = fastest.wall / times["SGD"].wall
    goal = DOT_SHARE if name == FULL else None
    cpu = fastest.cpu / max(times["SGD"].cpu, 1e-9)
    bench.figure(
        TASK, f"SGD as a share of dot products, {name}, {dtype}", share, cpu=cpu, unit="share", goal=goal
    )
    bench.figure(
        TASK, f"SGD speed, {name}, {dtype}", rows.nonzeros / times["SGD"].wall / 1e6, unit="M non-zeros/s"
    )
