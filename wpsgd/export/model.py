"""A trained linear model, whoever trained it: weights, the classes they tell apart, what else is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wpsgd.data.rows import FloatArray
from wpsgd.errors import DataError

SHOWN = 5  # labels that a message names
SIGNS = np.array([-1, 1])


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A linear classifier. Of two classes, number 1 where <weights, x> + intercept > 0, else number 0; of K
    classes, the first one with the largest value.

    weights: float of shape (features,) for two classes, else (K, features); intercept: a number, else (K,)
    loss, alpha: what it was trained for; unit_norm: whether rows are scaled to unit length first
    facts: whatever else is worth knowing (strategy, rounds, data), JSON-like
    classes: all labels of the training, or None in files of older versions
    groups: integers, the number of the class that each label counted as; None: the labels are the classes.
        Of two classes several labels may be one.
    arrays: what else belongs to it, by name
    """

    weights: FloatArray
    intercept: Any
    loss: str
    alpha: float
    unit_norm: bool
    facts: dict[str, Any] = field(default_factory=dict)
    classes: NDArray[Any] | None = None
    groups: NDArray[np.integer[Any]] | None = None
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def vector(self) -> FloatArray:
        """Weights with the intercept behind them, as wpsgd.evaluate takes them: of two classes."""
        return np.append(self.weights, np.asarray(self.intercept, dtype=self.weights.dtype))

    @property
    def features(self) -> int:
        return int(self.weights.shape[-1])

    @property
    def two(self) -> bool:
        """Whether it has two classes."""
        return self.weights.ndim == 1

    @property
    def coef(self) -> FloatArray:
        """(models, features), one model for two classes."""
        return np.atleast_2d(self.weights)

    @property
    def intercepts(self) -> FloatArray:
        """(models,)"""
        return np.atleast_1d(np.asarray(self.intercept))

    @property
    def numbers(self) -> NDArray[np.integer[Any]]:
        """The class that each of `classes` counts as."""
        assert self.classes is not None
        return np.arange(len(self.classes)) if self.groups is None else self.groups

    @property
    def merged(self) -> bool:
        """Whether a class stands for several labels, so that none of them can be predicted."""
        return self.classes is not None and len(self.classes) > max(2, len(self.coef))

    @property
    def outcomes(self) -> NDArray[Any]:
        """The label to predict for each class: -1 and +1 where labels were merged or are not known."""
        if self.classes is None or self.merged:
            return SIGNS
        return np.asarray(self.classes[np.argsort(self.numbers)])

    def labels_of(self, number: int) -> NDArray[Any]:
        """The labels that count as class `number`."""
        assert self.classes is not None
        return np.asarray(self.classes[self.numbers == number])

    def ascending(self) -> Model:
        """The same decisions with `outcomes` in ascending order, as scikit-learn wants them.

        Turned around, a decision value of exactly 0 is the other class.
        """
        outcomes = self.outcomes
        if not self.two or outcomes[0] < outcomes[1]:
            return self
        return replace(self, weights=-self.weights, intercept=-self.intercept, groups=1 - self.numbers)

    def decided(self, values: NDArray[Any]) -> NDArray[np.intp]:
        """The numbers of the classes that decision values (n,) or (n, K) stand for."""
        return (values > 0.0).astype(np.intp) if values.ndim == 1 else values.argmax(axis=1)

    def numbered(self, labels: NDArray[np.float64], where: str) -> NDArray[np.intp]:
        """The class number of each label of a file called `where`.

        Raises DataError where one is no class of the model, or the classes are no numbers.
        """
        assert self.classes is not None
        known = self._known()
        order = np.argsort(known)
        at = np.minimum(np.searchsorted(known[order], labels), len(known) - 1)
        strange = np.unique(labels[known[order][at] != labels])
        if len(strange):
            few = "label" if len(strange) == 1 else "labels"
            raise DataError(
                f"{where}: {few} {listed(strange)} unknown to the model, whose classes are {listed(known)}"
            )
        return np.asarray(self.numbers[order][at], dtype=np.intp)

    def _known(self) -> NDArray[np.float64]:
        classes = np.asarray(self.classes)
        if classes.dtype.kind not in "biuf":
            instead = (
                "name those that mean the second class with --positive"
                if self.two
                else "number the classes before the model is trained, or score it in Python"
            )
            raise DataError(
                f"the model's classes are texts ({listed(classes)}), a svmlight file has numbers for labels:"
                f" {instead}"
            )
        return classes.astype(np.float64)


def listed(labels: NDArray[Any]) -> str:
    """Labels for a message, a few of them."""
    shown = ", ".join(plain(label) for label in labels[:SHOWN])
    return shown + (f", ... ({len(labels)} in all)" if len(labels) > SHOWN else "")


def plain(label: Any) -> str:
    """A label as text, which reads back to the same number: 3 for 3.0."""
    if not isinstance(label, float | np.floating):
        return str(label)
    number = float(label)
    return f"{number:.0f}" if number.is_integer() and abs(number) < 1e16 else repr(number)
