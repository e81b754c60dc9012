"""The keys of a [[strategy]] entry that say how a round ends."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal, cast

from pydantic import Field, model_validator

from wpsgd.config.tables import Listed, Table, choice
from wpsgd.errors import ConfigError
from wpsgd.strategies.patterns import ByRows, Ending, Given, Race, TimeBox

Counts = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Listed]
# the key that says how long a round is
LENGTH_OF: Mapping[str, str] = MappingProxyType(
    {"rows": "period", "race": "period", "time": "seconds_per_round", "given": "counts"}
)


class EndingSettings(Table):
    """ending, with the keys of some endings; beside rounds and period, which all strategies have."""

    ending: Literal["rows", "race", "time", "given"] = choice(tuple(LENGTH_OF), "rows")
    seconds_per_round: float | None = Field(default=None, gt=0.0, description="a number of seconds > 0")
    counts: Annotated[tuple[Counts, ...] | None, Listed] = Field(
        default=None, description="one list of rows per round, each with an integer >= 0 for every rank"
    )

    @model_validator(mode="after")
    def _keys_of_the_ending(self) -> EndingSettings:
        length = LENGTH_OF[self.ending]
        for key in sorted({*LENGTH_OF.values()} & self.model_fields_set - {length}):
            endings = " or ".join(f'"{ending}"' for ending, other in LENGTH_OF.items() if other == key)
            raise ConfigError(f'{key}: only with ending = {endings}, not with "{self.ending}"')
        if getattr(self, length) is None:
            raise ConfigError(f'{length}: missing, ending = "{self.ending}" needs it')
        rounds = cast(Any, self).rounds
        if self.ending == "given" and self.counts is not None and len(self.counts) != rounds:
            raise ConfigError(
                f"counts: {len(self.counts)} lists for rounds = {rounds}: must be one for each round"
            )
        return self

    def values(self) -> dict[str, Any]:
        """The keys that count."""
        unused = {*LENGTH_OF.values()} - {LENGTH_OF[self.ending]}
        return {key: value for key, value in super().values().items() if key not in unused}

    def ending_of(self, period: int) -> Ending:
        """How a round ends. period: rows of the fastest node"""
        if self.counts is not None:
            return Given(self.counts)
        if self.seconds_per_round is not None:
            return TimeBox(self.seconds_per_round)
        return Race(period) if self.ending == "race" else ByRows(period)

    def misfit(self, ranks: int) -> str:
        """What the entry has that is not for so many ranks, else an empty string."""
        wrong = next((row for row in self.counts or () if len(row) != ranks), None)
        if wrong is None:
            return ""
        return f"counts = {list(wrong)} in a round: must be one integer for each of {ranks} ranks"
