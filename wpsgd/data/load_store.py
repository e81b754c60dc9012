"""Train and test rows from a store."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from wpsgd.data.labels import check_known, positive_classes, signs
from wpsgd.data.rows import FloatArray, Rows
from wpsgd.data.store import Store, is_store, open_store, to_original
from wpsgd.data.svmlight import ZeroBased, read_classes
from wpsgd.errors import ConfigError, DataError


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """What to know of rows that come from a store.

    order: the source's row of each training row; columns: the source's column of each column
    zero_based: whether the source counts columns from 0; unit_norm: whether all rows have unit length already
    identity: differs between stores that hold other rows, or the same in another order
    """

    order: NDArray[np.int64]
    columns: NDArray[np.int32]
    zero_based: bool
    unit_norm: bool
    identity: str

    def to_original(self, weights: FloatArray) -> FloatArray:
        """Weights of shape (features,) in the source's numbering of columns."""
        return to_original(weights, self.columns)


@dataclass(frozen=True, slots=True)
class Demands:
    """What the reader wants of the rows, which a store may not be able to give."""

    zero_based: ZeroBased
    unit_norm: bool
    dtype: DTypeLike
    sort_indices: bool = False


class FromStore(NamedTuple):
    """What `read_store` gives. classes: the labels that occur, ascending; positives: those that became +1."""

    train: Rows
    test: Rows | None
    stored: Stored
    notes: tuple[str, ...]
    classes: NDArray[np.float64]
    positives: NDArray[np.float64]


def read_store(
    name: str, path: Path, positive: Sequence[float] | None, test: Path | None, demands: Demands
) -> FromStore:
    """Training rows, mapped, and those of the svmlight file `test`, in the same numbering, perhaps wider.

    Raises DataError for a store or a file that cannot be used, ConfigError where a demand contradicts it.
    """
    if not is_store(path) and str(path) != name:
        raise DataError(
            f"{path}: what {name} was converted to is not there on this host: let WPSGD_DATA_DIR name a"
            " folder that all hosts share, or set [data] cache = false"
        )
    store = open_store(path)
    _check(store, name, demands)
    known = np.array(store.meta.classes)
    rows, labels = (None, np.empty(0)) if test is None else _test_rows(store, test, demands)
    where = name if test is None else f"{name}, {test}"
    positives = positive_classes(np.append(known, labels), positive, where)
    if positive is not None:  # without it they would be too many classes
        check_known(labels, known, str(test))
    train = store.rows(positives=positives).astype(demands.dtype)
    if rows is not None:
        rows = rows.with_labels(signs(labels, positives))
    described, notes = _described(store), tuple(_notes(store, name, demands))
    return FromStore(train, rows, described, notes, np.unique(np.append(known, labels)), positives)


def _check(store: Store, name: str, demands: Demands) -> None:
    meta = store.meta
    if demands.zero_based not in ("auto", meta.zero_based):
        counted = "0" if meta.zero_based else "1"
        raise ConfigError(
            f"zero_based = {demands.zero_based}: {name} was converted as counting from {counted}"
        )
    if meta.unit_norm and not demands.unit_norm:
        raise ConfigError(
            f"unit_norm = false: the rows of {name} were scaled to unit length when they were converted"
        )


def _test_rows(store: Store, test: Path, demands: Demands) -> tuple[Rows, NDArray[np.float64]]:
    wish, base = demands.sort_indices, store.meta.zero_based
    rows, labels = read_classes(test, zero_based=base, dtype=demands.dtype, sort_indices=wish)
    rows = store.relabelled(rows)
    return rows.unit_norm() if store.meta.unit_norm else rows, labels


def _described(store: Store) -> Stored:
    meta = store.meta
    identity = hashlib.sha256(meta.model_dump_json(exclude={"versions"}).encode()).hexdigest()
    return Stored(store.order, store.columns, meta.zero_based, meta.unit_norm, identity)


def _notes(store: Store, name: str, demands: Demands) -> list[str]:
    meta, notes = store.meta, []
    dtype = np.dtype(demands.dtype).name
    if meta.bad_lines:
        notes.append(f"{name}: {meta.bad_lines} bad lines were left out when it was converted")
    if dtype != meta.dtype:
        notes.append(f"{name} holds {meta.dtype}: every rank converts a copy of its own to {dtype}")
    if demands.unit_norm and not meta.unit_norm:
        notes.append(f"{name}: every rank scales a copy of its own to unit length; convert with --unit-norm")
    return notes
