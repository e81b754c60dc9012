"""Rows that ranks send: all to the first one, which then fits as one process, or a few to everybody."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any, cast

import numpy as np
from scipy import sparse

from wpsgd.data.rows import Rows
from wpsgd.estimator.inputs import Inputs
from wpsgd.estimator.joining import Whole
from wpsgd.runtimes.job import Runtime
from wpsgd.sample import SIZE, draw


def to_first(runtime: Runtime, inputs: Inputs, whole: Whole) -> Inputs | None:
    """The rows of all ranks, in rank order, on the first rank; None on the others.

    They travel as arrays. An entry takes 12 bytes there (8 of float32), beside this rank's own rows.
    """
    rows = inputs.rows(whole.features, None).astype(whole.dtype)
    entries = slice(int(rows.indptr[0]), int(rows.indptr[-1]))
    numbers = np.searchsorted(whole.classes, inputs.targets.astype(whole.classes.dtype))
    parts: list[Any] = [np.diff(rows.indptr), rows.indices[entries], rows.values[entries], numbers]
    if any(runtime.gathered(lambda: inputs.weights is not None)):
        parts.append(np.ones(len(inputs)) if inputs.weights is None else inputs.weights)
    collected = [runtime.collected(part) for part in parts]
    if runtime.rank > 0:
        return None
    lengths, indices, values, classes, *weights = cast(list[Any], collected)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    matrix: Any = sparse.csr_array((values, indices, indptr), shape=(len(lengths), whole.features))
    return Inputs(matrix, whole.classes[classes], *(weights or [None]))


def common_sample(runtime: Runtime, mine: Rows, counts: Sequence[int], seed: int) -> Rows:
    """About SIZE of the rows of all ranks, the same on each: of every rank as many as are its due.

    mine: of this rank; counts: rows of each rank
    """
    due = ceil(SIZE * len(mine) / sum(counts))
    drawn = draw(mine, seed, due)
    parts = runtime.gathered(lambda: (drawn.to_scipy(), drawn.labels, drawn.weights))
    weights = [np.ones(len(labels)) if own is None else own for _, labels, own in parts]
    weighted = any(own is not None for _, _, own in parts)
    matrix = sparse.vstack([matrix for matrix, _, _ in parts], format="csr")
    labels = np.concatenate([labels for _, labels, _ in parts])
    return Rows.from_scipy(matrix, labels, np.concatenate(weights) if weighted else None)
