"""A pass that computes dot products and nothing else: what reading rows and weights costs at least."""

from __future__ import annotations

from typing import Any

from wpsgd.kernels.compile import kernel
from wpsgd.kernels.sparse import dot, dot_asking


@kernel
def dot_pass(w: Any, indptr: Any, indices: Any, values: Any, order: Any, ahead: int) -> float:
    """The sum of <w, x_i> over the rows `order`, which are asked for as `sgd_pass` does."""
    total = 0.0
    for k in range(order.size):
        i = order[k]
        if ahead > 0 and k + ahead < order.size:
            coming = order[k + ahead]
            total += dot_asking(
                w, indices, values, indptr[i], indptr[i + 1], indptr[coming], indptr[coming + 1]
            )
        else:
            total += dot(w, indices, values, indptr[i], indptr[i + 1])
    return total
