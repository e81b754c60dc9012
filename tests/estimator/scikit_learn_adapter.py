"""WPSGDClassifier with the parameters of SGDClassifier and of LinearSVC."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import sklearn.linear_model
from sklearn.utils.class_weight import compute_sample_weight

from wpsgd import WPSGDClassifier


class Adapter(WPSGDClassifier):
    """Takes the parameters of a peer too, those without a counterpart to no effect."""

    own: ClassVar[dict[str, Any]] = {}

    def __init__(self, loss: str = "hinge", **keys: Any) -> None:
        ours = WPSGDClassifier._get_param_names()
        super().__init__(loss, **{"n_workers": 1, **{name: keys[name] for name in ours if name in keys}})
        vars(self).update({name: keys.get(name, default) for name, default in self.own.items()})

    @classmethod
    def _get_param_names(cls) -> list[str]:
        return sorted([*WPSGDClassifier._get_param_names(), *cls.own])


class SGDClassifier(Adapter):
    own: ClassVar[dict[str, Any]] = {"l1_ratio": 0.15, "epsilon": 0.1}
    loss_functions = sklearn.linear_model.SGDClassifier.loss_functions

    def __init__(self, loss: str = "hinge", **keys: Any) -> None:
        super().__init__(loss, **{"solver": "sgd", **keys})


class LinearSVC(Adapter):
    own: ClassVar[dict[str, Any]] = {"C": 1.0, "dual": "auto", "multi_class": "ovr"}

    def __init__(self, penalty: str = "l2", loss: str = "squared_hinge", **keys: Any) -> None:
        super().__init__(loss, **{"penalty": penalty, "tol": 1e-4, **keys})

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> LinearSVC:
        given = 1.0 if sample_weight is None else np.asarray(sample_weight)
        total = np.sum(compute_sample_weight(self.class_weight, y) * given)
        return super(LinearSVC, self.set_params(alpha=1.0 / (self.C * total))).fit(X, y, sample_weight)
