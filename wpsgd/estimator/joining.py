"""What the processes of a fit agree on before they train: classes, features, weights, seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

from wpsgd.errors import DataError, WPSGDError
from wpsgd.estimator.inputs import Inputs
from wpsgd.runtimes.job import Runtime

T = TypeVar("T")


class Share(NamedTuple):
    """What one process brings. masses: the sum of sample weights of each of its classes."""

    rows: int
    nonzeros: int
    features: int
    names: tuple[str, ...] | None
    dtype: str
    classes: NDArray[Any]
    masses: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """What all of them bring.

    rows: of each process; features: the most that one has; names: of the features, or None
    masses: the sum of sample weights of each class, float64 (classes,)
    """

    rows: tuple[int, ...]
    nonzeros: int
    features: int
    names: tuple[str, ...] | None
    dtype: np.dtype[Any]
    classes: NDArray[Any]
    masses: NDArray[np.float64]

    def class_weights(self, wish: Mapping[Any, float] | str | None) -> NDArray[np.float64]:
        """A factor for each class; "balanced" gives all of them the same sum. Raises ValueError."""
        if wish == "balanced":
            total, present = float(self.masses.sum()), np.where(self.masses > 0.0, self.masses, np.inf)
            return np.asarray(total / (len(self.classes) * present))
        weights = compute_class_weight(wish, classes=self.classes, y=self.classes)
        weights = np.asarray(weights, dtype=np.float64)
        with np.errstate(over="ignore"):
            total = float(weights @ self.masses)
        if not (np.isfinite(weights).all() and weights.min() >= 0.0 and 0.0 < total < np.inf):
            raise DataError(
                f"class_weight={wish!r}: must be finite, not negative, not all 0, and so times sample weights"
            )
        return weights


def share_of(inputs: Inputs, names: Any) -> Share:
    """What this process brings."""
    classes, numbers = np.unique(inputs.targets, return_inverse=True)
    masses = np.bincount(numbers.ravel(), inputs.weights, minlength=len(classes)).astype(np.float64)
    matrix = inputs.matrix
    named = None if names is None else tuple(map(str, names))
    entries = int(matrix.nnz if hasattr(matrix, "nnz") else matrix.size)
    return Share(len(inputs), entries, matrix.shape[1], named, matrix.dtype.str, classes, masses)


def join(shares: list[Share], known: NDArray[Any] | None = None) -> Whole:
    """What the shares come to. known: classes that are given. Raises DataError where they contradict."""
    held = [share for share in shares if share.rows]
    if not held:
        raise DataError("no process holds any rows")
    names = {share.names for share in held}
    if len(names) > 1:
        raise DataError(
            "feature names differ between ranks: pass the same columns on every rank, or no names"
        )
    kinds = {"number" if share.classes.dtype.kind in "biuf" else share.classes.dtype.kind for share in held}
    if len(kinds - {"O"}) > 1:  # which numpy would make texts of, that no number equals
        raise DataError("labels are numbers on some ranks and texts on others: pass one kind on every rank")
    union = np.unique(np.concatenate([share.classes for share in held]))
    classes = union if known is None else known
    if known is not None and not np.isin(union, known).all():
        strange = union[~np.isin(union, known)][0]
        raise DataError(f"y has the label {strange!r}, which is none of the classes of the first call")
    masses = np.zeros(len(classes))
    with np.errstate(over="ignore"):
        for share in held:
            masses[np.searchsorted(classes, share.classes)] += share.masses
        if not np.isfinite(masses.sum()):
            raise DataError("sample_weight: must have a finite sum: scale it")
    return Whole(
        rows=tuple(share.rows for share in shares),
        nonzeros=sum(share.nonzeros for share in held),
        features=max(share.features for share in held),
        names=names.pop(),
        dtype=np.result_type(*(share.dtype for share in held)),
        classes=classes,
        masses=masses,
    )


def agreed(runtime: Runtime | None, phase: Callable[[], T]) -> list[T]:
    """The results of all processes in rank order, or the same error on each of them.

    A ValueError or TypeError of one rank reaches the others as a DataError that names it.
    """
    if runtime is None or not several(runtime):
        return [phase()]

    def told() -> T:
        try:
            return phase()
        except WPSGDError:
            raise
        except (ValueError, TypeError) as error:
            raise DataError(f"rank {runtime.rank}: {error}") from error

    return runtime.gathered(told)


def several(runtime: Runtime | None) -> bool:
    """Whether each rank is a process with rows of its own."""
    return runtime is not None and runtime.name == "mpi"


def class_numbers(whole: Whole, inputs: Inputs) -> NDArray[np.int32]:
    """Of each row, int32 (n,)."""
    return np.searchsorted(whole.classes, inputs.targets).astype(np.int32)
