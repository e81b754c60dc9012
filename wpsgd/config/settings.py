"""An experiment's settings as one value: what was read, checked across its tables."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import isinf
from typing import Any

import tomli_w

from wpsgd.config.entry import StrategySettings
from wpsgd.config.inside import inside_problem
from wpsgd.config.strategies import AveragingSettings
from wpsgd.config.tables import DataSettings, MachineSettings, ModelSettings, ReportSettings
from wpsgd.errors import ConfigError, nearest
from wpsgd.kernels.losses import CURVATURES
from wpsgd.kernels.stepsize import StepSize
from wpsgd.learners.sgd import Objective
from wpsgd.learners.steepness import Norms

# a resumed run may have them otherwise, no bit depends on them
FREE = ("label", "wire")  # keys of an entry


@dataclass(frozen=True)
class Settings:
    """An experiment. Raises ConfigError, one line a problem, for tables that do not go together.

    steepness: of the typical row of the data, see `with_steepness`; it is no key of any table
    """

    data: DataSettings
    strategies: tuple[StrategySettings, ...]
    model: ModelSettings = field(default_factory=ModelSettings)
    machine: MachineSettings = field(default_factory=MachineSettings)
    report: ReportSettings = field(default_factory=ReportSettings)
    steepness: float = 0.0

    def __post_init__(self) -> None:
        checks = (
            self._label_problems,
            self._adagrad_problems,
            self._dual_problems,
            self._inside_problems,
            self._shard_dual_problems,
            self._counterfactual_problems,
            self._rank_problems,
        )
        if problems := [problem for check in checks for problem in check()]:
            raise ConfigError("\n".join(problems))

    @property
    def step(self) -> StepSize:
        """The step sizes."""
        return replace(self.model.step, steepness=self.steepness)

    @property
    def begins_by_rows(self) -> bool:
        """Whether step sizes depend on the rows: those of "optimal" for a smooth loss do."""
        return self.model.learning_rate == "optimal" and not isinf(CURVATURES[self.model.loss])

    def with_steepness(self, norms: Norms) -> Settings:
        """The same for data whose rows have these norms, which all ranks agree on."""
        return replace(self, steepness=norms.steepness(self.model.loss)) if self.begins_by_rows else self

    def objective(self) -> Objective:
        """What is minimised; a "column" intercept is a feature of the data, not of the objective."""
        model = self.model
        return Objective(model.loss, self.step, model.w0, model.intercept == "unregularised")

    def strategy(self, label: str) -> StrategySettings:
        """The entry of that label. Raises ConfigError with the choices."""
        labels = [entry.label for entry in self.strategies]
        if label not in labels:
            raise ConfigError(
                f"no strategy {label!r}{nearest(label, labels)} (allowed: {', '.join(labels) or 'none'})"
            )
        return self.strategies[labels.index(label)]

    def dumps(self) -> str:
        """The settings as TOML text that loads back to equal settings."""
        return tomli_w.dumps(self._tables())

    def digest(self, label: str, ranks: int) -> dict[str, Any]:
        """All that decides what a strategy's run on so many ranks gives, ready for JSON.

        How sums travel (`wire`) changes no bit. Raises ConfigError for an unknown label.
        """
        entry, tables = self.strategy(label), self._tables()
        by_speed = self.data.sharding == "proportional" or getattr(entry, "global_batch", None) is not None
        return {
            "data": tables["data"],
            "model": tables["model"],
            "strategy": {key: value for key, value in entry.values().items() if key not in FREE},
            "ranks": ranks,
            "speeds": list(self.machine.speeds) if by_speed else [],
        }

    def _tables(self) -> dict[str, Any]:
        names = ("data", "model", "machine", "report")
        tables = {name: getattr(self, name).values() for name in names}
        return {**tables, "strategy": [entry.values() for entry in self.strategies]}

    def _label_problems(self) -> list[str]:
        labels = [entry.label for entry in self.strategies]
        if not labels:
            return ["[[strategy]]: missing, must be at least one"]
        return [
            f'{self._where(place)} label = "{label}": must be unique,'
            f" entry {labels.index(label) + 1} has it too"
            for place, label in enumerate(labels)
            if label in labels[:place]
        ]

    def _adagrad_problems(self) -> list[str]:
        if self.model.learning_rate != "adagrad":
            return []
        unfit = [
            (place, "name" if entry.name == "minibatch" else "rule")
            for place, entry in enumerate(self.strategies)
            if entry.name == "minibatch"
            or (isinstance(entry, AveragingSettings) and "contraction" in entry.combination_rule.needs)
        ]
        unfit += [
            (place, "wire")
            for place, entry in enumerate(self.strategies)
            if isinstance(entry, AveragingSettings) and entry.wire == "sparse"
        ]
        return [
            f'{self._where(place)} {key} = "{getattr(self.strategies[place], key)}": needs one step size'
            ' for all coordinates, [model] learning_rate = "adagrad" has one for each: choose another'
            f" {key} or learning_rate"
            for place, key in unfit
        ]

    def _dual_problems(self) -> list[str]:
        if self.model.solver != "dual":
            return []
        misfits = [entry.dual_misfit(self.machine.known_ranks) for entry in self.strategies]
        return [f"{self._where(place)} {misfit}" for place, misfit in enumerate(misfits) if misfit]

    def _inside_problems(self) -> list[str]:
        found = [
            "" if entry.ascends_shards else inside_problem(entry.inside, self.model)
            for entry in self.strategies
        ]
        return [f"{self._where(place)} {problem}" for place, problem in enumerate(found) if problem]

    def _shard_dual_problems(self) -> list[str]:
        needing = [(place, entry) for place, entry in enumerate(self.strategies) if entry.ascends_shards]
        problems = [(place, self.model.dual_problem(f'name = "{entry.name}"')) for place, entry in needing]
        return [f"{self._where(place)} [model] {problem}" for place, problem in problems if problem]

    def _counterfactual_problems(self) -> list[str]:
        averaging = any(isinstance(entry, AveragingSettings) for entry in self.strategies)
        if not self.report.counterfactual or averaging:
            return []
        return [
            "[report] counterfactual = true: no [[strategy]] combines models by a rule: must be false, or one"
            " of simuparallel, wp, average_directly, hybrid among the strategies"
        ]

    def _rank_problems(self) -> list[str]:
        ranks = self.machine.known_ranks
        misfits = [entry.misfit(ranks) if ranks else "" for entry in self.strategies]
        return [f"{self._where(place)} {misfit}" for place, misfit in enumerate(misfits) if misfit]

    def for_its_part(self) -> Settings:
        """The same, where all rows are trained on; else what trains on [data] part alone.

        Emulated speeds are those of a cluster, in which a part has no place: it goes as fast as it can.
        Raises ConfigError where a strategy or the number of ranks forbids a part; call it once no strategy
        stands here that is not to run.
        """
        part = self.data.part
        if part is None:
            return self
        problems = [
            f'{self._where(place)} name = "{entry.name}": its nodes need one another all the time:'
            f' [data] part = "{part}" is trained alone'
            for place, entry in enumerate(self.strategies)
            if not entry.trains_alone
        ]
        if self.machine.ranks not in (None, 1):
            speeds = " --set machine.speeds=[]" if self.machine.speeds else ""
            problems.append(
                f'[data] part = "{part}": is trained by one rank, [machine] asks for {self.machine.ranks}:'
                f" --set machine.ranks=1{speeds}"
            )
        if problems:
            raise ConfigError("\n".join(problems))
        return replace(self, machine=self.machine.model_copy(update={"speeds": ()}))

    def _where(self, place: int) -> str:
        return heading(place, self.strategies[place].label)


def heading(place: int, label: str) -> str:
    """How messages name an entry."""
    return f"[[strategy]] {place + 1} ({label})"
