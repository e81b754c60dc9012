"""From the parameters of the estimator to a solver, a runtime and settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from wpsgd.config.reading import settings_of
from wpsgd.config.settings import Settings
from wpsgd.dual_solver import DUAL_LOSSES
from wpsgd.errors import ConfigError
from wpsgd.estimator.joining import Whole, several
from wpsgd.estimator.newton import SMOOTH_LOSSES
from wpsgd.processors import free_processors
from wpsgd.runtimes.job import Runtime
from wpsgd.runtimes.local import Local

Solver = Literal["sgd", "dual", "newton"]
DEALING = ("sharding", "skew")  # keys of `strategy` that are [data]'s in an experiment file
ONE_NODE = ("sequential", "delay")  # strategies in which one node trains
ROWS_A_WORKER = 10_000  # below, a second worker saves less time than starting and meeting take
ENTRIES_TO_GATHER = 50_000_000  # of all ranks, that the first one takes in to solve for all: 2 GiB at most
# one thread certifies a gap of 1e-3 in the time of some tens of passes; SGD needs about ten, by all workers
MANY_WORKERS, MANY_ENTRIES = 16, 100_000_000


def solver_for(estimator: Any, whole: Whole, workers: int, *, given: bool = False) -> Solver:
    """The solver that is asked for, or with "auto" the faster of those that apply. Raises ConfigError.

    given: whether it is to begin with weights of which no dual variables are known
    """
    if estimator.solver == "sgd":
        return "sgd"
    wish: Solver = estimator.solver
    if estimator.solver == "auto":
        wish = "dual" if estimator.loss in DUAL_LOSSES else "newton"
    obstacle = _obstacle(estimator, wish, whole)
    if estimator.solver != "auto":
        if obstacle:
            raise ConfigError(f'solver="{wish}": {obstacle}')
        return wish
    many = workers >= MANY_WORKERS and whole.nonzeros >= MANY_ENTRIES
    many |= several(estimator.runtime) and not fits_one_rank(whole)
    return "sgd" if obstacle or many or (given and wish == "dual") else wish


def _obstacle(estimator: Any, solver: Solver, whole: Whole) -> str:
    """Why a certified solver cannot do what is asked for, else an empty string."""
    if solver == "dual" and estimator.loss not in DUAL_LOSSES:
        return f'loss="{estimator.loss}": has no dual here: only {" and ".join(DUAL_LOSSES)} have'
    if solver == "newton" and estimator.loss not in SMOOTH_LOSSES:
        return f'loss="{estimator.loss}": has no slope everywhere: only {", ".join(SMOOTH_LOSSES)} have'
    if solver == "newton" and several(estimator.runtime) and not fits_one_rank(whole):
        return f"{whole.nonzeros} entries of all ranks: one rank takes in up to {ENTRIES_TO_GATHER}"
    asked = {
        f"strategy={estimator.strategy!r}": estimator.strategy is not None,
        f"rule={estimator.rule!r}": estimator.rule is not None,
        f'learning_rate="{estimator.learning_rate}"': estimator.learning_rate != "optimal",
        "early_stopping=True": estimator.early_stopping,
        f"average={estimator.average!r}": estimator.average,
    }
    if found := next((name for name, wish in asked.items() if wish), ""):
        return f"{found}: is a matter of SGD"
    if estimator.runtime is not None and estimator.runtime.name not in ("local", "mpi"):
        return f'runtime "{estimator.runtime.name}": its nodes run strategies'
    return ""


def fits_one_rank(whole: Whole) -> bool:
    """Whether the first of several ranks solves for all; else each ascends its part of the dual (cocoa)."""
    return whole.nonzeros <= ENTRIES_TO_GATHER


def worker_count(estimator: Any, rows: int) -> int:
    """How many threads train: what is asked for, else one for each free processor that rows suffice for."""
    if estimator.runtime is not None:
        return int(estimator.runtime.ranks)
    if estimator.n_workers is not None:
        return int(estimator.n_workers)
    enough = max(1, rows // ROWS_A_WORKER)
    return 1 if enough == 1 else min(free_processors(), enough)  # to count them takes as long as small fits


def runtime_for(estimator: Any, strategy: Mapping[str, Any], workers: int) -> Runtime:
    """The runtime that is passed in, else threads."""
    if estimator.runtime is not None:
        given: Runtime = estimator.runtime
        if several(given) and strategy["name"] in ONE_NODE:
            raise ConfigError(
                f"strategy={strategy['name']!r}: trains on the first rank's rows alone, and here each rank"
                " passes rows of its own"
            )
        return given
    return Local(1 if strategy["name"] in ONE_NODE else workers)


def strategy_keys(estimator: Any, solver: Solver) -> dict[str, Any]:
    """The strategy as a [[strategy]] entry has it, without `rounds`; the dual of several ranks is cocoa's.

    Threads of one machine are equally fast and do equal numbers of rows, so that a fit repeats to the bit;
    elsewhere a round ends when the fastest is through, of cocoa mostly when all are through what can move.
    """
    wish = "cocoa" if solver == "dual" else estimator.strategy
    if isinstance(wish, Mapping):
        if "name" not in wish:
            raise ConfigError(f"strategy={dict(wish)!r}: needs a name")
        if "rounds" in wish:
            raise ConfigError(f"strategy={dict(wish)!r}: rounds follow from max_iter: leave them out")
        entry = {key: value for key, value in wish.items() if key not in DEALING}
    else:
        entry = {"name": wish or ("simuparallel" if estimator.runtime is None else "wp")}
    if estimator.period != "pass":
        entry.setdefault("period", int(estimator.period))
    if estimator.rule is not None:
        entry["rule"] = estimator.rule
    elif estimator.average:
        entry["rule"] = "tail"
    return entry


def dealing_keys(estimator: Any) -> dict[str, Any]:
    """How rows are dealt to threads, as [data] has it: `sharding` and `skew`, which stand in `strategy`.

    Raises ConfigError where each rank passes rows of its own.
    """
    wish = estimator.strategy
    found = {key: wish[key] for key in DEALING if key in wish} if isinstance(wish, Mapping) else {}
    if found and several(estimator.runtime):
        raise ConfigError(
            f"strategy: {', '.join(found)}: must be left out where each rank passes rows of its own"
        )
    return found


def settings_for(
    estimator: Any, *, seed: int, strategy: Mapping[str, Any], rounds: int = 1, looks: int = 0
) -> Settings:
    """Checked settings. Raises ConfigError, one line a problem."""
    tables = {
        "data": {"source": "X", **dealing_keys(estimator)},
        "model": {
            "loss": estimator.loss,
            "alpha": float(estimator.alpha),
            "learning_rate": "constant" if estimator.learning_rate == "adaptive" else estimator.learning_rate,
            "eta0": float(estimator.eta0),
            "power_t": float(estimator.power_t),
            "shuffle": bool(estimator.shuffle),
            "seed": seed,
        },
        "report": {"looks": looks},
        "strategy": [{"rounds": rounds, **strategy}],
    }
    return settings_of(tables, "WPSGDClassifier")
