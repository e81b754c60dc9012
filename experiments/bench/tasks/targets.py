"""Time to come within 1 % and 0.1 % of a certified optimum, each competitor with its best setting."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any

from numpy.typing import NDArray

from experiments.bench.bench import Bench
from experiments.bench.data import TWINS, Data, real, twin
from experiments.bench.goals import TARGET, Goal
from experiments.bench.machine import versions
from experiments.bench.objective import hinge_bound, hinge_objective
from experiments.bench.peers import COMPETITORS, Knob, missing
from experiments.bench.timing import Times, pinned
from experiments.bench.tuning import FURTHER, Tried, best
from wpsgd.dual import solve_dual

TASK = "targets"
ALPHAS = (1e-4, 1e-5, 1e-6)
DISTANCES = {"1 %": 1e-2, "0.1 %": 1e-3}
CERTIFIED, EPOCHS = 1e-6, 20_000  # relative gap of the optimum, and when to give up on it
MANY = 500_000  # rows beyond which three runs must do
OURS = {"ours, float32": "float32", "ours, float64": "float64"}


def run(bench: Bench) -> None:
    """All data, all alphas, both distances."""
    present = {}
    for name, (module, knobs) in COMPETITORS.items():
        reason = missing(module)
        if reason:
            bench.skip(TASK, name, reason)
        else:
            present[name] = knobs
    with pinned():
        for data in _all_data(bench):
            for alpha in ALPHAS if bench.scale == "full" else ALPHAS[:1]:
                made = {name: make(data, alpha) for name, make in present.items()}
                try:
                    _one_alpha(bench, data, alpha, made)
                except ArithmeticError as error:
                    bench.skip(TASK, f"{data.name}, alpha {alpha:g}", str(error))


def _all_data(bench: Bench) -> Any:
    for name in TWINS:
        yield twin(bench, name)
    yield from real(bench, TASK)


def _one_alpha(bench: Bench, data: Data, alpha: float, knobs: dict[str, tuple[Knob, ...]]) -> None:
    bench.say(f"{TASK}: {data.name}, alpha {alpha:g}: the optimum, and the best settings")
    bound = optimum(bench, data, alpha)
    judge = partial(hinge_objective, data.matrix, data.rows.labels, alpha)
    tried = {name: [Tried(knob, judge) for knob in some] for name, some in knobs.items()}
    for shown, distance in DISTANCES.items():
        case = f"alpha {alpha:g}, to {shown}"
        cases: dict[str, Callable[[], Any]] = {}
        about: dict[str, dict[str, Any]] = {}
        for name, some in tried.items():
            tuned = _tuned(bench, data, alpha, some, (1.0 + distance) * bound, name)
            if tuned is None:
                bench.skip(TASK, f"{name}, {data.name}, {case}", "not reached with any setting tried")
                continue
            knob, setting = tuned
            cases[name] = partial(knob.fit, setting)
            about[name] = {"setting": f"{knob.name} {knob.shown(setting)}"}
        for name, dtype in OURS.items():
            cases[f"{name}, certified"] = partial(_certified, data, alpha, distance, dtype)
            about[f"{name}, certified"] = {"setting": f"tol {distance:g}"}
        repeats = bench.repeats if len(data.rows) < MANY else min(bench.repeats, 3)
        times = bench.time(
            TASK,
            data.name,
            case,
            cases,
            warm=False,
            about=about,
            repeats=repeats,
            judges=dict.fromkeys(cases, lambda weights: {"reached": judge(weights) / bound - 1.0}),
        )
        _check(times, judge, (1.0 + distance) * bound)
        _figures(bench, f"{data.name}, {case}", times, shown == "0.1 %")


def _check(times: dict[str, Times], judge: Callable[[Any], float], target: float) -> None:
    """Raises ArithmeticError where a timed run missed what its setting was chosen for."""
    for name, one in times.items():
        if judge(one.last) > target:
            raise ArithmeticError(f"{name} missed the target with a setting that had reached it")


def _certified(data: Data, alpha: float, distance: float, dtype: str) -> NDArray[Any]:
    """Ours as it comes: it stops when its own certificate shows the distance."""
    return solve_dual(data.rows if dtype == "float64" else data.narrow, "hinge", alpha, tol=distance).weights


def _figures(bench: Bench, case: str, times: dict[str, Times], judged: bool) -> None:
    """Goals are for the quickest of all settings; ours with its own certificate, one of them, is told too."""
    for peer, goal in TARGET.items():
        if peer not in times:
            continue
        for name in OURS:
            wanted: Goal | None = goal if judged else None
            certified = f"{name}, certified"
            quickest = min(
                (times[each] for each in (name, certified) if each in times), key=attrgetter("wall")
            )
            bench.faster(TASK, f"{peer} / {name}, {case}", (times[peer], quickest), wanted)
            bench.faster(TASK, f"{peer} / {certified}, {case}", (times[peer], times[certified]))


def optimum(bench: Bench, data: Data, alpha: float) -> float:
    """A bound from below, certified: no weights are better, and some are within 1e-6 of it, relatively.

    Kept from bench to bench: it belongs to the data. Raises ArithmeticError where the certificate fails.
    """
    file = bench.cache / "optima.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    key = f"{data.fingerprint}, alpha {alpha:g}"
    if key not in known:
        found = solve_dual(data.rows, "hinge", alpha, tol=CERTIFIED / 2, max_epochs=EPOCHS)
        bound = hinge_bound(data.matrix, data.rows.labels, alpha, found.dual)
        above = hinge_objective(data.matrix, data.rows.labels, alpha, found.weights)
        if not 0.0 <= above - bound <= CERTIFIED * above:
            raise ArithmeticError(f"{key}: objective {above!r} and bound {bound!r} certify no optimum")
        known[key] = bound
        file.write_text(json.dumps(known, indent=1))
    return float(known[key])


def _tuned(
    bench: Bench, data: Data, alpha: float, tried: list[Tried], target: float, name: str
) -> tuple[Knob, int] | None:
    """The knob and its setting. A peer's setting is kept from bench to bench, ours changes with the code."""
    file = bench.cache / "settings.json"
    known = json.loads(file.read_text()) if file.exists() else {}
    found = versions()
    version = f"scikit-learn {found['scikit-learn']}, snapml {found.get('snapml')}"
    how = f"soonest of {1 + FURTHER} and default"
    key = f"{data.fingerprint}, alpha {alpha:g}, {target!r}, {name}, {version}, {how}"
    if name not in OURS and key in known:
        answer = known[key]
    else:
        chosen = best(tried, target)
        answer = chosen and (chosen[0].knob.name, chosen[1])
        if name not in OURS:
            file.write_text(json.dumps({**known, key: answer}, indent=1))
    if answer is None:
        return None
    return next(one.knob for one in tried if one.knob.name == answer[0]), int(answer[1])
