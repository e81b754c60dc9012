"""What tests of strategies and runtimes share: a small problem, jobs made of it, and ranks under mpiexec."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wpsgd.errors
from wpsgd.checkpoint import CheckpointKeeper, latest
from wpsgd.data.rows import Rows
from wpsgd.data.synthetic import problem
from wpsgd.evaluate import Scorer
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.keeping import learner_for
from wpsgd.learners.node import make_learner
from wpsgd.learners.sgd import Objective, SGDLearner
from wpsgd.reducers import RULES, Rule, uniform, wp, wp_with
from wpsgd.requests import Program, State
from wpsgd.runtimes.costs import Cluster, Link, RowCost
from wpsgd.runtimes.job import Job, Outcome
from wpsgd.runtimes.simulated import Simulated
from wpsgd.sample import Sample, draw
from wpsgd.strategies.averaging import Averaging
from wpsgd.strategies.minibatch import MiniBatch
from wpsgd.strategies.outer import STAY, Outer
from wpsgd.strategies.patterns import ByRows, Ending, Given, Looks, Race, TimeBox
from wpsgd.strategies.sequential import Sequential
from wpsgd.trace import Event

TESTS = Path(__file__).resolve().parent
CONSTANT = StepSize("constant", 1e-3, eta0=0.5)
OPTIMAL = StepSize("optimal", 1e-3)
ADAGRAD = StepSize("adagrad", 1e-3, eta0=0.5)
NO_LOOKS = Looks(0, 1)
ROUNDS, PERIOD = 4, 90
UNEQUAL = (90, 40, 1, 63, 17)  # rows of each rank in a round of given counts
KEPT_BY = "test settings"  # the fingerprint of checkpoints


@lru_cache
def rows(dtype: str = "float64") -> Rows:
    """600 rows of 80 columns."""
    return problem(600, 80, 8.0, noise=0.05, seed=3, dtype=np.dtype(dtype)).rows


def shards(ranks: int, empty: Sequence[int] = ()) -> list[np.ndarray[Any, Any]]:
    """The row numbers of each rank: shuffled, of unequal sizes, none on the ranks in `empty`."""
    order = np.random.default_rng(5).permutation(600)
    cuts = np.cumsum([0 if rank in empty else 3 + rank for rank in range(ranks)])
    ends = cuts * 600 // max(1, cuts[-1])
    return np.split(order, ends)[:ranks]


def sizes(ranks: int, empty: Sequence[int] = ()) -> tuple[int, ...]:
    return tuple(len(part) for part in shards(ranks, empty))


def learner_of(
    rank: int,
    ranks: int,
    step: StepSize = OPTIMAL,
    dtype: str = "float64",
    empty: Sequence[int] = (),
    kind: type[SGDLearner] = SGDLearner,
) -> SGDLearner:
    """The learner of one rank, which starts from weights that are not zero."""
    objective = Objective("hinge", step, w0=0.25)
    held = rows(dtype).take(shards(ranks, empty)[rank])
    return make_learner(held, objective, seed=7, rank=rank, kind=kind)


def scorer_of(rank: int, ranks: int, dtype: str = "float64") -> Scorer:
    part = slice(600 * rank // ranks, 600 * (rank + 1) // ranks)
    return Scorer(rows(dtype)[part], None, "hinge", 1e-3)


def sample_of(dtype: str = "float64") -> Sample:
    return Sample(draw(rows(dtype), seed=7, size=50), "hinge", 1e-3)


def job(
    program: Program,
    ranks: int,
    step: StepSize = OPTIMAL,
    dtype: str = "float64",
    empty: Sequence[int] = (),
    **settings: Any,
) -> Job:
    """A job on the small problem; `settings` are further fields of Job. asked: as of `learner_for`"""
    asked = settings.pop("asked", False)
    kind = learner_for(program.rule, asked) if isinstance(program, Averaging) else SGDLearner
    return Job(
        program,
        lambda rank: learner_of(rank, ranks, step, dtype, empty, kind),
        settings.pop("scorer", lambda rank: scorer_of(rank, ranks, dtype)),
        sample=sample_of(dtype),
        **settings,
    )


def simulated(ranks: int, *seconds: float, link: Link | None = None, chunk: int = 1000) -> Simulated:
    """Nodes that need so many seconds per row, 1e-6 each where nothing is said."""
    costs = tuple(RowCost(cost) for cost in seconds or (1e-6,) * ranks)
    return Simulated(Cluster(costs, link or Link()), chunk)


def averaging(
    ranks: int,
    ending: Ending,
    rule: str | Rule = "wp",
    step: StepSize = OPTIMAL,
    *,
    rounds: int = ROUNDS,
    looks: Looks = NO_LOOKS,
    empty: Sequence[int] = (),
    line_search: bool = False,
    outer: Outer = STAY,
) -> Averaging:
    rule = RULES[rule] if isinstance(rule, str) else rule
    return Averaging(rounds, ending, rule, step, sizes(ranks, empty), looks, line_search, outer)


def given(ranks: int, rounds: int = ROUNDS) -> Given:
    """Counts that differ between ranks and between rounds."""
    return Given(tuple(tuple(np.roll(UNEQUAL[:ranks], round).tolist()) for round in range(rounds)))


def endings(ranks: int) -> dict[str, Ending]:
    """Every way in which a round may end."""
    return {
        "rows": ByRows(PERIOD),
        "race": Race(PERIOD),
        "time box": TimeBox(0.002),
        "given": given(ranks),
    }


def strategies(
    ranks: int, step: StepSize = OPTIMAL, looks: int = 0, empty: Sequence[int] = ()
) -> dict[str, Program]:
    """Every strategy with every ending whose row counts do not depend on a clock."""
    seen = Looks(looks, ROUNDS)
    common = (step, sizes(ranks, empty), seen)
    programs: dict[str, Program] = {
        "simuparallel": Averaging(ROUNDS, ByRows(PERIOD), uniform, *common),
        "minibatch": MiniBatch(ROUNDS, 10, tuple(1 + rank for rank in range(ranks)), seen),
        "sequential": Sequential(ROUNDS, PERIOD, seen),
    }
    for name, rule in RULES.items():
        if "contraction" not in rule.needs or step.schedule != "adagrad":
            programs[f"{name}, given"] = Averaging(ROUNDS, given(ranks), rule, *common)
    refined = (True, Outer(0.5, 0.9))
    programs["steps, refined"] = Averaging(ROUNDS, given(ranks), RULES["steps"], *common, *refined)
    if step.schedule != "adagrad":
        programs["wp, rows"] = Averaging(ROUNDS, ByRows(PERIOD), wp, *common)
        asking = Averaging(ROUNDS, given(ranks), RULES["asum"], *common, wire="sparse", counterfactual=True)
        programs["asum, sparse"] = asking
        programs["wp, validated"] = Averaging(ROUNDS, given(ranks), wp_with("validated"), *common)
    else:
        del programs["minibatch"]  # its gradient steps know no accumulators
    return programs


class Leaving:
    """A stop signal that comes at the `after`-th boundary."""

    def __init__(self, after: float = inf) -> None:
        self.after, self.asked = after, 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.asked >= self.after


def keeper(folder: Path, stop_after: float = inf, every: float = inf) -> CheckpointKeeper:
    return CheckpointKeeper(folder, KEPT_BY, Leaving(stop_after), every)


def resumed(folder: Path) -> Callable[[int], State]:
    """The states of the newest checkpoint, for a job."""
    found = latest(folder, KEPT_BY)
    assert found is not None
    return found.state


def of_kind(outcome: Outcome, kind: str) -> list[Event]:
    return [event for event in outcome.events if event["kind"] == kind]


def counts(outcome: Outcome) -> list[list[int]]:
    """The row counts of each round."""
    return [event["counts"] for event in of_kind(outcome, "round")]


def mpiexec() -> str:
    """The mpiexec of this environment; skips the test where there is none, or no mpi4py."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed")
    found = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or shutil.which("mpiexec")
    if found is None:
        pytest.skip("no mpiexec beside this python or on the path")
    return found


def environment(**extra: str) -> dict[str, str]:
    """What ranks need: the modules of the tests, no threads of their own, and Open MPI's leave to start."""
    path = (str(TESTS), str(Path(wpsgd.errors.__file__).parents[1]), os.environ.get("PYTHONPATH", ""))
    permissions = {
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    }
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1", **permissions, **extra}


def start_ranks(
    script: str, ranks: int, *arguments: object, timeout: float = 280.0
) -> subprocess.CompletedProcess[str]:
    """Runs a script of tests/mpi on so many ranks and waits for its end, whatever its exit code."""
    command = [mpiexec(), "-n", str(ranks), sys.executable, str(TESTS / "mpi" / script), *map(str, arguments)]
    return subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=timeout, check=False
    )


def run_ranks(script: str, ranks: int, *arguments: object) -> None:
    """The same, for a script that has to end well."""
    ended = start_ranks(script, ranks, *arguments, timeout=280.0)  # ranks of one machine wait for one another
    assert ended.returncode == 0, (
        f"{script} on {ranks} ranks:\n{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
    )


def same_bits(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Both hold the same names, and arrays of the same type and the same bytes."""
    assert sorted(one) == sorted(other)
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        assert one[name].tobytes() == other[name].tobytes(), name
