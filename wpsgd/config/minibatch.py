"""The keys of mini-batch SGD, its program, and what its sums take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from wpsgd.config.entry import DUAL_NEEDS, Count, StrategySettings
from wpsgd.config.inside import ThreadKeys
from wpsgd.config.tables import Listed, choice
from wpsgd.data.shards import proportional
from wpsgd.errors import ConfigError
from wpsgd.requests import Program
from wpsgd.strategies.minibatch import PAIR, VALUE, MiniBatch, pairs_pay
from wpsgd.strategies.wire import WIRES, Wire

if TYPE_CHECKING:
    from wpsgd.config.settings import Settings

BATCH = 32


class MiniBatchSettings(ThreadKeys, StrategySettings):
    """name = "minibatch". batch: rows of each node and step; global_batch: of all nodes together.

    wire: whether gradients are summed dense or as pairs
    """

    name: Literal["minibatch"]
    batch: Count | Annotated[tuple[Count, ...], Listed, Field(min_length=1)] | None = Field(
        default=None, description="an integer >= 1, or a list of them, one for each rank"
    )
    global_batch: int | None = Field(default=None, ge=1, description="an integer >= 1")
    wire: Wire = choice(WIRES, WIRES[0])

    @classmethod
    def defaults(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        own = {} if "global_batch" in values else {"batch": BATCH}
        return {**super().defaults(values), **own}

    @model_validator(mode="after")
    def _one_batch(self) -> MiniBatchSettings:
        if self.batch is not None and self.global_batch is not None:
            raise ConfigError("batch, global_batch: must be one of them, not both")
        return self

    def program(
        self, shards: Sequence[int], settings: Settings, ranks: int, speeds: Sequence[float] = ()
    ) -> Program:
        self._check(ranks)
        batches = self.batches(shards, speeds)
        updates = max(1, round(self.rows_of_round(shards) / max(batches)))
        return MiniBatch(self.rounds, updates, batches, self.looks(settings), self.wire)

    def batches(self, shards: Sequence[int], speeds: Sequence[float] = ()) -> tuple[int, ...]:
        """Rows of each node and step; a global batch is dealt to the nodes that hold rows."""
        if self.global_batch is None:
            return self.batch if isinstance(self.batch, tuple) else (self.batch or BATCH,) * len(shards)
        if speeds and len(speeds) != len(shards):
            raise ConfigError(
                f"[machine] speeds: {len(speeds)} given, must be one for each of {len(shards)} ranks"
            )
        speeds = speeds or (1.0,) * len(shards)
        shares = [speed if rows else 0.0 for rows, speed in zip(shards, speeds, strict=True)]
        return tuple(len(part) for part in proportional(self.global_batch, shares, seed=0))

    def extra_bytes(self, features: int, itemsize: int) -> int:
        return 8 * (features + 2) * self.threads  # the summed gradient, and what helpers add to it

    @property
    def goes_classwise(self) -> bool:
        return super().goes_classwise and self.wire != "sparse"

    def rows_of_sum(self, shards: Sequence[int], speeds: Sequence[float] = ()) -> int:
        return max(self.batches(shards, speeds))

    def reduction(self, vector: int, features: int, entries: int, ranks: int) -> tuple[int, bool]:
        # with the rows it is of and the intercept's, always float64
        pairs = min(entries, features) + 2
        if self.wire == "sparse" or (self.wire == "auto" and pairs_pay(ranks * pairs, features)):
            return PAIR * pairs, True
        return VALUE * (features + 2), False

    def wire_bytes(self, vector: int, features: int, entries: int, ranks: int) -> int:
        if self.wire == "dense":
            return 0
        own = PAIR * (min(entries, features) + 2)
        # of all ranks as they come and one behind another; "auto" takes no more than two gradients of them
        gathered = 2 * ranks * own
        return own + (gathered if self.wire == "sparse" else min(gathered, 4 * VALUE * features))

    def misfit(self, ranks: int) -> str:
        if not isinstance(self.batch, tuple) or len(self.batch) == ranks:
            return ""
        return f"batch = {list(self.batch)}: must be one integer for each of {ranks} ranks"

    def dual_misfit(self, nodes: int | None) -> str:
        return f'name = "{self.name}": takes gradient steps: {DUAL_NEEDS}'
