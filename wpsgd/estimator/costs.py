"""What solvers cost on rows of given size, foreseen in seconds of one processor: to choose between them.

The constants were measured on one core of an AMD EPYC (AVX-512) with Numba 0.68 and OpenBLAS 0.3.30, medians
of processor times; only their ratios matter. Each is named by what it is multiplied with.
"""

from __future__ import annotations

from math import inf

from wpsgd.data.rows import Rows

# a pass of dual ascent over dense rows of 6 to 200 columns and sparse ones of 50 entries
PASS_ROW, PASS_ENTRY = 25e-9, 1.8e-9
# the Hessian times a vector, a row read once (20,000 x 200: 0.8, 300,000 x 6: 2.7)
CURVED_ROW, CURVED_ENTRY = 10e-9, 0.9e-9
# a matrix of features x features summed up over dense blocks of rows, by rows x features^2 (20,000 x 200)
SYRK_ENTRY, SYRK = 1.0e-9, 0.028e-9
OUTER = 0.25e-9  # the same row by row, by the squares of their entries
CHOLESKY = 0.02e-9  # by features^3 (200: 0.017, 1000: 0.010)
# a step of the interior point, where features are fewer than rows: some sixty sweeps over vectors of rows
INTERIOR_STEPS = 30
INTERIOR_ROW, INTERIOR_ENTRY, INTERIOR_CALLS = 200e-9, 8e-9, 0.3e-3

# of Newton's method: steps, and products of each beside a factorisation; with conjugate gradients alone
NEWTON_STEPS, NEWTON_PRODUCTS, GRADIENT_PRODUCTS = 8, 4, 150

CHEAP_STEP = 10  # products that a factorisation may cost, for the last steps to cost little
PRECISE, FINE = 1e-14, 1e-10  # gaps of few rows, and of tables whose last steps cost little

WIDEST = 4000  # features up to which there may be a whole matrix of them: 128 MB
MOST_ENTRIES = 20_000_000  # of rows that are made dense, 160 MB a copy
MOST_ROWS = 1000  # below so many rows a dense factorisation costs little


def newton_goal(rows: Rows, goal: float) -> float:
    """The gap that Newton's method is to reach: where its last step costs little, it is gone on with."""
    if len(rows) < MOST_ROWS:
        return min(goal, PRECISE)
    return min(goal, FINE) if steps_are_cheap(rows) else goal


def steps_are_cheap(rows: Rows) -> bool:
    """Whether Newton steps of these rows cost a few passes: tables of few hundred columns at most."""
    return factorisation(rows) <= CHEAP_STEP * product(rows)


def one_pass(rows: Rows) -> float:
    """Seconds of a pass of dual ascent."""
    return PASS_ROW * len(rows) + PASS_ENTRY * rows.nonzeros


def product(rows: Rows) -> float:
    """Seconds of a product of the Hessian with a vector."""
    return CURVED_ROW * len(rows) + CURVED_ENTRY * rows.nonzeros


def row_by_row(rows: Rows) -> bool:
    """Whether rows have so few entries that their squares are summed up sooner one by one."""
    return OUTER * rows.nonzeros**2 < SYRK * len(rows) ** 2 * rows.features**2


def factorisation(rows: Rows) -> float:
    """Seconds to sum up and factor the Hessian; inf where it would be too large."""
    n, d = len(rows), rows.features
    if d > WIDEST:
        return inf
    outer = OUTER * rows.nonzeros**2 / max(1, n)
    return min(outer, n * d * (SYRK_ENTRY + SYRK * d)) + CHOLESKY * d**3


def interior(rows: Rows) -> float:
    """Seconds of an interior point on the dual of the hinge; inf where dense rows would be too many.

    It holds three dense copies of the rows, and a matrix of min(rows, features)^2.
    """
    n, d = len(rows), min(rows.features, rows.nonzeros)
    small = min(n, d)
    if n * d > MOST_ENTRIES or small > WIDEST:
        return inf
    step = INTERIOR_CALLS + INTERIOR_ROW * n + INTERIOR_ENTRY * n * d + CHOLESKY * small**3
    return INTERIOR_STEPS * (step + (SYRK * n * d**2 if d < n else 0.0)) + SYRK * n * n * d * (n <= d)


def newton(rows: Rows) -> float:
    """Seconds of Newton's method, by factorisations or by conjugate gradients."""
    each = product(rows)
    return min(
        NEWTON_STEPS * (factorisation(rows) + NEWTON_PRODUCTS * each),
        (GRADIENT_PRODUCTS + NEWTON_STEPS) * each,
    )
