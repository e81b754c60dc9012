"""The dual of few rows to machine precision: an interior point, then the system of its active set.

Mehrotra's predictor and corrector (Mehrotra 1992) on min 1/2 b'Kb - b'1 with 0 <= b <= u, where
b_i = s_i alpha_i / (lambda S), u_i = s_i / (lambda S) for the hinge and infinite for the squared hinge,
K = Z Z' + diag(h), Z the rows times their labels and h_i = lambda S / (2 s_i) for the squared hinge, else 0.
Then w = Z'b (DESIGN.md, "The mathematics", 5). Coordinate ascent would need a number of passes that grows
with the condition of the rows; this needs some 25 factorisations of size min(rows, features) in any case.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from wpsgd.data.rows import Rows
from wpsgd.dual_solver import check_problem, total_weight
from wpsgd.estimator.costs import MOST_ROWS

Floats = NDArray[np.float64]
STEPS = 100
PRECISE = 1e-15  # gap, relative to the sum of b
CLOSE = 1e-8  # the gap that is worth another try, relative to the sum of b
PATIENCE = 12  # steps without a smaller gap: rounding has the last word
STAY_INSIDE = 0.995  # of the way to the next bound
REFINEMENTS = 2
RANK = 1e-14  # singular values below this, relative to the largest, are none
SPARSE = 0.05  # share of entries up to which products of sparse rows are the cheaper
AT_BOUND = 1e-7  # of the distance between the bounds


@dataclass(frozen=True, slots=True, eq=False)
class ExactResult:
    """weights: float64 of shape (features,); dual: alpha, float64 of shape (n,); steps: factorisations.

    gap: F(w) minus the dual objective
    """

    weights: Floats
    dual: Floats
    steps: int
    gap: float


def solve_exactly(
    rows: Rows,
    loss: str = "hinge",
    alpha: float = 1e-4,
    *,
    most_steps: int = STEPS,
    halted: Callable[[], bool] = lambda: False,
) -> ExactResult:
    """The linear SVM without intercept to machine precision, in O(n d^2) where rows outnumber features.

    most_steps: factorisations, after which or where `halted` says so the best point so far is given
    Rows of weight 0 must be left out. Best called with one BLAS thread. Raises ConfigError, DataError.
    """
    check_problem(loss, alpha)
    total = total_weight(rows)
    shares = np.ones(len(rows)) if rows.weights is None else rows.weights.astype(np.float64)
    c = shares / (alpha * total)
    problem = _Problem.of(rows, c, squared=loss == "squared_hinge")
    # a system that rounding has made of no use gives numbers out of range, and a gap that says so
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        b, steps = _solved(problem, min(most_steps, STEPS), halted)
        lost = problem.gram is None and problem.gap(b) > CLOSE * float(b.sum())
        if lost and len(rows) < MOST_ROWS and steps < most_steps and not halted():
            # the system of the features lost digits that the larger one, of the rows, keeps
            larger = replace(problem, gram=problem.z @ problem.z.T)
            other, more = _solved(larger, min(most_steps - steps, STEPS), halted)
            b, steps = other if problem.gap(other) < problem.gap(b) else b, steps + more
        dual, gap = np.minimum(b / c, problem.u / c), alpha * problem.gap(b)
        return ExactResult(problem.weights(b), dual, steps, gap)


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """z: rows times labels, float64 (n, columns in use), CSR where only Z Z' needs it and entries are few.

    h, u: float64 (n,); whole: b to weights
    """

    z: Any
    h: Floats
    u: Floats
    whole: Callable[[Floats], Floats]
    gram: Floats | None  # Z Z', where that is the smaller system

    @classmethod
    def of(cls, rows: Rows, c: Floats, *, squared: bool) -> _Problem:
        labels = rows.labels.astype(np.float64)
        matrix = rows.to_scipy().astype(np.float64)
        used = np.unique(matrix.indices)  # columns of zeros have no say
        z: Any = matrix[:, used].multiply(labels[:, None]).tocsr()
        wide = z.shape[0] <= z.shape[1]
        if not wide or z.nnz > SPARSE * z.shape[0] * z.shape[1]:
            z = z.toarray()

        def whole(b: Floats) -> Floats:
            weights = np.zeros(rows.features)
            weights[used] = z.T @ b
            return weights

        h = 0.5 / c if squared else np.zeros(len(c))
        gram = None
        if wide:
            gram = np.asarray(z @ z.T) if isinstance(z, np.ndarray) else (z @ z.T).toarray()
        return cls(z, h, np.full(len(c), np.inf) if squared else c, whole, gram)

    def weights(self, b: Floats) -> Floats:
        return self.whole(b)

    def slope(self, b: Floats) -> Floats:
        """1 - Kb, what each variable could still gain."""
        return np.asarray(1.0 - self.pulled(b) - self.h * b)

    def pulled(self, b: Floats) -> Floats:
        """Z Z' b, by the smaller of both."""
        if self.gram is not None and self.z.shape[0] <= self.z.shape[1]:
            return np.asarray(self.gram @ b)
        return np.asarray(self.z @ (self.z.T @ b))

    def gap(self, b: Floats) -> float:
        """(F(w) - D(alpha)) / lambda at w = Z'b, for 0 <= b <= u."""
        short = 1.0 - self.pulled(b)
        boxed = np.isfinite(self.u)
        loss = np.maximum(short, 0.0)
        c = np.where(boxed, self.u, 0.5 / np.where(boxed, 1.0, self.h))
        return float((c * np.where(boxed, loss, loss * loss) - b * short + 0.5 * self.h * b * b).sum())

    def system(self, d: Floats) -> Callable[[Floats], Floats]:
        """Solves (Z Z' + diag(d)) x = r."""
        if self.gram is not None:
            factor = _factored(self.gram + np.diag(d))
            return lambda r: _back_substituted(factor, r)
        scaled = self.z / d[:, None]
        small = self.z.T @ scaled
        small[np.diag_indices(len(small))] += 1.0
        factor = _factored(small)

        def once(r: Floats) -> Floats:
            inner = _back_substituted(factor, scaled.T @ r)
            return np.asarray((r - self.z @ inner) / d)

        def solve(r: Floats) -> Floats:
            x = once(r)
            for _ in range(REFINEMENTS):  # digits cancel where d is small
                x = x + once(r - self.z @ (self.z.T @ x) - d * x)
            return x

        return solve


# what linalg.cho_factor and cho_solve come down to, which take longer to ask what they were given
def _factored(matrix: Floats) -> Floats:
    """The Cholesky factor. Raises LinAlgError where rounding left no positive definite matrix."""
    factor, info = linalg.lapack.dpotrf(matrix, lower=0, clean=0, overwrite_a=1)
    if info:
        raise linalg.LinAlgError
    return np.asarray(factor)


def _back_substituted(factor: Floats, r: Floats) -> Floats:
    x, _ = linalg.lapack.dpotrs(factor, r, lower=0)
    return np.asarray(x)


def _solved(problem: _Problem, most: int, halted: Callable[[], bool]) -> tuple[Floats, int]:
    b, steps = _interior(problem, most, halted)
    return _on_active_set(problem, b), steps


def _interior(problem: _Problem, most: int, halted: Callable[[], bool]) -> tuple[Floats, int]:
    n, boxed = len(problem.h), np.isfinite(problem.u)
    b = np.where(boxed, problem.u / 2.0, 1.0 / (1.0 + problem.h))
    room = np.where(boxed, problem.u - b, 1.0)
    low, high = np.ones(n), np.where(boxed, 1.0, 0.0)  # multipliers of b >= 0 and of b <= u
    pairs = n + int(boxed.sum())
    best, least, since = b, np.inf, 0
    for step in range(1, most + 1):
        slope = problem.slope(b)
        residual = slope + low - high
        mu = float(b @ low + room @ high) / pairs
        gap = problem.gap(b)
        if gap < least:
            best, least, since = b, gap, step
        if gap <= PRECISE * float(b.sum()) or step - since > PATIENCE or halted():
            return best, step
        try:
            solve = problem.system(problem.h + low / b + high / room)
        except linalg.LinAlgError:
            return best, step
        direction = _direction(solve, b, room, low, high, residual, (0.0 * b, 0.0 * b))
        along = _lengths(b, room, low, high, direction)
        guessed = _complementarity(b, room, low, high, direction, along) / pairs
        centre = mu * (guessed / mu) ** 3
        db, dlow, dhigh = direction
        targets = (centre - db * dlow, np.where(boxed, centre + db * dhigh, 0.0))
        direction = _direction(solve, b, room, low, high, residual, targets)
        primal, dual = (min(1.0, STAY_INSIDE * length) for length in _lengths(b, room, low, high, direction))
        db, dlow, dhigh = direction
        one = min(primal, dual)  # a quadratic objective ties both: two lengths would undo the residual
        b, low, high = b + one * db, low + one * dlow, high + one * dhigh
        room = np.where(boxed, room - one * db, 1.0)
    return best, most


def _direction(
    solve: Callable[[Floats], Floats],
    b: Floats,
    room: Floats,
    low: Floats,
    high: Floats,
    residual: Floats,
    targets: tuple[Floats, Floats],
) -> tuple[Floats, Floats, Floats]:
    below, above = targets
    db = solve(residual + (below / b - low) - (above / room - high))
    return db, below / b - low - low / b * db, above / room - high + high / room * db


def _lengths(
    b: Floats, room: Floats, low: Floats, high: Floats, direction: tuple[Floats, Floats, Floats]
) -> tuple[float, float]:
    """How far primal and dual variables can go along a direction before one is 0."""
    db, dlow, dhigh = direction
    return (
        min(_way(b, db), _way(room, np.where(high > 0.0, -db, 0.0))),
        min(_way(low, dlow), _way(high, dhigh)),
    )


def _way(x: Floats, dx: Floats) -> float:
    falling = dx < 0.0
    return float(np.min(-x[falling] / dx[falling], initial=1e300))


def _complementarity(
    b: Floats,
    room: Floats,
    low: Floats,
    high: Floats,
    direction: tuple[Floats, Floats, Floats],
    lengths: tuple[float, float],
) -> float:
    db, dlow, dhigh = direction
    one = min(1.0, *lengths)
    after = (b + one * db) @ (low + one * dlow)
    return max(float(after + (room - one * db) @ (high + one * dhigh)), 0.0)


def _on_active_set(problem: _Problem, b: Floats) -> Floats:
    """The point whose variables at a bound are exactly there, where it is no worse than the interior one."""
    span = np.where(np.isfinite(problem.u), problem.u, np.max(b, initial=1.0))
    top = np.isfinite(problem.u) & (problem.u - b <= AT_BOUND * span)
    free = ~top & (b > AT_BOUND * span)
    snapped = np.where(top, problem.u, 0.0)
    if free.any():
        snapped[free] = _unbound(problem, free, 1.0 - problem.pulled(snapped)[free])
    inside = np.clip(snapped, 0.0, problem.u)
    if float(np.abs(inside - snapped).max()) > AT_BOUND * float(span.max()):
        return b
    return inside if problem.gap(inside) <= problem.gap(b) + PRECISE * float(b.sum()) else b


def _unbound(problem: _Problem, free: NDArray[np.bool_], rest: Floats) -> Floats:
    """The x with (Z Z' + diag(h)) x = rest on the free variables."""
    h = problem.h[free]
    if problem.gram is not None:
        whole = problem.gram[np.ix_(free, free)] + np.diag(h)
        return np.asarray(linalg.lstsq(whole, rest, cond=RANK, check_finite=False)[0])
    z = problem.z[free]
    if not h.any():
        # w comes first, from Z itself: forming Z Z' would square its condition
        change = linalg.lstsq(z, rest, cond=RANK, check_finite=False)[0]
        return np.asarray(linalg.lstsq(z.T, change, cond=RANK, check_finite=False)[0])
    # w is what minimises ||(rest - Z w) / sqrt(h)||^2 + ||w||^2, and x = (rest - Z w) / h
    root = np.sqrt(h)
    stacked = np.vstack([z / root[:, None], np.eye(z.shape[1])])
    target = np.concatenate([rest / root, np.zeros(z.shape[1])])
    w = linalg.lstsq(stacked, target, cond=RANK, check_finite=False, lapack_driver="gelsy")[0]
    return np.asarray((rest - z @ w) / h)
