"""Loading: from a path or a name to train and test rows.

A pure function of its arguments and the files: every rank calls it by itself and gets the same arrays. Only
the download of a file is an exception, so let one rank call `catalog.fetch` before all others load.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy import sparse
from sklearn import datasets
from sklearn.preprocessing import StandardScaler

from wpsgd.data import catalog
from wpsgd.data.labels import positive_classes, require_both, signs
from wpsgd.data.load_store import Demands, Stored, read_store
from wpsgd.data.rows import Rows
from wpsgd.data.sample_weights import ClassWeight, read_weights, weighted
from wpsgd.data.source import expanded, is_pattern, is_stdin
from wpsgd.data.split import are_stratified, last_of_each, stratified
from wpsgd.data.store import is_store
from wpsgd.data.svmlight import ZeroBased, read_together
from wpsgd.data.synthetic import kdd2010_twin, real_sim_twin
from wpsgd.errors import ConfigError, DataError, nearest

COPIED = 32 << 20  # bytes of the values of a store that may be copied to have its classes split alike
TWINS = {"real-sim-twin": real_sim_twin, "kdd2010-twin": kdd2010_twin}


@dataclass(frozen=True)
class Dataset:
    """What is trained and tested on.

    train, test: rows with the same columns; test is None where there is none
    truth: float64 of shape (features,), the weights that made the labels, of synthetic data only
    notes: lines that the user must see
    stored: where the rows come from a store, what to know of it
    zero_based: whether the indices of the files that were read count from 0
    classes: the labels that occur, ascending; positives: those that became +1; float64
    """

    name: str
    train: Rows
    test: Rows | None = None
    truth: NDArray[np.float64] | None = None
    notes: tuple[str, ...] = ()
    stored: Stored | None = None
    zero_based: bool = False
    classes: NDArray[np.float64] = field(default_factory=lambda: np.array([-1.0, 1.0]))
    positives: NDArray[np.float64] = field(default_factory=lambda: np.array([1.0]))


@dataclass(frozen=True)
class _Wishes:
    """The arguments of `load` that matter to the reading of a source."""

    own_test: bool
    test_file: Path | None
    positive: Sequence[float] | None
    zero_based: ZeroBased
    scale: float
    seed: int
    dtype: DTypeLike
    unit_norm: bool
    store: Path | None
    unreachable: str
    sort_indices: bool


def load(
    source: str | os.PathLike[str],
    *,
    test: str | os.PathLike[str] | float | None = None,
    positive: Sequence[float] | None = None,
    unit_norm: bool = False,
    zero_based: ZeroBased = "auto",
    scale: float = 1.0,
    seed: int = 0,
    dtype: DTypeLike = "float64",
    constant_column: bool = False,
    store: Path | None = None,
    weights: str | os.PathLike[str] | None = None,
    class_weight: ClassWeight | None = None,
    unreachable: str = "",
    sort_indices: bool = False,
) -> Dataset:
    """A data set from the catalogue, by its name, or from svmlight text or a store, by its path.

    source: a name, or a path as wpsgd.data.source has it: a file, a pipe, a folder or a pattern of part files

    test: a svmlight file, or the share of rows of each class to set aside; None: the test file of a
        catalogued set, if any
    positive: labels that become +1; None: those of the catalogue, else the larger of exactly two
    unit_norm: scales each row to unit L2 norm
    scale: of rows and columns of synthetic data
    seed: of synthetic data, of the choice of test rows
    dtype: of values and labels, float32 or float64
    constant_column: appends a column of ones, after the scaling
    store: what the file of `source` was converted to and is to be read from, see wpsgd.data.cache
    weights: a file of sample weights, one for each row of `source`, before any are set aside
    class_weight: "balanced", or factors for the classes -1 and +1, of training rows
    unreachable: why the files of `source` cannot be fetched, where that was tried already
    sort_indices: whether indices that do not ascend within a row are sorted rather than refused
    Raises DataError for data that cannot be trained on, ConfigError for arguments that cannot be meant.
    """
    share, test_file = _understood_test(test)
    dtype = _checked_dtype(dtype)
    own_test = test is None
    asked = (own_test, test_file, positive, zero_based, scale, seed, dtype, unit_norm, store, unreachable)
    wishes = _Wishes(*asked, sort_indices)
    data = _read(os.fspath(source), wishes)
    if weights is not None:
        data = _with_own_weights(data, expanded(weights))
    if share is not None:
        data = _split(data, share, seed)
    require_both(data.train.labels, f"{data.name}, training rows")
    data = _finished(data, unit_norm, constant_column)
    test_rows = data.test and weighted(data.test, None, "test rows")
    return replace(data, train=weighted(data.train, class_weight), test=test_rows)


def _understood_test(test: str | os.PathLike[str] | float | None) -> tuple[float | None, Path | None]:
    if test is None:
        return None, None
    if isinstance(test, (str, os.PathLike)):
        return None, expanded(test)
    if isinstance(test, bool) or not 0.0 < test < 1.0:
        raise ConfigError(f"test = {test}: a path, or a share of rows strictly between 0 and 1, is needed")
    return float(test), None


def _checked_dtype(dtype: DTypeLike) -> DTypeLike:
    # compared by name, because numpy raises an error of its own for a name that it does not know
    if getattr(dtype, "__name__", str(dtype)) not in ("float32", "float64"):
        raise ConfigError(f"dtype = {dtype}: allowed are float32, float64")
    return dtype


def _read(source: str, wishes: _Wishes) -> Dataset:
    if source not in catalog.names():
        path = _existing(source)
        return _from_store(source, path, wishes) if is_store(path) else _from_files(source, [path], wishes)
    entry = catalog.entry(source)
    if wishes.positive is None:
        wishes = replace(wishes, positive=entry.positive)
    if entry.origin == "download":
        return _downloaded(entry, wishes)
    if wishes.test_file is not None:
        raise ConfigError(f"test = {wishes.test_file}: {source} takes a share of its rows, not a file")
    return _synthetic(source, wishes) if entry.origin == "synthetic" else _from_scikit_learn(source, wishes)


def _existing(source: str) -> Path:
    """The path, if there is a file; otherwise an error with names that are nearly the same."""
    path = expanded(source)
    if is_stdin(path) or path.exists() or is_pattern(path):
        return path
    looks_like_path = len(path.parts) > 1 or bool(path.suffix)
    if not looks_like_path:
        catalog.entry(source)  # raises, with the names there are
    if not path.parent.is_dir():
        raise DataError(f"{source}: no such file, nor is there a directory {path.parent}")
    near = nearest(path.name, (item.name for item in path.parent.iterdir())) or nearest(
        source, catalog.names()
    )
    raise DataError(f"{source}: no such file{near}")


def _from_files(name: str, files: list[Path], wishes: _Wishes) -> Dataset:
    if wishes.test_file is not None:
        files = [files[0], wishes.test_file]
    if wishes.store is not None:
        return _from_store(name, wishes.store, replace(wishes, test_file=files[1] if files[1:] else None))
    (train, *rest), zero_based, *classes = read_together(
        files,
        zero_based=wishes.zero_based,
        positive=wishes.positive,
        dtype=wishes.dtype,
        sort_indices=wishes.sort_indices,
    )
    if rest:  # as wide as its own rows: one large index of a test file costs nothing
        train = replace(train, features=max(1, int(train.indices.max(initial=0)) + 1))
    notes = _scale_note(name, wishes.scale)
    return Dataset(name, train, rest[0] if rest else None, None, notes, None, zero_based, *classes)


def _from_store(name: str, path: Path, wishes: _Wishes) -> Dataset:
    demands = Demands(wishes.zero_based, wishes.unit_norm, wishes.dtype, wishes.sort_indices)
    train, test, stored, notes, *classes = read_store(name, path, wishes.positive, wishes.test_file, demands)
    notes = (*notes, *_scale_note(name, wishes.scale))
    return Dataset(name, train, test, None, notes, stored, stored.zero_based, *classes)


def _downloaded(entry: catalog.Entry, wishes: _Wishes) -> Dataset:
    try:
        if wishes.unreachable:
            raise DataError(wishes.unreachable)
        files = [catalog.fetch(entry.name)]
        if wishes.own_test and entry.test is not None:
            files.append(catalog.fetch(entry.name, "test"))
    except DataError as error:
        # a test file of the original would not fit the columns of the twin
        if entry.twin is None or wishes.test_file is not None:
            raise
        because = str(error).partition("): ")[0].removesuffix(")") + ")"
        data = _synthetic(entry.twin, wishes)
        return replace(
            data, notes=(f"{because}: its synthetic twin of the same shape stands in", *data.notes)
        )
    return _from_files(entry.name, files, wishes)


def _synthetic(name: str, wishes: _Wishes) -> Dataset:
    made = TWINS[name](wishes.scale, wishes.seed, wishes.dtype)
    rows, *classes = _signed(made.rows, wishes.positive, name)
    return Dataset(name, rows, None, made.truth, (), None, False, *classes)


def _from_scikit_learn(name: str, wishes: _Wishes) -> Dataset:
    values, labels = BUNDLED[name]()
    rows = Rows.from_scipy(sparse.csr_array(values.astype(wishes.dtype)), labels)
    rows, *known = _signed(rows, wishes.positive, name)
    return Dataset(name, rows, None, None, _scale_note(name, wishes.scale), None, False, *known)


def _digits() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    digits = datasets.load_digits()
    return digits.data / 16.0, digits.target.astype(np.float64)


def _breast_cancer() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    cancer = datasets.load_breast_cancer()
    return StandardScaler().fit_transform(cancer.data), cancer.target.astype(np.float64)


BUNDLED = {"digits": _digits, "breast-cancer": _breast_cancer}


class _Signed(NamedTuple):
    """Rows labelled -1 and +1; the labels that they had, and which became +1."""

    rows: Rows
    classes: NDArray[np.float64]
    positives: NDArray[np.float64]


def _signed(rows: Rows, positive: Sequence[float] | None, where: str) -> _Signed:
    labels = rows.labels.astype(np.float64)
    positives = positive_classes(labels, positive, where)
    return _Signed(rows.with_labels(signs(labels, positives)), np.unique(labels), positives)


def _with_own_weights(data: Dataset, path: Path) -> Dataset:
    own = read_weights(path, len(data.train))
    own = own if data.stored is None else own[data.stored.order]
    return replace(data, train=replace(data.train, weights=own.astype(data.train.values.dtype)))


def _scale_note(name: str, scale: float) -> tuple[str, ...]:
    return () if scale == 1.0 else (f"scale = {scale} is for synthetic data: {name} is used whole",)


def _split(data: Dataset, share: float, seed: int) -> Dataset:
    """Train and test rows, of each class its share, both in their original order.

    So contiguous shards keep their meaning. The rows of a store are in random order: the last ones are the
    test rows whatever the seed, not copied, unless the store is small and they would hold other shares.
    """
    labels = data.train.labels
    if seed < 0:
        raise ConfigError(f"seed = {seed}: an integer of at least 0 is needed")
    if np.unique(labels, return_counts=True)[1].max(initial=0) < 2:
        raise DataError(f"{data.name}: cannot be split: there is no class with a row for either side")
    stored = data.stored
    if stored is None:
        return _parted(data, stratified(labels, share, seed))
    count = len(labels)
    kept = count - min(max(round(count * share), 1), count - 1)
    if not are_stratified(labels, slice(kept, None), share):
        if data.train.nonzeros * data.train.values.itemsize <= COPIED:
            return _parted(data, last_of_each(labels, share))
        shares = [f"{100.0 * np.mean(part > 0):.3g} %" for part in (labels[kept:], labels[:kept])]
        note = f"of the test rows {shares[0]} are of class +1, of the training rows {shares[1]}"
        data = replace(data, notes=(*data.notes, f"{data.name}: {note}: convert it again to have them equal"))
    stored = replace(stored, order=stored.order[:kept])
    return replace(data, train=data.train[:kept], test=data.train[kept:], stored=stored)


def _parted(data: Dataset, chosen: NDArray[np.bool_]) -> Dataset:
    """Copies of the chosen rows for the test, and of the others."""
    train, test = np.flatnonzero(~chosen), np.flatnonzero(chosen)
    stored = data.stored
    if stored is not None:
        stored = replace(stored, order=stored.order[train])
    return replace(data, train=data.train.take(train), test=data.train.take(test), stored=stored)


def _finished(data: Dataset, unit_norm: bool, constant_column: bool) -> Dataset:
    train, test, truth = data.train, data.test, data.truth
    if unit_norm and not (data.stored and data.stored.unit_norm):
        train, test = train.unit_norm(), test and test.unit_norm()
    # columns that no training row has get no weight; not before, or test rows would be scaled by fewer
    test = test and test.narrowed(train.features)
    if constant_column:
        train, test = train.with_constant_column(), test and test.with_constant_column()
        truth = None if truth is None else np.append(truth, 0.0)
    return replace(data, train=train, test=test, truth=truth)
