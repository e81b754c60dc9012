"""Labels: which of the classes in a file is +1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from wpsgd.errors import ConfigError, DataError

Floats = NDArray[np.float64]

SHOWN = 10


def positive_classes(labels: Floats, positive: Sequence[float] | None, where: str) -> Floats:
    """The label values that become +1: those of `positive`, else the larger of exactly two.

    labels: all labels of the data called `where`, float64, any shape
    Raises DataError where there are not two classes to tell apart, ConfigError where `positive` is empty.
    """
    classes = np.unique(labels)
    if len(classes) < 2:
        raise DataError(f"{where}: only one class ({_listed(classes)}), two are needed")
    if positive is None:
        if len(classes) > 2:
            raise DataError(
                f"{where}: {len(classes)} classes ({_listed(classes)}): name those that become +1, "
                f"for example [data] positive = [{classes[-1]:.17g}]"
            )
        return classes[1:]
    return _checked(np.unique(np.asarray(positive, dtype=np.float64)), classes, where)


def check_known(labels: Floats, classes: Floats, where: str) -> None:
    """Raises DataError where a file called `where` has labels that no training row has."""
    if len(strange := np.setdiff1d(labels, classes)):
        few = "label" if len(strange) == 1 else "labels"
        raise DataError(
            f"{where}: {few} {_listed(strange)} of no training row, whose labels are {_listed(classes)}"
        )


def signs(labels: Floats, positives: Floats) -> Floats:
    """+1 where a label is one of `positives`, else -1; float64, the shape of `labels`."""
    return np.where(np.isin(labels, positives), 1.0, -1.0)


def require_both(labels: NDArray[np.floating], where: str) -> None:
    """Raises DataError where all `labels` (each -1 or +1) are the same."""
    if len(labels) and np.all(labels == labels[0]):
        raise DataError(f"{where}: all {len(labels)} rows have the label {labels[0]:+.0f}, both are needed")


def _checked(wanted: Floats, classes: Floats, where: str) -> Floats:
    if not len(wanted):
        raise ConfigError(f"{where}: positive = [] names no class; there are {_listed(classes)}")
    absent = np.setdiff1d(wanted, classes)
    if len(absent):
        raise DataError(
            f"{where}: positive class {absent[0]:.17g} does not occur; there are {_listed(classes)}"
        )
    if len(wanted) == len(classes):
        raise DataError(
            f"{where}: all classes ({_listed(classes)}) are named positive, one must stay negative"
        )
    return wanted


def _listed(classes: Floats) -> str:
    shown = ", ".join(f"{label:.17g}" for label in classes[:SHOWN])
    return shown + (", ..." if len(classes) > SHOWN else "")
