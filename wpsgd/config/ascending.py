"""The keys of the strategies in which nodes ascend the dual of their own rows: cocoa and admm."""

from __future__ import annotations

from math import ceil
from typing import Any

from pydantic import Field, model_validator

from wpsgd.config.endings import LENGTH_OF, EndingSettings
from wpsgd.config.tables import ModelSettings, choice
from wpsgd.errors import ConfigError
from wpsgd.strategies.admm import Admm
from wpsgd.strategies.cocoa import RELAXATION, VARIANTS, Cocoa, Variant, least_sigma_prime
from wpsgd.strategies.patterns import Looks

LARGEST = 1e9
SMALLEST_RHO, LARGEST_RHO = 1e-12, 1e12


class CocoaKeys(EndingSettings):
    """variant, sigma_prime, relaxation, tol, passes: see wpsgd.strategies.cocoa. tol: instead of [model]'s"""

    variant: Variant = choice(VARIANTS, "add_line_search")
    sigma_prime: float | None = Field(
        default=None, gt=0.0, le=LARGEST, description=f"a number above 0 and at most {LARGEST:g}"
    )
    relaxation: float = Field(
        default=RELAXATION, gt=0.0, lt=2.0, description="a number above 0 and below 2, 1 for exact steps"
    )

    tol: float | None = Field(default=None, gt=0.0, lt=1.0, description="a number above 0 and below 1")
    passes: int | None = Field(default=None, ge=0, le=1000, description="an integer from 0 to 1000")

    def tolerance(self, model: ModelSettings) -> float | None:
        """The relative duality gap that ends a run, None for none."""
        return self.tol or model.tol

    @model_validator(mode="after")
    def _sigma_that_bounds_one_node(self) -> CocoaKeys:
        self.check_sigma(1)  # of how many nodes will hold rows is not known yet
        return self

    def check_sigma(self, nodes: int) -> None:
        """Raises ConfigError where sigma_prime is too small. nodes: threads of all ranks that hold rows"""
        least = least_sigma_prime(self.variant, nodes)
        if self.sigma_prime is not None and self.sigma_prime < least:
            holders = f", where {nodes} threads of all ranks hold rows" if nodes > 1 else ""
            raise ConfigError(
                f"sigma_prime = {self.sigma_prime:g}: must be at least {least:g} with variant ="
                f' "{self.variant}"{holders}; less is for variant = "add_line_search"'
            )

    def passes_of(self, period: int, shard: int) -> int:
        """Passes over moving rows in a round: by default of a period over the largest shard, rounded up.

        A time box has any number of them.
        """
        if self.passes is not None:
            return self.passes
        return ceil(period / max(1, shard)) if LENGTH_OF[self.ending] == "period" else 0

    def strategy(self, rounds: int, period: int, looks: Looks, tol: float, shard: int) -> Cocoa:
        """What every node runs. shard: rows of the largest"""
        keys = (self.variant, self.sigma_prime, self.relaxation, tol, self.passes_of(period, shard))
        return Cocoa(rounds, self.ending_of(period), looks, *keys)


class AdmmKeys(EndingSettings):
    """rho, over_relaxation, passes: see wpsgd.strategies.admm. passes: over the rows of a period"""

    rho: float | None = Field(
        default=None,
        ge=SMALLEST_RHO,
        le=LARGEST_RHO,
        description=f"a number from {SMALLEST_RHO:g} to {LARGEST_RHO:g}",
    )
    over_relaxation: float = Field(
        default=1.0, ge=1.0, lt=2.0, description="a number from 1, for none, to below 2"
    )
    passes: int = Field(default=1, ge=1, le=1000, description="an integer from 1 to 1000")

    @model_validator(mode="after")
    def _passes_of_a_period(self) -> AdmmKeys:
        if "passes" in self.model_fields_set and LENGTH_OF[self.ending] != "period":
            raise ConfigError(f'passes: only with ending = "rows" or "race", not with "{self.ending}"')
        return self

    def values(self) -> dict[str, Any]:
        """The keys that count."""
        unused = set() if LENGTH_OF[self.ending] == "period" else {"passes"}
        return {key: value for key, value in super().values().items() if key not in unused}

    def strategy(self, rounds: int, period: int, looks: Looks) -> Admm:
        """What every node runs."""
        ending = self.ending_of(self.passes * period)
        return Admm(rounds, ending, looks, self.rho, self.over_relaxation)
