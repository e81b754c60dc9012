"""F of combinations of models, known from the models' margins on a sample and their inner products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wpsgd.reducers.facts import Combination, Weights
from wpsgd.sample import Sample


@dataclass(frozen=True, slots=True, eq=False)
class SampledModels:
    """The models of k nodes on a sample of m rows.

    margins: float64 of shape (k, m); gram: <w_i, w_j>, float64 of shape (k, k), without intercepts
    """

    sample: Sample
    margins: NDArray[np.float64]
    gram: NDArray[np.float64]

    def objective(self, omega: Weights) -> float:
        """F(sum_i omega_i w_i) on the sample.

        Margins are linear in the model, its square is omega' gram omega. The weights add up to 1, or
        intercepts would not be averaged.
        """
        # einsum, not a BLAS: the threads that one wakes would spin beside ranks that work
        square = float(np.einsum("i,ij,j->", omega, self.gram, omega))
        return self.sample.objective(np.einsum("i,ij->j", omega, self.margins), square)


def preferred(candidates: Sequence[Combination], values: Sequence[float]) -> Combination:
    """The candidate with the smallest F, the first of equals; that of theory where F is finite for none."""
    finite = [number for number, value in enumerate(values) if np.isfinite(value)]
    if not finite:
        return next((candidate for candidate in candidates if candidate.power == 1.0), candidates[0])
    return candidates[min(finite, key=values.__getitem__)]
