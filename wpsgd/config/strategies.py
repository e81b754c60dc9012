"""The [[strategy]] entries: the keys of each strategy, its shards, its program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from wpsgd.config.ascending import AdmmKeys, CocoaKeys
from wpsgd.config.combining import NOT_ALIKE, CombiningSettings
from wpsgd.config.endings import EndingSettings
from wpsgd.config.entry import DUAL_NEEDS, Count, StrategySettings, sharded
from wpsgd.config.inside import DelayKeys, ThreadKeys, widened
from wpsgd.config.minibatch import MiniBatchSettings
from wpsgd.config.tables import choice
from wpsgd.data.rows import FloatArray
from wpsgd.data.shards import RowNumbers
from wpsgd.errors import ConfigError
from wpsgd.reducers import THEORY, Rule, late_wp
from wpsgd.requests import Program
from wpsgd.strategies.averaging import Averaging
from wpsgd.strategies.cocoa import COARSE
from wpsgd.strategies.delay import Delay
from wpsgd.strategies.hybrid import Hybrid
from wpsgd.strategies.sequential import Sequential
from wpsgd.theory import log_delayed_contraction

if TYPE_CHECKING:
    from wpsgd.config.settings import Settings

AveragingName = Literal["simuparallel", "wp", "average_directly", "hybrid"]

# what makes three strategies of one algorithm
DEFAULTS = MappingProxyType(
    {
        "simuparallel": {"ending": "rows", "rule": "uniform"},
        "wp": {"ending": "race", "rule": "wp"},
        "average_directly": {"ending": "race", "rule": "uniform"},
        "hybrid": {"ending": "race", "rule": "wp"},
    }
)


class SequentialSettings(ThreadKeys, StrategySettings):
    """name = "sequential". rows: all, or the shard that the first rank has in other strategies."""

    trains_alone: ClassVar[bool] = True
    name: Literal["sequential", "delay"]
    rows: Literal["all", "shard"] = choice(("all", "shard"), "all")

    def shards(
        self,
        rows: int,
        ranks: int,
        settings: Settings,
        speeds: Sequence[float] | None = None,
        labels: FloatArray | None = None,
    ) -> list[RowNumbers]:
        """The first rank's rows; none for the others."""
        alone = self.rows == "all"
        mine = np.arange(rows) if alone else sharded(rows, ranks, settings, speeds, labels)[0]
        return [mine, *[np.empty(0, dtype=np.int64)] * (ranks - 1)]

    def program(
        self, shards: Sequence[int], settings: Settings, ranks: int, speeds: Sequence[float] = ()
    ) -> Program:
        # a pass is that of the other strategies, so that their rows compare
        parallel = shards
        if self.period == "pass" and self.rows == "all":
            parallel = [len(rows) for rows in sharded(sum(shards), ranks, settings, speeds or None)]
        certified = settings.model.tol is not None
        return Sequential(self.rounds, self.rows_of_round(parallel), self.looks(settings), certified)


class DelaySettings(DelayKeys, SequentialSettings):
    """name = "delay"."""

    name: Literal["delay"]

    def program(
        self, shards: Sequence[int], settings: Settings, ranks: int, speeds: Sequence[float] = ()
    ) -> Program:
        program = super().program(shards, settings, ranks, speeds)
        return widened(Delay, program, range_check=self.range_check)


class AveragingSettings(EndingSettings, CombiningSettings, ThreadKeys, StrategySettings):
    """The strategies that average models: ending and rule are those of the name unless given."""

    trains_alone: ClassVar[bool] = True
    name: AveragingName

    @classmethod
    def defaults(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        return {**super().defaults(values), **DEFAULTS.get(str(values.get("name")), {})}

    def program(
        self, shards: Sequence[int], settings: Settings, ranks: int, speeds: Sequence[float] = ()
    ) -> Program:
        self._check(ranks)
        if settings.model.solver == "dual" and (misfit := self.dual_misfit(sum(map(bool, shards)))):
            raise ConfigError(f"[[strategy]] {self.label}: {misfit}")
        ending, rule = self.ending_of(self.rows_of_round(shards)), self.rule_for(settings)
        facts = (settings.step, tuple(shards), self.looks(settings))
        more: dict[str, Any] = {"wire": self.wire, "counterfactual": settings.report.counterfactual}
        return Averaging(self.rounds, ending, rule, *facts, self.line_search, self.outer, **more)

    def rule_for(self, settings: Settings) -> Rule:
        """How models are combined."""
        return self.combination_rule

    @property
    def goes_classwise(self) -> bool:
        by_counts = "moments" not in self.combination_rule.needs
        return super().goes_classwise and by_counts and self.wire != "sparse"

    def extra_bytes(self, features: int, itemsize: int) -> int:
        helpers = self.threads - 1 if "squares" in self.combination_rule.needs else 0
        inside = super().extra_bytes(features, itemsize)
        return self.combining_bytes(features) + inside + 8 * features * helpers

    def dual_misfit(self, nodes: int | None) -> str:
        if self.wire == "sparse":
            return f'wire = "sparse": must be another with [model] solver = "dual", {NOT_ALIKE}'
        if nodes in (None, 0, 1):
            return self.unfit_for_dual()
        return (
            f'name = "{self.name}": averages the models of {nodes} nodes, and no dual variables belong to an'
            f" average: {DUAL_NEEDS}"
        )


class HybridSettings(DelayKeys, AveragingSettings):
    """name = "hybrid". period: 1000 in the paper."""

    name: Literal["hybrid"]
    period: Literal["pass"] | Count = Field(default=1000, description='"pass" or an integer >= 1')

    def program(
        self, shards: Sequence[int], settings: Settings, ranks: int, speeds: Sequence[float] = ()
    ) -> Program:
        program = super().program(shards, settings, ranks, speeds)
        return widened(Hybrid, program, range_check=self.range_check)

    @model_validator(mode="after")
    def _sparse_sums_of_fresh_decay(self) -> HybridSettings:
        if self.wire == "sparse" and self.stale_decay:
            raise ConfigError(f'wire = "sparse": must be another with stale_decay, {NOT_ALIKE}')
        return self

    @model_validator(mode="after")
    def _rules_that_know_late_decay(self) -> HybridSettings:
        looks_at_it = "contraction" in self.combination_rule.needs
        knows_it = self.rule == "wp" and self.contraction == THEORY
        if self.stale_decay and looks_at_it and not knows_it:
            raise ConfigError(
                'stale_decay = true: of the rules that look at the contraction only rule = "wp" with'
                f' contraction = "{THEORY}" knows that of late decay'
            )
        return self

    def rule_for(self, settings: Settings) -> Rule:
        if self.rule != "wp" or not self.stale_decay:
            return super().rule_for(settings)
        return late_wp(log_delayed_contraction(settings.step.eta0 * settings.step.alpha, self.delay))


class CocoaSettings(CocoaKeys, ThreadKeys, StrategySettings):
    """name = "cocoa". threads: each with a part of the node's rows, as a node of its own would have them"""

    name: Literal["cocoa"]

    @property
    def ascends_shards(self) -> bool:
        return True

    def extra_bytes(self, features: int, itemsize: int) -> int:
        # w(alpha), its change where rows are in float32, and what the other threads step on
        return 8 * features * (1 + (itemsize < 8) + self.threads - 1)

    def reduction(self, vector: int, features: int, entries: int, ranks: int) -> tuple[int, bool]:
        coarse = self.tol is not None and self.tol >= COARSE
        return vector if coarse else 8 * features, False  # float64 where it is to be exact

    def program(
        self, shards: Sequence[int], settings: Settings, ranks: int, speeds: Sequence[float] = ()
    ) -> Program:
        self._check(ranks)
        try:
            self.check_sigma(sum(min(self.threads, rows) for rows in shards))
        except ConfigError as problem:
            raise ConfigError(f"[[strategy]] {self.label}: {problem}") from None
        tol = self.tolerance(settings.model) or 0.0
        largest = max(shards, default=0)
        return self.strategy(self.rounds, self.rows_of_round(shards), self.looks(settings), tol, largest)


class AdmmSettings(AdmmKeys, ThreadKeys, StrategySettings):
    """name = "admm". threads: as for "cocoa"."""

    name: Literal["admm"]

    @property
    def ascends_shards(self) -> bool:
        return True

    def extra_bytes(self, features: int, itemsize: int) -> int:
        # z, what the residuals are of; and of each thread u, its share of the mean, its centre, their parts
        return 8 * features * (8 + 7 * (self.threads - 1))

    def program(
        self, shards: Sequence[int], settings: Settings, ranks: int, speeds: Sequence[float] = ()
    ) -> Program:
        self._check(ranks)
        return self.strategy(self.rounds, self.rows_of_round(shards), self.looks(settings))


KINDS: Mapping[str, type[StrategySettings]] = MappingProxyType(
    {
        "sequential": SequentialSettings,
        "simuparallel": AveragingSettings,
        "wp": AveragingSettings,
        "average_directly": AveragingSettings,
        "minibatch": MiniBatchSettings,
        "delay": DelaySettings,
        "hybrid": HybridSettings,
        "cocoa": CocoaSettings,
        "admm": AdmmSettings,
    }
)
