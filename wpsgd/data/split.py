"""Test rows set aside: of each class its share, chosen by a seed.

A class of two rows or more has one on either side at least; a class of one row is trained on.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def stratified(labels: NDArray[Any], share: float, seed: int) -> Mask:
    """Which rows are test rows: those of each class that come first in a random order of all rows."""
    return _first_of_each(labels, np.random.default_rng(seed).permutation(len(labels)), share)


def last_of_each(labels: NDArray[Any], share: float) -> Mask:
    """The same for rows that lie in a random order: those of each class that come last."""
    return _first_of_each(labels, np.arange(len(labels))[::-1], share)


def quotas(counts: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Test rows of each class: the share of all rows, dealt out by largest remainder.

    counts: rows of each class, at least 1, (classes,)
    """
    total, exact = round(int(counts.sum()) * share), counts * share
    found = np.floor(exact).astype(np.int64)
    by_remainder = np.argsort(found - exact, kind="stable")
    found[by_remainder[: max(0, total - int(found.sum()))]] += 1
    clipped: NDArray[np.int64] = np.clip(found, np.minimum(1, counts - 1), counts - 1)
    return clipped


def are_stratified(labels: NDArray[Any], test: slice, share: float) -> bool:
    """Whether the rows of a slice, as test rows, are within one row of each class's quota."""
    classes, numbers = np.unique(labels, return_inverse=True)
    counts = np.bincount(numbers, minlength=len(classes))
    found = np.bincount(numbers[test], minlength=len(classes))
    present = (found >= np.minimum(1, counts - 1)) & (found < counts)
    return bool((present & (np.abs(found - quotas(counts, share)) <= 1)).all())


def spread_evenly(numbers: NDArray[Any], seed: int) -> NDArray[np.int64]:
    """A random order of rows in which any stretch holds about its share of each class.

    The k-th of a class's m rows, in a random order, lies at a random place in the k-th of m equal parts.
    numbers: of the rows' classes, from 0, (n,)
    """
    rng, counts = np.random.default_rng(seed), np.bincount(numbers)
    order = rng.permutation(len(numbers))
    order = order[np.argsort(numbers[order], kind="stable")]  # class by class
    places = np.arange(len(numbers)) - np.repeat(np.cumsum(counts) - counts, counts)
    keys = (places + rng.random(len(numbers))) / np.repeat(counts, counts)
    return order[np.argsort(keys, kind="stable")]


def _first_of_each(labels: NDArray[Any], order: NDArray[np.int64], share: float) -> Mask:
    chosen, ordered = np.zeros(len(labels), dtype=bool), labels[order]
    classes, counts = np.unique(labels, return_counts=True)
    for label, count in zip(classes, quotas(counts, share), strict=True):
        chosen[order[np.flatnonzero(ordered == label)[:count]]] = True
    return chosen
