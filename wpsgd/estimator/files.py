"""Rows and labels from a path: svmlight text or a store, of which each of several ranks takes a stretch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from wpsgd.data.judged import rows_to_judge
from wpsgd.data.source import expanded, is_pattern, is_stdin, size_of
from wpsgd.data.store import Store, is_store, open_store
from wpsgd.data.svmlight import ZeroBased, read_part
from wpsgd.errors import ConfigError, DataError
from wpsgd.estimator.joining import agreed, several
from wpsgd.runtimes.job import Runtime


class FromFile(NamedTuple):
    """Rows as their source has them.

    matrix: CSR (n, features), columns in the source's order; targets: float64 (n,)
    zero_based: whether the source itself counts columns from 0
    """

    matrix: Any
    targets: NDArray[np.float64]
    zero_based: bool


def is_path(X: Any) -> bool:
    """Whether X names a file rather than being rows."""
    return isinstance(X, (str, os.PathLike))


def own_part(runtime: Runtime | None, path: Any, y: Any, sample_weight: Any) -> FromFile:
    """This process's rows of a file that every process was given: all, or of several ranks a stretch.

    Raises DataError, ConfigError; under MPI on all ranks.
    """
    alone = runtime is None or not several(runtime)
    part, parts = (0, 1) if alone or runtime is None else (runtime.rank, runtime.ranks)
    held: list[Any] = []

    def phase() -> tuple[Any, int, int]:
        if not is_path(path):
            raise ConfigError("X: a path on every rank or on none is needed")
        check_alone(y, sample_weight)
        file = existing(path)
        if is_store(file):
            store = open_store(file)
            held.append(_of_store(store, len(store) * part // parts, len(store) * (part + 1) // parts))
            return store.meta.source.sha256, 1, 0
        text = read_part(file, part, parts)
        held.append(text)
        return size_of(file), text.lowest, text.highest

    said = agreed(runtime, phase)
    if len({identity for identity, _, _ in said}) > 1:
        raise DataError(f"{path}: is another file on some ranks, of other length or content")
    if isinstance(held[0], FromFile):
        return held[0]
    lowest, highest = min(low for _, low, _ in said), max(high for _, _, high in said)
    return _of_text(held[0], lowest == 0, highest + (lowest == 0))


def whole_file(path: Any, features: int, zero_based: ZeroBased, *, unit_norm: bool = False) -> FromFile:
    """All rows in the order of the source, to be judged by a model of so many features.

    unit_norm: whether they are scaled to unit length
    """
    found = rows_to_judge(existing(path), features, zero_based, unit_norm=unit_norm)
    return FromFile(found.rows.to_scipy(), found.labels, found.zero_based)


def check_alone(y: Any, sample_weight: Any) -> None:
    """Raises ConfigError for what does not go with a path."""
    if y is not None:
        raise ConfigError("y: must be left out beside a path: labels are those of the file")
    if sample_weight is not None:
        raise ConfigError("sample_weight: not beside a path, whose rows count once: class_weight is possible")


def existing(path: Any) -> Path:
    """Raises DataError where there is nothing that may be read."""
    file = expanded(path)
    if is_stdin(file) or is_pattern(file):
        return file
    if not file.exists():
        raise DataError(f"{path}: no such file: X as a text is the path of svmlight text or of a store")
    if not os.access(file, os.R_OK):
        raise DataError(f"{path}: may not be read by this user")
    return file


def _of_text(text: Any, zero_based: bool, features: int) -> FromFile:
    return FromFile(text.rows(zero_based).widened(features).to_scipy(), text.labels, zero_based)


def _of_store(store: Store, first: int, last: int) -> FromFile:
    rows = store.rows(first, last, positives=np.empty(0)).to_scipy()
    parts = (rows.data, store.columns[rows.indices], rows.indptr)
    matrix: Any = sparse.csr_array(parts, shape=rows.shape).sorted_indices()
    return FromFile(matrix, store.labels[first:last].astype(np.float64), store.meta.zero_based)
