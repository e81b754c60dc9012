"""A model as scikit-learn's own classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import Normalizer

from wpsgd.export.model import Model


def to_sklearn(model: Model, parameters: Mapping[str, Any], **fitted: Any) -> SGDClassifier | Pipeline:
    """A fitted SGDClassifier with the same weights; behind a Normalizer where rows are scaled to unit length.

    parameters: of SGDClassifier; fitted: further attributes
    """
    model = model.ascending()
    twin = SGDClassifier(loss=model.loss, alpha=model.alpha, **parameters)
    twin.coef_, twin.intercept_ = np.array(model.coef), np.array(model.intercepts)
    twin.classes_, twin.t_ = np.array(model.outcomes), 1.0
    twin.n_features_in_ = model.features
    for name, value in {"n_iter_": 1, **fitted}.items():
        setattr(twin, name, value)
    if not model.unit_norm:
        return twin
    # it keeps nothing of what it was fitted to, but for the names and the number of features
    scaler = Normalizer()
    scaler.n_features_in_ = model.features
    if "feature_names_in_" in fitted:
        scaler.feature_names_in_ = fitted["feature_names_in_"]
    return Pipeline([("scale", scaler), ("classify", twin)])
