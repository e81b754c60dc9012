"""Decision values of many models, without copies of the models."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def decision_values(X: Any, coef: Any, intercept: NDArray[Any]) -> NDArray[Any]:
    """<w_k, x_i> + intercept_k, of shape (n, models); beside the result it takes twice its memory at most.

    X: CSR or dense, (n, features); coef: dense or sparse, (models, features); intercept: (models,)
    """
    if hasattr(coef, "toarray"):
        product = X @ coef.T
        scores = np.asarray(product.toarray() if hasattr(product, "toarray") else product)
    elif not hasattr(X, "nnz"):
        scores = np.asarray(X @ coef.T)
    else:
        models, features = coef.shape
        scores = np.empty((X.shape[0], models), dtype=np.result_type(X.dtype, coef.dtype))
        # a product with several vectors wants them feature by feature, that is, copied
        together = max(1, min(models, scores.size // max(1, features)))
        for first in range(0, models, together):
            part = coef[first : first + together]
            vectors = np.ascontiguousarray(part.T) if len(part) > 1 else part[0][:, None]
            scores[:, first : first + together] = X @ vectors
    scores += intercept
    return scores
