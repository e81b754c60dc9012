"""What an estimator is asked for and cannot do, said in one line before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wpsgd.errors import ConfigError

WITHOUT_RULES = ("sequential", "delay", "minibatch", "cocoa", "admm")


def check_penalty(estimator: Any) -> None:
    """Raises ConfigError for another regulariser than the one that there is."""
    if estimator.penalty != "l2":
        raise ConfigError(
            f'penalty={estimator.penalty!r}: must be "l2": L1, elastic net and no penalty are out of scope;'
            ' SGDClassifier and LogisticRegression(solver="saga") of scikit-learn have them'
        )


def check_average(estimator: Any) -> None:
    """Raises ConfigError where the iterates are to be averaged in a way that something else excludes."""
    if not estimator.average:
        return
    name = f"average={estimator.average!r}"
    if estimator.rule not in (None, "tail"):
        raise ConfigError(f'{name}: is the rule "tail": not with rule={estimator.rule!r}: leave one out')
    wish = estimator.strategy if isinstance(estimator.strategy, Mapping) else {}
    if wish.get("rule", "tail") != "tail":
        raise ConfigError(f'{name}: is the rule "tail": not with strategy={wish!r}: leave one out')
    if (strategy := wish.get("name", estimator.strategy)) in WITHOUT_RULES:
        raise ConfigError(
            f"{name}: averages the iterates of rounds, and strategy={strategy!r} has no rule to do so;"
            ' of one worker strategy="simuparallel" is the same without average'
        )
    if estimator.learning_rate == "adagrad":
        raise ConfigError(f'{name}: not with learning_rate="adagrad", whose steps differ by coordinate')
    inside = {key: wish[key] for key in ("threads", "delay") if key in wish}
    if average_after(estimator) and (inside or strategy == "hybrid"):
        raise ConfigError(
            f"{name}: averages from a later step on only in nodes of one thread without a delay,"
            f" not with strategy={estimator.strategy!r}: pass average=True"
        )


def check_adaptive(estimator: Any) -> None:
    """Raises ConfigError where there is no step size to adapt."""
    wish = estimator.strategy
    strategy = wish.get("name") if isinstance(wish, Mapping) else wish
    if estimator.learning_rate == "adaptive" and strategy in ("cocoa", "admm"):
        raise ConfigError(f'learning_rate="adaptive": strategy={strategy!r} has no step sizes: leave it out')


def average_after(estimator: Any) -> int:
    """Steps of a node before the first that is averaged: average=n begins with step n, as SGDClassifier's."""
    return max(0, int(estimator.average) - 1)


def check_partial_fit(estimator: Any) -> None:
    """Raises ConfigError for what one pass of SGD by one worker cannot do, naming the parameter."""
    wish = estimator.strategy
    strategy = wish["name"] if isinstance(wish, Mapping) and list(wish) == ["name"] else wish
    allowed = {
        "early_stopping": (
            not estimator.early_stopping,
            "early_stopping should be False with partial_fit, which judges no rows",
        ),
        "solver": (
            estimator.solver in ("auto", "sgd"),
            'partial_fit is a pass of SGD: must be "auto" or "sgd"',
        ),
        "strategy": (
            strategy in (None, "sequential"),
            'partial_fit is one worker\'s pass: must be None or "sequential"',
        ),
        "rule": (
            estimator.rule in (None, "tail"),
            'partial_fit has no models to combine: must be None or "tail", which averages its iterates',
        ),
        "period": (estimator.period == "pass", 'partial_fit is one pass: must be "pass"'),
        "probability": (
            not estimator.probability,
            "partial_fit holds out no rows to calibrate by: must be False, with which log_loss and"
            " modified_huber still have predict_proba",
        ),
        "runtime": (
            estimator.runtime is None,
            "partial_fit is one worker's pass: must be None; fit is for runtimes",
        ),
        "class_weight": (
            estimator.class_weight != "balanced",
            "needs all rows at once: pass a dict to go with partial_fit",
        ),
    }
    for name, (fits, text) in allowed.items():
        if not fits:
            value = getattr(estimator, name)
            raise ConfigError(f"{name}={getattr(value, 'name', value)!r}: {text}")
