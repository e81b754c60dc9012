"""Newton's method for the hinge, its kink rounded off by parabolas that get narrower: tables of few columns.

At the optimum of the rounded hinge the duals are feasible for the hinge itself, and the gap between both is
mean_i(max(0, z_i) - alpha_i z_i), z_i = 1 - m_i: at most width / 16, and about density x width^2 / 24 where
margins have a density at 1. A gap of 1e-3 needs a width of 0.2 or so, at which Newton's method takes a few
steps (Chapelle 2007). What width that is, and where to begin, a sample of the rows tells for little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import floor

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import Rows
from wpsgd.estimator.judging import Found, judged
from wpsgd.estimator.newton import minimise

WIDEST = 4.0  # at w = 0 all margins are 0: within the parabola there are second derivatives to begin with
NARROWEST = 1e-6
LEAST, MOST = 0.1, 0.7  # times the width, at once
AIM = 0.6  # share of the goal that is aimed at with a width
INEXACT = 0.2  # times the gap that comes of the width: what Newton's method may leave
MOST_STEPS = 8  # at one width
HARD_STEPS = 5  # at one width: where more are needed, rows lie so near the kink that passes are cheaper
SAMPLE, PER_COLUMN, WORTH = 10, 100, 4  # one row of so many, rows per column at least, share at most
SAMPLE_GOAL = 1e-3  # below which a sample says little about the other rows


@dataclass(slots=True, eq=False)
class _Place:
    """weights: to begin with; width: of the parabola; left: the gap expected of it"""

    weights: NDArray[np.floating]
    width: float = WIDEST
    left: float = 1.0


def rounded(
    rows: Rows,
    alpha: float,
    *,
    goal: float,
    seed: int,
    most_steps: float,
    halted: Callable[[], bool] = lambda: False,
) -> Iterator[Found]:
    """Models of the hinge at narrower and narrower widths, each with its duals, until one's gap is `goal`.

    `epochs` of each: Newton steps so far, those on a sample by its share. Ends without having met the goal
    where steps stop being few, or halted. Rows of weight 0 must be left out.
    """
    place, spent = _Place(np.zeros(rows.features)), 0.0
    sample = _sampled(rows, seed) if most_steps >= MOST_STEPS else None
    if sample is not None:
        share = len(sample) / len(rows)
        least, most = max(goal, SAMPLE_GOAL), 0.5 * most_steps / share
        for found in _narrowing(sample, alpha, least, place, most, halted):
            spent = share * found.epochs
        if halted():
            return
    for found in _narrowing(rows, alpha, goal, place, most_steps - spent, halted):
        yield found._replace(epochs=spent + found.epochs)


def _sampled(rows: Rows, seed: int) -> Rows | None:
    """Rows at random, or None where they would be too many to be worth it."""
    size = max(len(rows) // SAMPLE, PER_COLUMN * rows.features)
    if WORTH * size > len(rows):
        return None
    numbers = np.random.default_rng(seed).choice(len(rows), size, replace=False)
    return rows.held(np.sort(numbers))


def _narrowing(
    rows: Rows, alpha: float, goal: float, place: _Place, most_steps: float, halted: Callable[[], bool]
) -> Iterator[Found]:
    """The models of one width after another, from `place` on, which they move."""
    spent = 0
    while place.width >= NARROWEST and (spent == 0 or spent + 1 <= most_steps):
        result = minimise(
            rows,
            "hinge",
            alpha,
            goal=INEXACT * max(goal, place.left),
            most_steps=max(1, floor(min(most_steps - spent, MOST_STEPS))),
            start=place.weights,
            halted=halted,
            width=place.width,
        )
        spent += result.steps
        found = judged(rows, "hinge", alpha, result.weights, result.dual, float(spent), [])
        place.weights = result.weights
        yield found
        gap = found.objective - found.bound
        if gap <= goal or result.steps > HARD_STEPS or halted():
            return
        of_width = gap - result.gap
        if of_width > MOST * goal:
            factor = max(LEAST, min(MOST, (AIM * goal / of_width) ** 0.5))
            place.width, place.left = factor * place.width, factor**2 * of_width
        elif place.left > goal:
            place.left = goal
        else:
            return
