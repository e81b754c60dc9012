"""The keys of a [[strategy]] entry that say what goes on inside a node, and what they need of [model]."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, cast

from pydantic import Field, model_validator

from wpsgd.config.tables import ModelSettings, Table
from wpsgd.errors import ConfigError
from wpsgd.learners.node import InNode
from wpsgd.requests import Program
from wpsgd.theory import SLACK, delay_bound

THREADS_AT_MOST = 1024
DELAY_AT_MOST = 1_000_000
VECTORS_AT_MOST = 1000  # steps of delay where each is a whole vector in memory
DELAY = 1  # in the paper a node has two workers: by turns, each computes while the other's update arrives


class NodeKeys(Table):
    """No key of what goes on inside a node."""

    @property
    def inside(self) -> InNode:
        """What goes on inside a node."""
        return InNode()


class ThreadKeys(NodeKeys):
    """threads: how many of a node share its weights."""

    threads: int = Field(
        default=1, ge=1, le=THREADS_AT_MOST, description=f"an integer from 1 to {THREADS_AT_MOST}"
    )

    @property
    def inside(self) -> InNode:
        """What goes on inside a node."""
        return InNode(threads=self.threads)


class DelayKeys(ThreadKeys):
    """delay: steps by which gradients are late; range_check, stale_decay: see wpsgd.learners.delay."""

    delay: int = Field(
        default=DELAY, ge=0, le=DELAY_AT_MOST, description=f"an integer from 0 to {DELAY_AT_MOST}"
    )
    range_check: bool = Field(default=False, description="true or false")
    stale_decay: bool = Field(default=False, description="true or false")

    @model_validator(mode="before")
    @classmethod
    def _threads_are_a_delay_of_their_own(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and values.get("threads", 1) != 1:
            return {"delay": 0, **values}
        return values

    @property
    def inside(self) -> InNode:
        """What goes on inside a node."""
        return InNode(self.delay, self.threads, self.range_check, self.stale_decay)

    @model_validator(mode="after")
    def _one_kind_of_lateness(self) -> DelayKeys:
        if self.threads > 1 and (key := _asked_for(self.inside)):
            raise ConfigError(f"{key}: only with threads = 1, which the ring buffer of late gradients is for")
        if self.range_check and self.stale_decay:
            raise ConfigError(
                "range_check, stale_decay: must be one of them, its fixed point is of fresh decay"
            )
        if self.stale_decay and self.delay > VECTORS_AT_MOST:
            raise ConfigError(
                f"delay = {self.delay}: must be at most {VECTORS_AT_MOST} with stale_decay, which keeps a"
                " whole vector for each step"
            )
        return self


def widened(kind: type[Any], program: Any, **more: Any) -> Program:
    """A program of a kind that has more fields: those of another and `more`."""
    return cast(
        Program, kind(**{field.name: getattr(program, field.name) for field in fields(program)} | more)
    )


def inside_problem(inside: InNode, model: ModelSettings) -> str:
    """Why no learner does this for that [model], else an empty string."""
    asked = _asked_for(inside) or (f"threads = {inside.threads}" if inside.threads > 1 else "")
    if asked and model.solver == "dual":
        return f'{asked}: only with [model] solver = "sgd"'
    if asked and model.learning_rate == "adagrad":
        return (
            f'{asked}: needs one step size for all coordinates, [model] learning_rate = "adagrad" has one for'
            " each: choose another learning_rate"
        )
    if inside.range_check:
        return _range_check_problem(model)
    return _stale_decay_problem(inside.delay, model) if inside.stale_decay else ""


def _asked_for(inside: InNode) -> str:
    """The first of the ring buffer's keys that is set."""
    if inside.delay:
        return f"delay = {inside.delay}"
    return "range_check = true" if inside.range_check else "stale_decay = true" if inside.stale_decay else ""


def _range_check_problem(model: ModelSettings) -> str:
    if model.intercept == "unregularised":
        allowed = '"off" or "column"'
        return f"range_check = true: its fixed point has no intercept: [model] intercept must be {allowed}"
    return ""


def _stale_decay_problem(delay: int, model: ModelSettings) -> str:
    if model.learning_rate != "constant":
        return (
            "stale_decay = true: has a contraction only for steps of one size: needs [model] learning_rate ="
            f' "constant", not "{model.learning_rate}"'
        )
    eta_lambda, bound = model.eta0 * model.alpha, delay_bound(delay)
    if eta_lambda > bound * (1.0 + SLACK):
        return (
            f"stale_decay = true: eta lambda = {eta_lambda:.6g} with delay = {delay}: must be at most"
            f" {bound:.6g} = delay^delay / (delay + 1)^(delay + 1); lower [model] eta0, alpha or the delay"
        )
    return ""
