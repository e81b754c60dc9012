"""What things cost under virtual clocks: seconds per row and seconds per message, outside every program."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from wpsgd.errors import ConfigError

Service: TypeAlias = Literal["fixed", "jittered", "exponential", "shifted_exponential", "replayed"]
SERVICES: tuple[Service, ...] = ("fixed", "jittered", "exponential", "shifted_exponential", "replayed")


@dataclass(frozen=True, slots=True)
class RowCost:
    """Seconds of service per row of one node.

    seconds: the mean (of "replayed": unused)
    service: "fixed"; "jittered", uniform within +-spread of the mean; "exponential"; "shifted_exponential",
    (1 - spread) of the mean for certain and the rest exponential; "replayed", `recorded` over and over
    spread: a share of the mean, 0 to 1; recorded: seconds per row of a trace's tasks, in their order

    Raises ConfigError for what is none of these.
    """

    seconds: float
    service: Service = "fixed"
    spread: float = 0.1
    recorded: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.service not in SERVICES:
            raise ConfigError(f"service {self.service!r}: must be one of {', '.join(SERVICES)}")
        if not 0.0 <= self.spread <= 1.0 or not self.seconds >= 0.0:
            raise ConfigError(
                f"seconds per row {self.seconds} with spread {self.spread}: need >= 0 and 0 to 1"
            )
        if self.service == "replayed" and not self.recorded:
            raise ConfigError("service 'replayed' needs recorded seconds per row")

    def draw(self, rows: int, per: Literal["row", "task"], rng: np.random.Generator, drawn: int) -> float:
        """Seconds for the next `rows` rows, drawn row by row or once for all; `drawn`: draws made before."""
        if self.service == "fixed":
            return rows * self.seconds
        if self.service == "replayed":
            return rows * self.recorded[drawn % len(self.recorded)]
        draws = rows if per == "row" else 1
        return rows * self.seconds * self._mean_of(draws, rng)

    def _mean_of(self, draws: int, rng: np.random.Generator) -> float:
        """The mean of so many service times whose own mean is 1."""
        if self.service == "jittered":
            return 1.0 + self.spread * float(rng.uniform(-1.0, 1.0, draws).mean())
        # a sum of exponentials is a gamma variable
        exponential = float(rng.standard_gamma(draws)) / draws
        return exponential if self.service == "exponential" else 1.0 - self.spread + self.spread * exponential


@dataclass(frozen=True, slots=True)
class Link:
    """What a message costs. latency: seconds; bandwidth: bytes per second of each node's own connection."""

    latency: float = 0.0
    bandwidth: float = math.inf

    def message(self, nbytes: int) -> float:
        """Seconds until one message is there."""
        return self.latency + nbytes / self.bandwidth

    def allreduce(self, nbytes: int, members: int) -> float:
        """Segments exchanged, then gathered: twice a node sends (k - 1)/k of the vector."""
        return 2.0 * self._rounds(members) * self.latency + 2.0 * self._others(nbytes, members)

    def allgather(self, nbytes: int, members: int) -> float:
        """Everybody's value to everybody, doubling the parties each step."""
        return self._rounds(members) * self.latency + (members - 1) * nbytes / self.bandwidth

    def broadcast(self, nbytes: int, members: int) -> float:
        """Segments scattered, then gathered."""
        return 2.0 * self._rounds(members) * self.latency + 2.0 * self._others(nbytes, members)

    @staticmethod
    def _rounds(members: int) -> int:
        return math.ceil(math.log2(members)) if members > 1 else 0

    def _others(self, nbytes: int, members: int) -> float:
        return (members - 1) / members * nbytes / self.bandwidth


@dataclass(frozen=True, slots=True)
class Cluster:
    """The nodes of a simulated cluster, one row cost each, and the link between any two of them."""

    nodes: tuple[RowCost, ...]
    link: Link = Link()
