"""What all [[strategy]] entries have: keys, shards, and what is asked of them before they run."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from wpsgd.config.inside import NodeKeys
from wpsgd.config.tables import ModelSettings
from wpsgd.data.rows import FloatArray
from wpsgd.data.shards import RowNumbers, shard
from wpsgd.errors import ConfigError
from wpsgd.learners.node import InNode
from wpsgd.learners.sgd import SGDLearner
from wpsgd.requests import Program
from wpsgd.strategies.patterns import Looks

if TYPE_CHECKING:
    from wpsgd.config.settings import Settings

Count = Annotated[int, Field(ge=1)]
DUAL_NEEDS = '[model] solver = "dual" needs name = "sequential"'


class StrategySettings(NodeKeys):
    """What all entries have. period: rows of the fastest node per round, "pass" for the largest shard."""

    # whether a node trains on its rows without the others between two sums of models
    trains_alone: ClassVar[bool] = False

    name: str = Field(description="the name of a strategy")
    label: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$",
        description="letters, digits and _ . + -, beginning with a letter, a digit or _",
    )
    rounds: int = Field(default=10, ge=1, description="an integer >= 1")
    period: Literal["pass"] | Count = Field(default="pass", description='"pass" or an integer >= 1')

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, values: Any) -> Any:
        return {**cls.defaults(values), **values} if isinstance(values, Mapping) else values

    @classmethod
    def defaults(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Defaults that depend on other keys."""
        return {"label": values["name"]} if "name" in values else {}

    def shards(
        self,
        rows: int,
        ranks: int,
        settings: Settings,
        speeds: Sequence[float] | None = None,
        labels: FloatArray | None = None,
    ) -> list[RowNumbers]:
        """Row numbers of each rank. Raises ConfigError.

        speeds: instead of [machine]'s; labels: of all rows, or None where only the sizes of shards matter
        """
        return sharded(rows, ranks, settings, speeds, labels)

    @abstractmethod
    def program(
        self, shards: Sequence[int], settings: Settings, ranks: int, speeds: Sequence[float] = ()
    ) -> Program:
        """What every node runs.

        shards: rows that each rank holds; speeds: of each rank or empty, for what is shared out by speed.
        Raises ConfigError where the entry is for another number of ranks.
        """

    def looks(self, settings: Settings) -> Looks:
        """When its models are scored."""
        return Looks(settings.report.looks, self.rounds)

    def rows_of_round(self, shards: Sequence[int]) -> int:
        """Rows of the fastest node per round."""
        return max(1, *shards) if self.period == "pass" else self.period

    def rows_of_sum(self, shards: Sequence[int], speeds: Sequence[float] = ()) -> int:
        """Rows of the fastest node between two sums over nodes; speeds: as for `program`."""
        return self.rows_of_round(shards)

    @property
    def learner(self) -> type[SGDLearner]:
        """The kind of learner it needs where all coordinates have one step size."""
        return SGDLearner

    @property
    def asked_learner(self) -> type[SGDLearner]:
        """The same where all rules are to be asked about its models."""
        return self.learner

    @property
    def judges_models(self) -> bool:
        """Whether its nodes need a sample of rows."""
        return False

    def tolerance(self, model: ModelSettings) -> float | None:
        """The relative duality gap that ends a run, None for none."""
        return model.tol

    @property
    def ascends_shards(self) -> bool:
        """Whether its nodes' learners are of the kind ShardDual, whatever [model] solver says."""
        return False

    @property
    def goes_classwise(self) -> bool:
        """Whether it does to several models in one vector what it would do to each of them alone."""
        plain = self.inside == InNode() and self.learner is SGDLearner
        return plain and not self.judges_models and not self.ascends_shards

    def misfit(self, ranks: int) -> str:
        """What the entry has that is not for so many ranks, else an empty string."""
        return ""

    def extra_bytes(self, features: int, itemsize: int) -> int:
        """Memory that it takes on each rank beside the model and the copy of it that is exchanged.

        itemsize: bytes of a weight
        """
        return 8 * features * self.inside.extra_vectors

    def reduction(self, vector: int, features: int, entries: int, ranks: int) -> tuple[int, bool]:
        """Bytes that a node gives to a sum, and whether they are pairs: see config/combining.py."""
        return vector, False

    def wire_bytes(self, vector: int, features: int, entries: int, ranks: int) -> int:
        """Memory that sums as pairs take on each rank beside: see config/combining.py."""
        return 0

    def dual_misfit(self, nodes: int | None) -> str:
        """Why the dual solver cannot run it on so many nodes with rows, else an empty string.

        nodes: None where they are not known yet
        """
        return ""

    def _check(self, ranks: int) -> None:
        if misfit := self.misfit(ranks):
            raise ConfigError(f"[[strategy]] {self.label}: {misfit}")


def sharded(
    rows: int,
    ranks: int,
    settings: Settings,
    speeds: Sequence[float] | None = None,
    labels: FloatArray | None = None,
) -> list[RowNumbers]:
    """The shards of [data] sharding. Raises ConfigError where they need speeds that are not given."""
    if ranks == 1:
        return [np.arange(rows)]  # one rank holds what `sequential` holds, and averaging is sequential SGD
    sharding, speeds = settings.data.sharding, settings.machine.speeds if speeds is None else speeds
    if sharding == "proportional" and len(speeds) != ranks:
        raise ConfigError(
            f'[data] sharding = "proportional" needs [machine] speeds, one for each of {ranks} ranks:'
            f" {len(speeds) or 'none'} given"
        )
    known = np.zeros(rows) if labels is None else labels
    skew, seed = settings.data.skew, settings.model.seed
    return shard(sharding, rows, ranks, speeds or None, seed, labels=known, skew=skew)
