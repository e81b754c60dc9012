"""Step sizes eta_t for t = 1, 2, ..., and what they contract (DESIGN.md, "The mathematics", 2)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import integrate

from wpsgd.errors import ConfigError, nearest
from wpsgd.kernels.compile import kernel

Schedule: TypeAlias = Literal["constant", "optimal", "pegasos", "invscaling", "inverse", "adagrad"]
SCHEDULES: tuple[Schedule, ...] = ("constant", "optimal", "pegasos", "invscaling", "inverse", "adagrad")
_CONSTANT, _OPTIMAL, _PEGASOS, _INVSCALING, _INVERSE = range(5)
BEGIN = 0.125  # eta c s ||x||^2 of the typical row at the first step of "optimal", where alpha allows more
_DIRECT = 4096  # terms added one by one before the rest of a sum is integrated


def _eta(schedule: int, t: float, alpha: float, eta0: float, extra: float) -> float:
    """eta_t. extra: t0 of "optimal", the power of "invscaling"."""
    if schedule == _OPTIMAL:
        return 1.0 / (alpha * (extra + t - 1.0))
    if schedule == _PEGASOS:
        return 1.0 / (alpha * t)
    if schedule == _INVSCALING:
        return float(eta0 / t**extra)
    if schedule == _INVERSE:
        return eta0 / (1.0 + alpha * eta0 * t)
    return eta0


eta_at = kernel(_eta)  # for other kernels, which compute a step size in the shadow of a row's cache misses


@kernel
def _fill(out: Any, done: int, schedule: int, alpha: float, eta0: float, extra: float) -> None:
    """Writes the step sizes after the first `done`: NumPy's powers may differ from these in the last bit."""
    for k in range(out.size):
        out[k] = eta_at(schedule, float(done + k + 1), alpha, eta0, extra)


class Formula(NamedTuple):
    """A schedule in numbers. extra: t0 of "optimal", the power of "invscaling"."""

    schedule: int
    alpha: float
    eta0: float
    extra: float


@dataclass(frozen=True, slots=True)
class StepSize:
    """A schedule of step sizes.

    alpha: L2 strength lambda, > 0; eta0: of all but "optimal" and "pegasos"; power: of "invscaling"
    steepness: c s ||x||^2 of the typical row under a smooth loss, by which "optimal" begins; 0 for none
    Raises ConfigError where eta lambda exceeds 1, or equals 1 at every step of a constant schedule: such
    steps do not contract. "optimal", "pegasos" and "inverse" never exceed it; "adagrad" clips its decay at 0.
    """

    schedule: Schedule
    alpha: float
    eta0: float = 1.0
    power: float = 0.5
    steepness: float = 0.0

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            hint = nearest(self.schedule, SCHEDULES)
            raise ConfigError(f"learning_rate {self.schedule!r}: must be one of {', '.join(SCHEDULES)}{hint}")
        if not (self.alpha > 0.0 and math.isfinite(self.alpha)):
            raise ConfigError(f"alpha = {self.alpha}: must be a positive number")
        if not (self.eta0 > 0.0 and math.isfinite(self.eta0)):
            raise ConfigError(f"eta0 = {self.eta0}: must be a positive number")
        if not (self.power >= 0.0 and math.isfinite(self.power)):
            raise ConfigError(f"power = {self.power}: must be a number >= 0")
        if not (self.steepness >= 0.0 and math.isfinite(self.steepness)):
            raise ConfigError(f"steepness = {self.steepness}: must be a number >= 0")
        schedule, *numbers = self.formula
        first = _eta(schedule, 1.0, *numbers) * self.alpha
        if first > 1.0 + 1e-12 and self.schedule != "adagrad":
            raise ConfigError(
                f"eta lambda = {first:.6g} at the first step of {self.schedule!r}: must not exceed 1;"
                " lower eta0 or alpha"
            )
        steady = self.schedule == "constant" or (self.schedule == "invscaling" and self.power == 0.0)
        if steady and first >= 1.0:
            raise ConfigError(
                "eta lambda = 1 with a constant step wipes the weights at every row: lower eta0 or alpha"
            )

    @property
    def t0(self) -> float:
        """Bottou's offset of the "optimal" schedule, as scikit-learn's SGDClassifier chooses it, or larger.

        From alpha = 1 on it is 1, the schedule is "pegasos", and the first step wipes the weights. Under a
        smooth loss the first step is at most an eighth of what takes the typical row to its rest.
        """
        typical_weight = math.sqrt(1.0 / math.sqrt(self.alpha))
        bottou = 1.0 / (typical_weight * self.alpha)
        return max(1.0, bottou, self.steepness / (BEGIN * self.alpha))

    @property
    def advice(self) -> str:
        """What makes the steps smaller: a key that the schedule reads."""
        if self.schedule in ("optimal", "pegasos"):
            return (
                f"raise alpha (now {self.alpha:g}), or take learning_rate 'invscaling' with a small eta0"
                f" ({self.schedule!r} has none)"
            )
        return f"lower eta0 (now {self.eta0:g}, learning_rate {self.schedule!r})"

    @property
    def formula(self) -> Formula:
        """What `eta_at` takes beside t."""
        extra = self.t0 if self.schedule == "optimal" else self.power
        return Formula(SCHEDULES.index(self.schedule), self.alpha, self.eta0, extra)

    def etas(self, done: int, rows: int) -> NDArray[np.float64]:
        """Step sizes of the `rows` steps after the first `done`, float64 of shape (rows,)."""
        sizes = np.empty(rows)
        _fill(sizes, done, *self.formula)
        return sizes

    def log_contraction(self, done: int, until: int) -> float:
        """Sum of log(1 - eta_s lambda) over the steps s = done + 1 .. until; -inf where one wipes.

        Closed forms where the product telescopes: never a difference of two
        cumulative sums. Raises ConfigError for "adagrad", which has no scalar contraction.
        """
        delay = until - done
        if delay <= 0:
            return 0.0
        if self.schedule == "adagrad":
            raise ConfigError(
                "adagrad contracts each coordinate at its own rate: the rule 'wp' needs another learning_rate"
            )
        if self.schedule == "constant":
            eta_lambda = self.eta0 * self.alpha
            return delay * math.log1p(-eta_lambda) if eta_lambda < 1.0 else -math.inf
        if self.schedule == "invscaling":
            return self._log_contraction_of_invscaling(done, until)
        first = {
            "optimal": self.t0 + done - 1.0,
            "pegasos": float(done),
            "inverse": 1.0 / (self.alpha * self.eta0) + done,
        }[self.schedule]
        # log(first / (first + delay)): log1p(-delay / (first + delay)) would cancel where the delay is long
        return -math.log1p(delay / first) if first > 0.0 else -math.inf

    def _log_contraction_of_invscaling(self, done: int, until: int) -> float:
        # term by term where the terms change fast, then Euler and Maclaurin's formula
        def term(s: float) -> float:
            x = self.eta0 * self.alpha * s**-self.power
            return math.log1p(-x) if x < 1.0 else -math.inf

        direct = min(until, max(done, _DIRECT))
        head = math.fsum(map(term, range(done + 1, direct + 1)))
        return head + _euler_maclaurin(term, direct + 1, until) if direct < until else head


def _euler_maclaurin(term: Callable[[float], float], first: int, last: int) -> float:
    """Sum of a smooth term over first..last by its integral, its ends and its slopes."""
    # integrated over log s: the range spans many decades
    integral, _ = integrate.quad(
        lambda u: term(math.exp(u)) * math.exp(u),
        math.log(first),
        math.log(last),
        epsabs=0.0,
        epsrel=1e-13,
        limit=200,
    )
    slopes = [(term(s + 0.5) - term(s - 0.5)) for s in (first, last)]
    return integral + (term(first) + term(last)) / 2.0 + (slopes[1] - slopes[0]) / 12.0
