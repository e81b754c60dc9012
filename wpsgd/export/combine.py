"""Models that were trained apart, combined by the rules of a run (DESIGN.md, "The mathematics", 4).

Every node starts from the same w0 and trains on rows of its own; nobody waits, nobody talks. What a rule may
look at stands in the model files: the rows T_i that each node applied, and how many it holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.errors import ConfigError, DataError
from wpsgd.export.model import Model, listed
from wpsgd.export.parameters import decoded
from wpsgd.kernels.stepsize import StepSize
from wpsgd.reducers import RULES, RoundFacts, Rule

# what a rule may need that model files do not hold
ABSENT: Mapping[str, str] = {
    "moments": "the moments of the round before",
    "sample": "rows to judge models by",
    "average": "averages of each node's iterates",
    "squares": "the squared gradients of each node",
}
BY_COUNTS = ("wp", "steps", "fednova", "asum")  # rules that look at T_i


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A model, what it is called, and how it was trained.

    ages: steps that it is from w0, of each two-class problem in it; None where it was not trained by steps
    shard: rows that it was trained on, None where it does not say; part: (i, n) of the rows of a data set
    """

    name: str
    model: Model
    ages: tuple[int, ...] | None
    shard: int | None
    step: StepSize | None
    w0: float
    intercept: str
    part: tuple[int, int] | None

    @classmethod
    def of(cls, name: str, model: Model) -> Trained:
        """From the facts that `wpsgd run` and WPSGDClassifier.save store."""
        facts = model.facts
        if "parameters" in facts:
            return cls._of_estimator(name, model)
        step = StepSize(**facts["step"]) if facts.get("solver") == "sgd" else None
        age, part = facts.get("age"), facts.get("part")
        return cls(
            name,
            model,
            None if age is None else (int(age),),
            facts.get("shard"),
            step,
            float(facts.get("w0", 0.0)),
            str(facts.get("intercept", "")),
            None if part is None else (int(part[0]), int(part[1])),
        )

    @classmethod
    def _of_estimator(cls, name: str, model: Model) -> Trained:
        keys, steps = decoded(model.facts["parameters"]), model.arrays["steps"][:, 0].tolist()
        by_steps = model.facts.get("solver") == "sgd"
        step = None
        if by_steps:
            step = StepSize(keys["learning_rate"], model.alpha, keys["eta0"], keys["power_t"])
        intercept = f"times {keys['intercept_scaling']:g}" if keys["fit_intercept"] else "off"
        return cls(
            name, model, tuple(map(int, steps)) if by_steps else None, None, step, 0.0, intercept, None
        )


@dataclass(frozen=True, slots=True, eq=False)
class CombinedModel:
    """What came of it. omega: of each model and two-class problem, (models, problems); notes: to be told."""

    model: Model
    omega: NDArray[np.float64]
    notes: tuple[str, ...] = ()


def combine(nodes: Sequence[Trained], rule: Rule, name: str) -> CombinedModel:
    """v = start w0 + sum_i omega_i w_i by the rule of that name, each two-class problem by itself.

    Models of fewer columns are widened by what became of columns that their rows did not have.
    Raises ConfigError for a rule that needs more than model files hold, DataError for models that do not go
    together.
    """
    if missing := [what for need, what in ABSENT.items() if need in rule.needs]:
        possible = ", ".join(one for one, other in RULES.items() if not ABSENT.keys() & other.needs)
        raise ConfigError(
            f"rule {name}: needs {' and '.join(missing)}, which model files do not hold: one of {possible}"
        )
    notes = _checked(nodes, name)
    features = max(node.model.features for node in nodes)
    vectors = [_vectors(node, features) for node in nodes]
    combined, omegas = [], []
    for problem in range(len(vectors[0])):
        combination = rule(_facts(nodes, problem))
        start = combination.start * _start(nodes[0], features, vectors[0].dtype)
        parts = [vector[problem].copy() for vector in vectors]
        combined.append(_sum(parts, combination.omega, start if combination.start else None))
        omegas.append(combination.omega)
    model = _assembled(nodes, np.array(combined), name)
    return CombinedModel(model, np.array(omegas).T, tuple(notes))


def _facts(nodes: Sequence[Trained], problem: int) -> RoundFacts:
    counts = tuple(1 if node.ages is None else node.ages[problem] for node in nodes)
    step = next((node.step for node in nodes if node.step is not None), StepSize("pegasos", 1.0))
    return RoundFacts(counts, 0, step, tuple(node.shard or 1 for node in nodes))


def _sum(parts: list[NDArray[Any]], omega: NDArray[np.float64], start: NDArray[Any] | None) -> NDArray[Any]:
    """In the order of the models and of a run's own sums, so that its bits come out too."""
    for number, (part, weight) in enumerate(zip(parts, omega.tolist(), strict=True)):
        if weight == 0.0:
            part[:] = 0.0  # whatever it holds
        else:
            part *= weight
        if number == 0 and start is not None:
            part += start
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total


def _vectors(node: Trained, features: int) -> NDArray[Any]:
    """Weights with intercepts behind them, (problems, features + 1)."""
    model = node.model
    wide = np.empty((len(model.coef), features + 1), dtype=model.weights.dtype)
    wide[:, : model.features] = model.coef
    wide[:, model.features : features] = _untouched(node)[:, None]
    wide[:, features] = model.intercepts
    return wide


def _untouched(node: Trained) -> NDArray[np.float64]:
    """What w0 became where no row went: w0 times the contraction of all steps."""
    if node.w0 == 0.0 or node.step is None or node.ages is None:
        return np.zeros(len(node.model.coef))
    return np.array([node.w0 * np.exp(node.step.log_contraction(0, age)) for age in node.ages])


def _start(node: Trained, features: int, dtype: Any) -> NDArray[Any]:
    start = np.full(features + 1, node.w0, dtype=dtype)
    if node.intercept != "column":
        start[features] = 0.0
    return start


def _assembled(nodes: Sequence[Trained], vectors: NDArray[Any], name: str) -> Model:
    first, ages = nodes[0].model, [node.ages for node in nodes]
    oldest = None if None in ages else np.max(np.array(ages), axis=0)
    shards = [node.shard for node in nodes]
    origin = {
        "rule": name,
        "models": [node.name for node in nodes],
        "rows": [None if age is None else list(age) for age in ages],
        "shards": shards,
    }
    facts = {key: value for key, value in first.facts.items() if key not in ("part", "rounds", "strategy")}
    facts |= {"strategy": f"combine, {name}", "combined": origin}
    arrays = {key: array for key, array in first.arrays.items() if key in ("n_iter", "seed")}
    if "parameters" in facts:
        steps = np.zeros(len(vectors), np.int64) if oldest is None else oldest
        arrays["steps"] = np.column_stack([steps, np.zeros_like(steps)])
        names = [node.model.arrays.get("feature_names_in_", np.empty(0)) for node in nodes]
        if len(names[0]) and all(np.array_equal(one, names[0]) for one in names):
            arrays["feature_names_in_"] = names[0]
    else:
        known = None if None in shards else sum(one for one in shards if one is not None)
        facts |= {"age": None if oldest is None else int(oldest[0]), "shard": known}
    weights, intercepts = vectors[:, :-1], vectors[:, -1]
    two = first.two
    return replace(
        first,
        weights=np.ascontiguousarray(weights[0] if two else weights),
        intercept=float(intercepts[0]) if two else np.ascontiguousarray(intercepts),
        facts=facts,
        arrays=arrays,
    )


def _checked(nodes: Sequence[Trained], name: str) -> list[str]:
    """Notes. Raises DataError for the first thing in which two models differ, or that a rule lacks."""
    for one in nodes:
        if one.model.classes is None or (one.step is None and "solver" not in one.model.facts):
            raise DataError(
                f"{one.name}: was written by an older version, which did not store what combining needs:"
                " train it again"
            )
        if name in BY_COUNTS and one.ages is None:
            raise DataError(
                f"{one.name}: was not trained by steps of SGD, of which rule {name} needs the number:"
                " uniform and shard do not"
            )
        if name in ("shard", "fednova") and one.shard is None:
            raise DataError(
                f"{one.name}: does not say how many rows it was trained on, which rule {name} needs"
            )
        if not np.isfinite(one.model.weights).all():
            raise DataError(f"{one.name}: has weights that are not finite numbers")
    for other in nodes[1:]:
        for what, mine, theirs in _agreements(nodes[0], other):
            if mine != theirs:
                raise DataError(
                    f"{other.name}: {what} {theirs}, but {mine} in {nodes[0].name}: must be the same in all"
                )
    return _part_notes(nodes)


def _agreements(one: Trained, other: Trained) -> list[tuple[str, Any, Any]]:
    def of(node: Trained) -> list[tuple[str, Any]]:
        model, facts = node.model, node.model.facts
        assert model.classes is not None
        step = node.step and (node.step.schedule, node.step.eta0, node.step.power)
        return [
            ("loss", model.loss),
            ("alpha", model.alpha),
            ("unit_norm", model.unit_norm),
            ("classes", listed(model.classes)),
            ("classes that are +1", model.numbers.tolist()),
            ("zero_based", facts.get("zero_based")),
            ("solver", facts.get("solver")),
            ("step sizes", step),
            ("w0", node.w0),
            ("intercept", node.intercept),
            ("dtype", str(model.weights.dtype)),
        ]

    return [(what, mine, theirs) for (what, mine), (_, theirs) in zip(of(one), of(other), strict=True)]


def _part_notes(nodes: Sequence[Trained]) -> list[str]:
    """Of parts that are missing. Raises DataError for one that is there twice."""
    known = sorted((node.part, node.name) for node in nodes if node.part is not None)
    for (part, name), (other, twin) in pairwise(known):
        if part[1] != other[1]:
            raise DataError(
                f"{twin}: is part {_told(other)}, {name} is part {_told(part)}: must be parts of one"
            )
        if part == other:
            raise DataError(f"{twin} and {name}: both are part {_told(part)}")
    if not known:
        return []
    parts = known[0][0][1]
    missing = sorted({*range(1, parts + 1)} - {part[0] for part, _ in known})
    if len(missing) == 1:
        return [f"part {missing[0]} of {parts} is missing"]
    return [f"parts {', '.join(map(str, missing))} of {parts} are missing"] if missing else []


def _told(part: tuple[int, int]) -> str:
    return f"{part[0]}/{part[1]}"
